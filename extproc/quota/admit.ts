/** Whether a request or an extension fits, and how much output it gets: the ledger promise is kept here. Pure. */
import { type Bucket, drawsInput, drawsOutput, retryAfterMs, type WindowState } from './bucket.ts';
import type { BucketRef, Demand, OutputDemand } from './store.ts';

/**
 * Input that is only bounded by its bytes is counted first where it would take more than an eighth of what a bucket has left. Bytes are about four times
 * the tokens of English text, so such a hold is mostly air, and a few at once would keep each other out of the last part of a budget.
 */
const countFirstShare = 8;

/** So many streams at least can run beside each other, however little is left: none has all of it for itself. */
const fewestStreams = 4;

export type AdmissionVerdict =
  /** `usualTokens`: what a lease keeps when others need some of it. */
  | { readonly type: 'fits'; readonly outputTokens: number; readonly usualTokens: number }
  /** Only holds of others stand in the way, of this bucket first, in which so much is missing. */
  | { readonly type: 'held'; readonly bucket: Bucket; readonly missing: number }
  | { readonly type: 'count-first'; readonly limitTokens: number }
  | {
      readonly type: 'refused';
      readonly reason: 'spent' | 'size';
      readonly bucket: Bucket;
      readonly retryAfterMs?: number;
    };

type Refusal = Extract<AdmissionVerdict, { readonly type: 'refused' }>;

/** What a demand draws on a bucket before any output: 1 request, or its input. */
export function fixedNeed(bucket: Bucket, inputTokens: number): number {
  const { type } = bucket.definition.quota.limit;
  return type === 'Requests' ? 1 : drawsInput(type) ? inputTokens : 0;
}

/** Judges a demand by the buckets that enforce. Their windows must be current. */
export function evaluateAdmission(buckets: readonly Bucket[], demand: Demand, atMs: number): AdmissionVerdict {
  const { output, inputTokens, leastInputTokens = 1 } = demand;
  const leastOutput = output.mode === 'none' ? 0 : output.least;
  const usualOutput = output.mode === 'lease' ? (output.usual ?? leastOutput) : leastOutput;
  let usualTokens = usualOutput;
  let granted = output.mode === 'none' ? 0 : output.want;
  let heldBy: Bucket | undefined;
  let missing = 0;
  let refused: Refusal | undefined;
  /** The least that is left of a bucket for whose sake the input is to be counted. */
  let countTo = Number.POSITIVE_INFINITY;
  for (const bucket of buckets) {
    if (!bucket.enforced) {
      continue;
    }
    const { type } = bucket.definition.quota.limit;
    const { limit, window } = bucket;
    const left = limit - window.used;
    const free = left - window.held;
    const isCounted = demand.inputCounted || !drawsInput(type) || free >= countFirstShare * inputTokens;
    if (!isCounted) {
      countTo = Math.min(countTo, left);
    }
    const fixed = isCounted ? fixedNeed(bucket, inputTokens) : Math.min(leastInputTokens, inputTokens);
    const need = fixed + (drawsOutput(type) ? leastOutput : 0);
    const begins = drawsOutput(type)
      ? Math.max(leastOutput, Math.min(usualOutput, Math.ceil((left - fixed) / fewestStreams)))
      : 0;
    if (need > left) {
      refused = graver(refused, refusal(bucket, need, atMs));
    } else if (fixed + begins > free) {
      missing = heldBy === undefined ? fixed + begins - free : missing;
      heldBy ??= bucket;
    } else if (drawsOutput(type)) {
      granted = Math.min(granted, share(output.mode, begins, free - fixed, window.leases.length + 1));
      usualTokens = Math.min(usualTokens, begins);
    }
  }
  if (refused !== undefined) {
    return refused;
  }
  if (Number.isFinite(countTo)) {
    return { type: 'count-first', limitTokens: Math.max(0, countTo) };
  }
  return heldBy === undefined
    ? { type: 'fits', outputTokens: granted, usualTokens }
    : { type: 'held', bucket: heldBy, missing };
}

/** A part of a hold, as an extension sees it. */
export interface OutputPart {
  readonly window: WindowState;
  held: number;
  readonly drawsOutput: boolean;
}

/** More output for an open hold: how much, or the window in which holds of others have some of what it needs. */
export function evaluateExtension(parts: readonly OutputPart[], output: OutputDemand): number | WindowState {
  let granted = output.want;
  for (const part of parts) {
    if (isBound(part)) {
      const { window } = part;
      const free = freeIn(window);
      if (free < output.least) {
        return window;
      }
      granted = Math.min(granted, share(output.mode, output.least, free, window.leases.length));
    }
  }
  return granted;
}

/** What is left for an open hold where it is less than it needs. */
export function restFor(parts: readonly OutputPart[]): number {
  return Math.max(0, Math.min(...parts.filter(isBound).map(({ window }) => freeIn(window))));
}

export function freeIn({ limit, used, held }: WindowState): number {
  return limit - used - held;
}

function isBound({ window, drawsOutput }: OutputPart): boolean {
  return drawsOutput && window.bucket.enforced;
}

function share(mode: OutputDemand['mode'], least: number, free: number, streams: number): number {
  return mode === 'lease' ? Math.max(least, Math.floor(free / 2 / Math.max(1, streams))) : free;
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

/** Nothing more may be granted of it while the journal cannot be written. */
export function failsClosed({ quota }: BucketRef): boolean {
  return quota.mode === 'Enforce' && quota.onJournalLoss === 'FailClosed';
}
