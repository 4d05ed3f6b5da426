/** Long work on a policy, in slices that let chunks of answers through. */

/** What is done in one piece may take this long. */
export const SLICE_MS = 2;

export function untilLater(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Runs work that yields wherever it can be interrupted. `pause` lets others work. */
export async function inSlices<Result>(
  work: Generator<void, Result>,
  pause: () => Promise<void> = untilLater,
): Promise<Result> {
  for (let sinceMs = performance.now(); ; ) {
    const { done, value } = work.next();
    if (done === true) {
      return value;
    }
    if (performance.now() - sinceMs < SLICE_MS) {
      continue;
    }
    await pause();
    sinceMs = performance.now();
  }
}

/** Runs such work in one piece. */
export function atOnce<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) {
      return value;
    }
  }
}
