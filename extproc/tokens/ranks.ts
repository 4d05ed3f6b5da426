/**
 * The tokens of an encoding by their bytes: a hash table over one buffer of 8 MB, where a `Map` of
 * strings takes 70.
 */
export interface Ranks {
  /** Length of the longest token in bytes. */
  readonly longest: number;
  /** Returns the rank of the token with these bytes, or -1. Lower ranks merge first. */
  rank(bytes: Uint8Array, start: number, end: number): number;
}

const LF = 0x0a;
const SPACE = 0x20;

/** Lines of a rank file that are read at a time: about 1 ms. */
const LINES_A_SLICE = 4_000;

/** `IQ== 0` and a line feed. */
const SHORTEST_LINE_BYTES = 7;

/**
 * Reads a rank file (lines of `BASE64 RANK`, ranks ascending from 0). Yields now and then, so that
 * the caller can let other work run.
 */
export function* readRanks(file: Uint8Array): Generator<void, Ranks> {
  const offsets = new Uint32Array(file.length / SHORTEST_LINE_BYTES + 1);
  const bytes = new Uint8Array(Math.ceil(file.length * 0.75));
  let lines = 0;
  for (let at = 0; at < file.length; ) {
    const space = file.indexOf(SPACE, at);
    offsets[lines + 1] = decodeBase64(file, at, space, bytes, offsets[lines]!);
    lines++;
    at = file.indexOf(LF, space) + 1;
    if (lines % LINES_A_SLICE === 0) {
      yield;
    }
  }
  const table = new HashTable(bytes.slice(0, offsets[lines]), offsets.slice(0, lines + 1));
  for (let rank = 0; rank < lines; rank++) {
    table.add(rank);
    if (rank % LINES_A_SLICE === 0) {
      yield;
    }
  }
  return table;
}

class HashTable implements Ranks {
  readonly #bytes: Uint8Array;
  readonly #offsets: Uint32Array;
  /** Rank + 1 by hash, with linear probing; less than half full. */
  readonly #places: Int32Array;
  readonly #mask: number;
  longest = 0;

  constructor(bytes: Uint8Array, offsets: Uint32Array) {
    this.#bytes = bytes;
    this.#offsets = offsets;
    this.#places = new Int32Array(2 ** Math.ceil(Math.log2(offsets.length * 2)));
    this.#mask = this.#places.length - 1;
  }

  add(rank: number): void {
    const start = this.#offsets[rank]!;
    const end = this.#offsets[rank + 1]!;
    let place = hash(this.#bytes, start, end) & this.#mask;
    while (this.#places[place] !== 0) {
      place = (place + 1) & this.#mask;
    }
    this.#places[place] = rank + 1;
    this.longest = Math.max(this.longest, end - start);
  }

  rank(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length > this.longest) {
      return -1;
    }
    const known = this.#bytes;
    const offsets = this.#offsets;
    let place = hash(bytes, start, end) & this.#mask;
    for (;;) {
      const rank = this.#places[place]! - 1;
      if (rank === -1) {
        return -1;
      }
      const from = offsets[rank]!;
      if (offsets[rank + 1]! - from === length) {
        let same = 0;
        while (same < length && known[from + same] === bytes[start + same]) {
          same++;
        }
        if (same === length) {
          return rank;
        }
      }
      place = (place + 1) & this.#mask;
    }
  }
}

function hash(bytes: Uint8Array, start: number, end: number): number {
  let value = end - start;
  for (let at = start; at < end; at++) {
    value = Math.imul(value ^ bytes[at]!, 0x01000193);
  }
  return value ^ (value >>> 15);
}

function decodeBase64(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  let bits = 0;
  let held = 0;
  let size = at;
  for (let index = start; index < end; index++) {
    const digit = BASE64[from[index]!]!;
    if (digit === 255) {
      break;
    }
    held = (held << 6) | digit;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      to[size++] = (held >> bits) & 0xff;
    }
  }
  return size;
}

const BASE64 = ((): Uint8Array => {
  const digits = new Uint8Array(256).fill(255);
  [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].forEach((char, value) => {
    digits[char.charCodeAt(0)] = value;
  });
  return digits;
})();
