/** What texts of a response are part of: an event of a stream, or a whole document. */
import type { Splice } from '../../json/splice.ts';
import { offsetOfUnit } from '../text/string-units.ts';

export class HeldText {
  bytes: Uint8Array;
  /** Where the event begins in the bytes; offsets of texts count from here. */
  base: number;
  readonly length: number;
  /** The texts that are not completely decided. */
  undecided = 0;
  /** In no order. */
  readonly edits: Splice[] = [];
  /** What takes the place of parts where the response is blocked: the reason to finish. */
  finishes: readonly Splice[] = [];
  readonly sinceMs: number;

  constructor(bytes: Uint8Array, base: number, length: number, sinceMs: number) {
    this.bytes = bytes;
    this.base = base;
    this.length = length;
    this.sinceMs = sinceMs;
  }

  /** Replaces units [from, to) of the text whose raw contents are [start, end). */
  edit(start: number, end: number, from: number, to: number, bytes: Uint8Array): void {
    const { base } = this;
    const [first, last] = [base + start, base + end];
    const cutFrom = offsetOfUnit(this.bytes, first, last, from);
    const cutTo = offsetOfUnit(this.bytes, cutFrom, last, to - from);
    if (cutTo > cutFrom || bytes.length > 0) {
      this.edits.push({ start: cutFrom - base, end: cutTo - base, bytes });
    }
  }

  /** Returns the bytes with all edits. */
  edited(): Uint8Array {
    const { bytes, base, length } = this;
    const edits = this.edits.toSorted((one, other) => one.start - other.start || one.end - other.end);
    const pieces: Uint8Array[] = [];
    let done = 0;
    for (const { start, end, bytes: inserted } of edits) {
      if (start < done) {
        continue;
      }
      pieces.push(bytes.subarray(base + done, base + start), inserted);
      done = end;
    }
    pieces.push(bytes.subarray(base + done, base + length));
    return Buffer.concat(pieces);
  }
}
