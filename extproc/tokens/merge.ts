import type { Ranks } from './ranks.ts';
import { MAX_PIECE_BYTES } from './split.ts';

/**
 * Byte-pair merging: counts the tokens of a piece. Adjacent parts that form a token are merged,
 * lowest rank first, then leftmost. A heap makes this nearly linear, where the usual search for the
 * lowest rank is quadratic. The arrays are shared, because everything here is synchronous.
 */
const next = new Int32Array(MAX_PIECE_BYTES + 2);
const previous = new Int32Array(MAX_PIECE_BYTES + 2);
/** Rank of the token that a part and the next part form, or -1. */
const joined = new Int32Array(MAX_PIECE_BYTES + 2);
/** `rank * PLACES + place`, smallest first. Stale entries are skipped. */
const heap = new Int32Array(MAX_PIECE_BYTES * 4);
const PLACES = 2048;
let heapSize = 0;

export function tokensOfPiece(ranks: Ranks, bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length === 1 || ranks.rank(bytes, start, end) !== -1) {
    return 1;
  }
  heapSize = 0;
  for (let at = 0; at < length; at++) {
    next[at] = at + 1;
    previous[at] = at - 1;
    const rank = at + 2 <= length ? ranks.rank(bytes, start + at, start + at + 2) : -1;
    joined[at] = rank;
    if (rank !== -1) {
      push(rank * PLACES + at);
    }
  }
  next[length] = length;
  let parts = length;
  while (heapSize > 0) {
    const top = pop();
    const at = top % PLACES;
    if (joined[at] !== (top - at) / PLACES) {
      continue;
    }
    const gone = next[at]!;
    const after = next[gone]!;
    next[at] = after;
    if (after < length) {
      previous[after] = at;
    }
    joined[gone] = -1;
    parts--;
    join(ranks, bytes, start, length, at);
    const before = previous[at]!;
    if (before !== -1) {
      join(ranks, bytes, start, length, before);
    }
  }
  return parts;
}

function join(ranks: Ranks, bytes: Uint8Array, start: number, length: number, at: number): void {
  const middle = next[at]!;
  const rank = middle < length ? ranks.rank(bytes, start + at, start + next[middle]!) : -1;
  joined[at] = rank;
  if (rank !== -1) {
    push(rank * PLACES + at);
  }
}

function push(entry: number): void {
  let at = heapSize++;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= entry) {
      break;
    }
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = entry;
}

function pop(): number {
  const top = heap[0]!;
  const last = heap[--heapSize]!;
  let at = 0;
  for (;;) {
    let child = at * 2 + 1;
    if (child >= heapSize) {
      break;
    }
    if (child + 1 < heapSize && heap[child + 1]! < heap[child]!) {
      child++;
    }
    if (heap[child]! >= last) {
      break;
    }
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
  return top;
}
