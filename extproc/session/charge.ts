/**
 * The cost of a request. The provider's usage counts; where it is missing, the text received is
 * counted. Pure.
 */
import type { RequestFacts } from '../providers/adapter.ts';
import type { BucketRef, OverdraftCause } from '../quota/store.ts';
import { drawsInput, drawsOutput } from '../quota/units.ts';
import type { UsageSource } from '../record.ts';
import { textUsage, type Usage } from '../usage.ts';
import { inputTokens } from './admission/quota-plan.ts';

export interface Evidence {
  readonly facts: RequestFacts;
  /** The output bound of one choice, as far as known. */
  readonly choiceTokens: number;
  /** The provider's usage, and whether it is final. */
  readonly usage: Usage | undefined;
  readonly usageFinal: boolean;
  /** The service tier that the answer names. */
  readonly serviceTier: string | undefined;
  /** How often a price for each request is due, where the provider says so. */
  readonly priceUnits?: number | undefined;
  /** Called only where the usage lacks the number. */
  readonly countInput: () => number;
  readonly countOutput: () => number;
  readonly buckets: readonly BucketRef[];
  readonly heldInputTokens: number;
  readonly heldOutputTokens: number;
  readonly hidden: boolean;
  readonly cut: boolean;
  /** Part of `countOutput`. */
  readonly undeliveredTokens: number;
}

export interface Cost {
  readonly usage: Usage;
  readonly source: UsageSource;
  readonly serviceTier: string | undefined;
  readonly priceUnits: number | undefined;
  readonly undeliveredTokens: number;
  readonly cause: OverdraftCause;
}

export function cost(evidence: Evidence): Cost {
  const { usage, source } = measured(evidence);
  const { undeliveredTokens, serviceTier, priceUnits } = evidence;
  return { usage, source, serviceTier, priceUnits, undeliveredTokens, cause: cause(evidence, usage) };
}

/**
 * Uses the provider's usage where it is plausible. 0 in spite of text means not reported. An
 * implausible number is replaced: input by our count, output by the bound of the request.
 */
function measured(evidence: Evidence): { usage: Usage; source: UsageSource } {
  const { facts, usage, usageFinal, countInput, countOutput, cut } = evidence;
  if (usage === undefined || (usage.input === 0 && usage.output === 0)) {
    return { usage: textUsage(countInput(), countOutput()), source: 'estimated' };
  }
  const outputBound = evidence.choiceTokens * facts.choices;
  const inputIsTold = usage.input > 0 && usage.input <= believed(facts, inputTokens(facts, facts.textBytes));
  const outputIsTold = usage.output <= believed(facts, outputBound);
  const input = inputIsTold ? usage.input : countInput();
  let output = outputIsTold ? usage.output : outputBound;
  if (!usageFinal || cut || output === 0 || !outputIsTold) {
    output = Math.max(output, countOutput());
  }
  if (inputIsTold && output === usage.output) {
    return { usage, source: usageFinal && !cut ? 'provider' : 'mixed' };
  }
  const parts = inputIsTold && outputIsTold ? usage : textUsage(0, 0);
  return { usage: { ...parts, input, output }, source: 'mixed' };
}

/**
 * Up to the size of the largest contexts every number is plausible; with tools of the provider, up
 * to the second.
 */
const BELIEVED_TOKENS = 2 ** 20;
const BELIEVED_UNBOUNDED_TOKENS = 2 ** 24;
/**
 * More than this times the bound of the request is a fault or malice, and could end a budget for
 * ever.
 */
const BELIEVED_TIMES = 8;

function believed(facts: RequestFacts, bound: number): number {
  return Math.max(facts.unbounded.length > 0 ? BELIEVED_UNBOUNDED_TOKENS : BELIEVED_TOKENS, BELIEVED_TIMES * bound);
}

/** Returns the larger part of the cost that was not held. */
function cause(evidence: Evidence, usage: Usage): OverdraftCause {
  const { facts, buckets, hidden, heldInputTokens, heldOutputTokens, undeliveredTokens } = evidence;
  if (facts.unbounded.length > 0) {
    return 'server_tool';
  }
  const overInput = buckets.some(({ quota }) => drawsInput(quota)) ? usage.input - heldInputTokens : 0;
  const overOutput = buckets.some(({ quota }) => drawsOutput(quota)) ? usage.output - heldOutputTokens : 0;
  if (overInput > overOutput) {
    return 'input_estimate';
  }
  if (undeliveredTokens > 0) {
    return 'in_flight';
  }
  // The visible output of a stream never exceeds its lease.
  return facts.stream && !hidden ? 'hidden_output' : 'bound_ignored';
}
