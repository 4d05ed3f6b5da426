/** Long counts of many requests, a slice at a time in turn, so that none of them and none of the streams waits for another. */
import type { SlicedCount } from '../tokens/meter.ts';

const SLICE_MS = 2;

export interface CountQueue {
  /** `done` comes later, never within the call. The answer stops the count: `done` is not called then. */
  add(count: SlicedCount, done: (tokens: number) => void): () => void;
}

export function newCountQueue(): CountQueue {
  let jobs: { readonly count: SlicedCount; readonly done: (tokens: number) => void }[] = [];
  const work = () => {
    const job = jobs.shift();
    if (job === undefined) return;
    if (job.count.step(SLICE_MS)) job.done(job.count.tokens);
    else jobs.push(job);
    if (jobs.length > 0) setImmediate(work);
  };
  return {
    add(count, done) {
      const job = { count, done };
      jobs.push(job);
      if (jobs.length === 1) setImmediate(work);
      return () => {
        jobs = jobs.filter((other) => other !== job);
      };
    },
  };
}
