/** Which traces are recorded: by the standard samplers before a request, by its end after it. */
import type { RequestRecord } from '../../record.ts';
import type { TraceParent, TraceSampler } from '../../trace-context.ts';
import { errorType } from '../error-type.ts';

/** The values of `OTEL_TRACES_SAMPLER`. */
export const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

export type SamplerName = (typeof SAMPLERS)[number];

/** What is recorded although the sampler left it out. */
export const OUTCOMES = ['error', 'refusal', 'cut', 'guardrail'] as const;

export type Outcome = (typeof OUTCOMES)[number];

/** The last 14 digits of an id are random: https://www.w3.org/TR/trace-context-2/#random-trace-id-flag */
const RANDOM_DIGITS = 14;
const RANDOM_VALUES = 2 ** (RANDOM_DIGITS * 4);

export function newTraceSampler(name: SamplerName, ratio: number): TraceSampler {
  const root = name.replace('parentbased_', '');
  const least = (1 - ratio) * RANDOM_VALUES;
  const decide = (traceId: string): boolean => {
    if (root !== 'traceidratio') {
      return root === 'always_on';
    }
    return Number.parseInt(traceId.slice(-RANDOM_DIGITS), 16) >= least;
  };
  const isParentBased = root !== name;
  return (traceId: string, parent: TraceParent | undefined) =>
    isParentBased && parent !== undefined ? parent.sampled : decide(traceId);
}

/** Whether a request ended in one of these ways. */
export function endedIn(outcomes: ReadonlySet<Outcome>, record: RequestRecord): boolean {
  const { decision, guard, status } = record;
  if (outcomes.has('cut') && decision.type === 'cut') {
    return true;
  }
  if (outcomes.has('guardrail') && guard !== undefined && guard.rules.length + guard.failures.length > 0) {
    return true;
  }
  const isRefused = record.failure !== undefined && status !== undefined && status < 500;
  if (isRefused) {
    return outcomes.has('refusal');
  }
  return outcomes.has('error') && errorType(record) !== undefined;
}
