/** Runs long work on a policy in slices, so that response chunks are forwarded in between. */

/** The longest time that work runs without yielding to the event loop. */
export const SLICE_MS = 2;

export function untilLater(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Runs a generator that yields wherever it can be interrupted. `pause` yields to the event loop.
 */
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

/** Runs the generator without interruption. */
export function atOnce<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) {
      return value;
    }
  }
}
