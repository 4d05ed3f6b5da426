/** A repeatable random source: the same seed makes the same choices. */
export interface Random {
  /** Returns a number in [0, 1). */
  next(): number;
  /** Returns a whole number in [from, to]. */
  between(from: number, to: number): number;
  pick<T>(list: readonly T[]): T;
  bytes(count: number): Buffer;
}

/** Mulberry32. */
export function newRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
  return {
    next,
    between,
    pick: (list) => list[between(0, list.length - 1)]!,
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => between(0, 255))),
  };
}
