/** Long counts of many requests, a slice at a time in turn, so that none of them and none of the streams waits for another. */
import type { SlicedCount } from '../tokens/meter.ts';

const SLICE_MS = 2;

/** Our count of an answer is compared with the provider's this often: it takes up to 3 ms, so 0.3% of the event loop. */
const COMPARE_EVERY_MS = 1000;

export interface CountQueue {
  /** Exactly one of the two comes later, never within the call. The function that is returned stops the count: then neither comes. */
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

/** Says yes to the first answer of each second. */
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
