import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until `probe` returns a value other than `undefined` or `false`. Throws with `what` and
 * `detail()` on timeout.
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 5_000,
  detail: () => string = () => '',
): Promise<T> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) {
      return found;
    }
    if (performance.now() > until) {
      throw new Error(`no ${what} within ${timeoutMs} ms ${detail()}`);
    }
    await sleep(20);
  }
}

/** Throws if `work` takes longer. */
export async function within<T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
