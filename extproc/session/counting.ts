/**
 * Long token counts of many requests, in slices and in turn, so that neither they nor streams wait
 * for one another.
 */
import type { SlicedCount } from '../tokens/meter.ts';

const SLICE_MS = 2;

/**
 * How often our count is compared with the provider's. A count takes up to 3 ms: 0.3% of the event
 * loop.
 */
const COMPARE_EVERY_MS = 1000;

export interface CountQueue {
  /**
   * Calls exactly one of `done` and `failed`, after this call. The function returned stops the
   * count; neither is called then.
   */
  add(count: SlicedCount, done: (tokens: number) => void, failed: (error: unknown) => void): () => void;
}

interface Job {
  readonly count: SlicedCount;
  readonly done: (tokens: number) => void;
  readonly failed: (error: unknown) => void;
}

export function newCountQueue(): CountQueue {
  let jobs: Job[] = [];
  let scheduled = false;
  const schedule = () => {
    if (scheduled || jobs.length === 0) {
      return;
    }
    scheduled = true;
    setImmediate(work);
  };
  const work = () => {
    scheduled = false;
    const job = jobs.shift();
    if (job === undefined) {
      return;
    }
    try {
      if (job.count.step(SLICE_MS)) {
        job.done(job.count.tokens);
      } else {
        jobs.push(job);
      }
    } catch (error) {
      job.failed(error);
    } finally {
      schedule();
    }
  };
  return {
    add(count, done, failed) {
      const job = { count, done, failed };
      jobs.push(job);
      schedule();
      return () => {
        jobs = jobs.filter((other) => other !== job);
      };
    },
  };
}

/** Selects the first response of each second. */
export function newComparison(): (nowMs: number) => boolean {
  let nextMs = 0;
  return (nowMs) => {
    if (nowMs < nextMs) {
      return false;
    }
    nextMs = nowMs + COMPARE_EVERY_MS;
    return true;
  };
}
