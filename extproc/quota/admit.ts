/**
 * Decides whether a request or an extension fits, and how much output it gets. The promise of the
 * quota store, spent + held ≤ limit, is kept here. Pure.
 */
import type { Bucket, HoldPart, WindowState } from './bucket.ts';
import type { BucketRef, Demand, Draw, OutputDemand } from './store.ts';

/**
 * Input that is only bounded by its bytes is counted first where it would take more than an eighth
 * of what a bucket has left. English text has about four bytes a token, so such a hold is mostly
 * unused, and a few of them at once would keep each other out of the last part of a budget.
 */
const COUNT_FIRST_FACTOR = 8;

/** Streams that can run at the same time, however little is left: none gets all of it. */
const MIN_STREAMS = 4;

/** A bucket and what a demand draws on it. */
export interface Claim {
  readonly bucket: Bucket;
  readonly draw: Draw;
  /** The index of the draw in `Demand.draws`. */
  readonly index: number;
}

export type AdmissionVerdict =
  /** `usualTokens`: what a lease keeps when others need some of it. */
  | { readonly type: 'fits'; readonly outputTokens: number; readonly usualTokens: number }
  /**
   * Only holds of others are in the way. `bucket` is the first such bucket, `missing` the units
   * that it lacks.
   */
  | { readonly type: 'held'; readonly bucket: Bucket; readonly missing: number }
  | { readonly type: 'count-first'; readonly limitTokens: number }
  | {
      readonly type: 'refused';
      readonly reason: 'spent' | 'size';
      readonly bucket: Bucket;
      readonly retryAfterMs?: number;
    };

type RefusedVerdict = Extract<AdmissionVerdict, { readonly type: 'refused' }>;

/** Evaluates a demand against the buckets that enforce. Their windows must be current. */
export function evaluateAdmission(claims: readonly Claim[], demand: Demand, atMs: number): AdmissionVerdict {
  const { output, inputTokens, leastInputTokens = 1 } = demand;
  const leastOutput = leastOutputOf(output);
  const usualOutput = output.mode === 'lease' ? (output.usual ?? leastOutput) : leastOutput;
  let usualTokens = usualOutput;
  let granted = output.mode === 'none' ? 0 : output.want;
  let heldBy: Bucket | undefined;
  let missing = 0;
  let refused: RefusedVerdict | undefined;
  /** The smallest number of input tokens past which a bucket would refuse. */
  let countTo = Number.POSITIVE_INFINITY;
  for (const { bucket, draw } of claims) {
    if (!bucket.enforced) {
      continue;
    }
    const { perInputToken, perOutputToken } = draw;
    const { window } = bucket;
    const left = window.budget - window.used;
    const free = left - window.held;
    // Other replicas may give back what they have not spent.
    const leftOfAll = window.share === undefined ? left : Math.max(left, window.limit - window.total);
    const isCounted =
      demand.inputCounted || perInputToken === 0 || free >= COUNT_FIRST_FACTOR * perInputToken * inputTokens;
    if (!isCounted) {
      countTo = Math.min(countTo, Math.floor((leftOfAll - draw.fixed) / perInputToken));
    }
    const fixed = fixedUnits(draw, isCounted ? inputTokens : Math.min(leastInputTokens, inputTokens));
    const need = fixed + perOutputToken * leastOutput;
    const firstTokens =
      perOutputToken > 0
        ? Math.max(leastOutput, Math.min(usualOutput, Math.ceil((left - fixed) / perOutputToken / MIN_STREAMS)))
        : 0;
    const firstUnits = fixed + perOutputToken * firstTokens;
    if (need > leftOfAll) {
      refused = graver(refused, refusal(bucket, need, atMs));
    } else if (firstUnits > free) {
      missing = heldBy === undefined ? firstUnits - free : missing;
      heldBy ??= bucket;
    } else if (perOutputToken > 0) {
      const freeTokens = Math.floor((free - fixed) / perOutputToken);
      granted = Math.min(granted, share(output.mode, firstTokens, freeTokens, window.leases.length + 1));
      usualTokens = Math.min(usualTokens, firstTokens);
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

/** The units that a demand needs of a bucket, and those with which it starts as it usually does. */
export interface Need {
  readonly least: number;
  readonly usual: number;
}

/** Returns what must be free so that a demand is admitted without counting or waiting. */
export function needOf(draw: Draw, { inputTokens, inputCounted, output }: Demand): Need {
  const least = fixedUnits(draw, inputTokens) + draw.perOutputToken * leastOutputOf(output);
  const bytes = inputCounted ? 0 : (COUNT_FIRST_FACTOR - 1) * draw.perInputToken * inputTokens;
  const tokens = output.mode === 'none' ? 0 : output.mode === 'bound' ? output.want : (output.usual ?? output.least);
  return { least, usual: least + bytes + draw.perOutputToken * Math.max(0, tokens - leastOutputOf(output)) };
}

/** Whether the least that a demand needs is free in a bucket, by what counts its input now. */
export function hasRoom({ bucket, draw }: Claim, { inputTokens, output }: Demand): boolean {
  return fixedUnits(draw, inputTokens) + draw.perOutputToken * leastOutputOf(output) <= freeIn(bucket.window);
}

export type ExtensionVerdict =
  | { readonly type: 'fits'; readonly outputTokens: number }
  /** Holds of others have some of what this part of the hold needs; `missing` is in units. */
  | { readonly type: 'held'; readonly window: WindowState; readonly missing: number };

/** Evaluates how much more output an open hold gets. */
export function evaluateExtension(parts: readonly HoldPart[], output: OutputDemand): ExtensionVerdict {
  let outputTokens = output.want;
  for (const part of parts) {
    if (limitsOutput(part)) {
      const { window, perOutputToken } = part;
      const free = freeIn(window);
      const need = perOutputToken * output.least;
      if (free < need) {
        return { type: 'held', window, missing: need - free };
      }
      const freeTokens = Math.floor(free / perOutputToken);
      outputTokens = Math.min(outputTokens, share(output.mode, output.least, freeTokens, window.leases.length));
    }
  }
  return { type: 'fits', outputTokens };
}

/** Returns the output tokens that are left for an open hold, where they are fewer than it needs. */
export function remainingTokens(parts: readonly HoldPart[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const part of parts) {
    if (limitsOutput(part)) {
      least = Math.min(least, Math.floor(freeIn(part.window) / part.perOutputToken));
    }
  }
  return Math.max(0, least);
}

function freeIn({ budget, used, held }: WindowState): number {
  return budget - used - held;
}

/** Whether nothing more may be granted of a bucket while the journal cannot be written. */
export function failsClosed({ quota }: BucketRef): boolean {
  return quota.mode === 'Enforce' && quota.onJournalLoss === 'FailClosed';
}

/** The units that a request draws before any output. */
function fixedUnits({ fixed, perInputToken }: Draw, inputTokens: number): number {
  return fixed + perInputToken * inputTokens;
}

function leastOutputOf(output: OutputDemand): number {
  return output.mode === 'none' ? 0 : output.least;
}

function limitsOutput({ window, perOutputToken }: HoldPart): boolean {
  return perOutputToken > 0 && window.bucket.enforced;
}

function share(mode: OutputDemand['mode'], least: number, free: number, streams: number): number {
  return mode === 'lease' ? Math.max(least, Math.floor(free / 2 / Math.max(1, streams))) : free;
}

function refusal(bucket: Bucket, need: number, atMs: number): RefusedVerdict {
  const after = retryAfterMs(bucket, need, atMs);
  const base = { type: 'refused', reason: need > bucket.window.limit ? 'size' : 'spent', bucket } as const;
  return after === undefined ? base : { ...base, retryAfterMs: after };
}

/**
 * Returns after how many milliseconds a demand fits if nothing else is charged; undefined: never.
 */
function retryAfterMs(bucket: Bucket, need: number, atMs: number): number | undefined {
  const { window, definition } = bucket;
  const { limit, share } = window;
  if (need > limit) {
    return undefined;
  }
  if (share !== undefined && share.slidingMs > 0) {
    return Math.max(1, share.retryAtMs - atMs);
  }
  if (window.sliding !== undefined) {
    return Math.max(1, window.sliding.fallsToAtMs(limit - need, atMs) - atMs);
  }
  if (definition.calendar === undefined) {
    return undefined;
  }
  const more = Math.max(0, Math.ceil((window.debt(limit, 1) + need - limit) / limit));
  const fitsAtMs = more === 0 ? window.endMs : definition.calendar.startAfter(window.endMs, more);
  return Math.max(1, fitsAtMs - atMs);
}

/**
 * Returns the refusal that a client must know of: one that can never fit first, then the one with
 * the longest wait.
 */
function graver(one: RefusedVerdict | undefined, other: RefusedVerdict): RefusedVerdict {
  if (one === undefined || one.reason === other.reason) {
    return one === undefined || wait(other) > wait(one) ? other : one;
  }
  return one.reason === 'size' ? one : other;
}

function wait(refused: RefusedVerdict): number {
  return refused.retryAfterMs ?? Number.POSITIVE_INFINITY;
}
