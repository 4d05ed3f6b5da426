/** Whether a request or an extension fits, and how much output it gets: the ledger promise is kept here. Pure. */
import { type Bucket, drawsInput, drawsOutput, retryAfterMs, type WindowState } from './bucket.ts';
import type { Demand, OutputDemand } from './store.ts';

/**
 * Input that is only bounded by its bytes is counted first where it would take more than an eighth of what a bucket has left. Bytes are about four times
 * the tokens of English text, so such a hold is mostly air, and a few at once would keep each other out of the last part of a budget.
 */
const countFirstShare = 8;

export type Verdict =
  | { readonly type: 'fits'; readonly outputTokens: number }
  /** Only holds of others stand in the way, of this bucket first. */
  | { readonly type: 'held'; readonly bucket: Bucket }
  | { readonly type: 'count-first' }
  | {
      readonly type: 'refused';
      readonly reason: 'spent' | 'size';
      readonly bucket: Bucket;
      readonly retryAfterMs?: number;
    };

type Refusal = Extract<Verdict, { readonly type: 'refused' }>;

/** What a demand draws on a bucket before any output: 1 request, or its input. */
export function fixedNeed(bucket: Bucket, inputTokens: number): number {
  const { type } = bucket.definition.quota.limit;
  return type === 'Requests' ? 1 : drawsInput(type) ? inputTokens : 0;
}

/** Judges a demand by the buckets that enforce. Their windows must be current. */
export function weighAdmission(buckets: readonly Bucket[], demand: Demand, atMs: number): Verdict {
  const { output, inputTokens } = demand;
  const leastOutput = output.mode === 'none' ? 0 : output.least;
  let granted = output.mode === 'none' ? 0 : output.want;
  let heldBy: Bucket | undefined;
  let refused: Refusal | undefined;
  let countFirst = false;
  for (const bucket of buckets) {
    if (!bucket.enforced) {
      continue;
    }
    const { type } = bucket.definition.quota.limit;
    const { limit, window } = bucket;
    const left = limit - window.used;
    const free = left - window.held;
    const isCounted = demand.inputCounted || !drawsInput(type) || free >= countFirstShare * inputTokens;
    countFirst ||= !isCounted;
    const fixed = isCounted ? fixedNeed(bucket, inputTokens) : Math.min(1, inputTokens);
    const need = fixed + (drawsOutput(type) ? leastOutput : 0);
    if (need > left) {
      refused = graver(refused, refusal(bucket, need, atMs));
    } else if (need > free) {
      heldBy ??= bucket;
    } else if (drawsOutput(type)) {
      granted = Math.min(granted, share(output, free - fixed, window.streams + 1));
    }
  }
  if (refused !== undefined) {
    return refused;
  }
  if (countFirst) {
    return { type: 'count-first' };
  }
  return heldBy === undefined ? { type: 'fits', outputTokens: granted } : { type: 'held', bucket: heldBy };
}

/** A part of a hold, as an extension sees it. */
export interface HeldPart {
  readonly window: WindowState;
  held: number;
  readonly drawsOutput: boolean;
}

/** More output for an open hold: how much, 0 where the budget ends, or the window in which holds of others have what is left. */
export function weighExtension(parts: readonly HeldPart[], output: OutputDemand): number | WindowState {
  let granted = output.want;
  let heldBy: WindowState | undefined;
  for (const { window, held, drawsOutput } of parts) {
    if (!drawsOutput || !window.bucket.enforced) {
      continue;
    }
    const left = window.limit - window.used;
    const free = left - window.held;
    if (left - held < output.least) {
      return 0;
    }
    if (free < output.least) {
      heldBy ??= window;
    } else {
      granted = Math.min(granted, share(output, free, window.streams));
    }
  }
  return heldBy ?? granted;
}

function share(output: OutputDemand, free: number, streams: number): number {
  return output.mode === 'lease' ? Math.max(output.least, Math.floor(free / 2 / Math.max(1, streams))) : free;
}

function refusal(bucket: Bucket, need: number, atMs: number): Refusal {
  const after = retryAfterMs(bucket, need, atMs);
  const base = { type: 'refused', reason: need > bucket.limit ? 'size' : 'spent', bucket } as const;
  return after === undefined ? base : { ...base, retryAfterMs: after };
}

/** Of several refusals the one that a client must know: what never fits, then the longest wait. */
function graver(one: Refusal | undefined, other: Refusal): Refusal {
  if (one === undefined || one.reason === other.reason) {
    return one === undefined || wait(other) > wait(one) ? other : one;
  }
  return one.reason === 'size' ? one : other;
}

function wait(refused: Refusal): number {
  return refused.retryAfterMs ?? Number.POSITIVE_INFINITY;
}
