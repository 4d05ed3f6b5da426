/** Keeps the verdicts on tokens for a time. */

/** Estimated memory of an entry: a fixed part, and the claims of its token. */
const ENTRY_BYTES = 512;
const BYTES_OF_CHARACTER = 4;

interface CacheEntry<Value> {
  readonly value: Value;
  readonly untilMs: number;
  readonly bytes: number;
}

/**
 * A cache with a limit on its memory. Entries are in two generations: when the younger one is full,
 * the older one is dropped. Entries in use stay, and no order must be kept.
 */
export class TokenCache<Value> {
  readonly #generationBytes: number;
  #young = new Map<string, CacheEntry<Value>>();
  #old = new Map<string, CacheEntry<Value>>();
  #youngBytes = 0;

  constructor(maxBytes: number) {
    this.#generationBytes = maxBytes / 2;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: string, nowMs: number): Value | undefined {
    let entry = this.#young.get(key);
    if (entry === undefined) {
      entry = this.#old.get(key);
      if (entry === undefined) {
        return undefined;
      }
      this.#old.delete(key);
      this.#keep(key, entry);
    }
    return nowMs < entry.untilMs ? entry.value : undefined;
  }

  set(key: string, value: Value, untilMs: number, tokenLength: number): void {
    this.#old.delete(key);
    this.#keep(key, { value, untilMs, bytes: ENTRY_BYTES + BYTES_OF_CHARACTER * tokenLength });
  }

  #keep(key: string, entry: CacheEntry<Value>): void {
    if (this.#youngBytes + entry.bytes > this.#generationBytes) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#youngBytes += entry.bytes - (this.#young.get(key)?.bytes ?? 0);
    this.#young.set(key, entry);
  }
}
