/** An edit of a document: `bytes` replace [start, end). Lists are sorted and do not overlap. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly bytes: Uint8Array;
}

/**
 * Applies the splices to a document in pieces. Unchanged bytes are not copied: the result holds
 * views of them.
 */
export function splice(pieces: readonly Uint8Array[], splices: readonly Splice[]): Uint8Array[] {
  const result: Uint8Array[] = [];
  let base = 0;
  let next = 0;
  /** Bytes before this offset are written or replaced. */
  let done = 0;
  for (const piece of pieces) {
    const end = base + piece.length;
    while (done < end) {
      const change = splices[next];
      const until = change === undefined ? end : Math.min(end, change.start);
      if (done < until) {
        result.push(piece.subarray(done - base, until - base));
      }
      done = Math.max(done, until);
      if (change === undefined || change.start >= end) {
        break;
      }
      if (change.bytes.length > 0) {
        result.push(change.bytes);
      }
      done = Math.max(done, change.end);
      next++;
    }
    base = end;
  }
  for (; next < splices.length; next++) {
    result.push(splices[next]!.bytes);
  }
  return result;
}
