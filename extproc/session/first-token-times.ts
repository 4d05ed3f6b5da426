/**
 * How long backends take until their first token: a mean of the responses that this process has
 * seen, in which a response counts half after each half-life.
 */

const HALF_LIFE_MS = 30_000;

/** A mean without a response for this long says nothing about the backend of now. */
const STALE_MS = 10 * HALF_LIFE_MS;

/** Past this number of keys, the one without a response for the longest time is dropped. */
const MAX_KEYS = 1_000;

interface Mean {
  sumMs: number;
  weight: number;
  atMs: number;
}

export class FirstTokenTimes {
  readonly #means = new Map<string, Mean>();

  observe(key: string, ms: number, nowMs: number): void {
    let mean = this.#means.get(key);
    if (mean === undefined) {
      if (this.#means.size >= MAX_KEYS) {
        this.#dropOldest();
      }
      mean = { sumMs: 0, weight: 0, atMs: nowMs };
      this.#means.set(key, mean);
    }
    const kept = 0.5 ** (Math.max(0, nowMs - mean.atMs) / HALF_LIFE_MS);
    mean.sumMs = mean.sumMs * kept + ms;
    mean.weight = mean.weight * kept + 1;
    mean.atMs = nowMs;
  }

  /** Notes that no token came within this time; a shorter time than the mean says nothing. */
  observeNone(key: string, ms: number, nowMs: number): void {
    if (ms > (this.mean(key, nowMs) ?? 0)) {
      this.observe(key, ms, nowMs);
    }
  }

  /** Returns undefined where no response is known, or only old ones. */
  mean(key: string, nowMs: number): number | undefined {
    const mean = this.#means.get(key);
    return mean === undefined || nowMs - mean.atMs > STALE_MS ? undefined : mean.sumMs / mean.weight;
  }

  #dropOldest(): void {
    let oldest: string | undefined;
    let atMs = Number.POSITIVE_INFINITY;
    for (const [key, mean] of this.#means) {
      if (mean.atMs < atMs) {
        atMs = mean.atMs;
        oldest = key;
      }
    }
    if (oldest !== undefined) {
      this.#means.delete(oldest);
    }
  }
}
