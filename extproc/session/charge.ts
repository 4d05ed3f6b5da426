/** What a request cost, from what is known when it ends. The provider's usage is the truth; where it is missing, what came is counted. Pure. */
import type { RequestFacts, Usage } from '../providers/adapter.ts';
import type { BucketRef, OverdraftCause } from '../quota/store.ts';
import { countsInput, countsOutput } from './admission.ts';
import type { Source } from './protocol.ts';

export interface Evidence {
  readonly facts: RequestFacts;
  /** The provider's usage, and whether it is its last word. */
  readonly usage: Usage | undefined;
  readonly usageFinal: boolean;
  /** Called only where the usage does not tell. */
  readonly countInput: () => number;
  readonly countOutput: () => number;
  readonly buckets: readonly BucketRef[];
  readonly heldInputTokens: number;
  readonly heldOutputTokens: number;
  readonly hidden: boolean;
  readonly cut: boolean;
}

export interface Cost {
  readonly usage: Usage;
  readonly source: Source;
  readonly cause: OverdraftCause;
}

export function cost(evidence: Evidence): Cost {
  const { usage, source } = measured(evidence);
  return { usage, source, cause: cause(evidence, usage) };
}

function measured({ usage, usageFinal, countInput, countOutput, cut }: Evidence): { usage: Usage; source: Source } {
  if (usage !== undefined && usage.missing === 'input') {
    const output = usageFinal && !cut ? usage.output : Math.max(usage.output, countOutput());
    return { usage: { ...usage, input: countInput(), output }, source: 'mixed' };
  }
  if (usage !== undefined && usageFinal && !cut) return { usage, source: 'provider' };
  if (usage !== undefined && usage.input > 0) {
    return { usage: { ...usage, output: Math.max(usage.output, countOutput()) }, source: 'mixed' };
  }
  return { usage: estimated(countInput(), countOutput()), source: 'estimated' };
}

export function estimated(input: number, output: number): Usage {
  return { input, output, cachedInput: 0, cacheWriteInput: 0, reasoningOutput: 0, audioInput: 0, audioOutput: 0 };
}

/** Which part of the cost was not held: the larger one names the cause. */
function cause({ facts, buckets, hidden, heldInputTokens, heldOutputTokens }: Evidence, usage: Usage): OverdraftCause {
  if (facts.unbounded.length > 0) return 'server_tool';
  const overInput = countsInput(buckets) ? usage.input - heldInputTokens : 0;
  const overOutput = countsOutput(buckets) ? usage.output - heldOutputTokens : 0;
  if (overInput > overOutput) return 'input_estimate';
  // What is seen of a stream never passes its lease.
  return facts.stream && !hidden ? 'hidden_output' : 'bound_ignored';
}
