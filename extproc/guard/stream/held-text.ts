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
  /** The place of the last edit: where its text begins, its unit, and its offset. */
  #editStart = -1;
  #editUnit = 0;
  #editOffset = 0;

  constructor(bytes: Uint8Array, base: number, length: number, sinceMs: number) {
    this.bytes = bytes;
    this.base = base;
    this.length = length;
    this.sinceMs = sinceMs;
  }

  /** Replaces units [from, to) of the text whose raw contents are [start, end). */
  edit(start: number, end: number, from: number, to: number, bytes: Uint8Array): void {
    const { base } = this;
    const last = base + end;
    const cutFrom = this.#offsetOf(start, end, from);
    const cutTo = offsetOfUnit(this.bytes, cutFrom, last, to - from);
    if (cutTo > cutFrom || bytes.length > 0) {
      this.edits.push({ start: cutFrom - base, end: cutTo - base, bytes });
    }
  }

  /** Searches from the last edit on: a long text may have thousands. */
  #offsetOf(start: number, end: number, unit: number): number {
    const { bytes, base } = this;
    const goesOn = this.#editStart === start && this.#editUnit <= unit;
    const from = goesOn ? this.#editOffset : start;
    const offset = offsetOfUnit(bytes, base + from, base + end, goesOn ? unit - this.#editUnit : unit);
    // A unit inside of a character of four bytes has the offset of the next one.
    if (offset - base - start < 4 || bytes[offset - 4]! < 0xf0) {
      this.#editStart = start;
      this.#editUnit = unit;
      this.#editOffset = offset - base;
    }
    return offset;
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
