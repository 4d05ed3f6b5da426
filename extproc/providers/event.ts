/**
 * The data of one server-sent event, as far as the adapters need it:
 * https://html.spec.whatwg.org/multipage/server-sent-events.html
 */

/**
 * The range of an event's data: in the event's own buffer (`inPlace`) or, for several lines,
 * joined.
 */
export class EventData {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  inPlace = true;

  /**
   * Finds the data of the event [start, end). Returns false if there is none (a comment, an empty
   * event).
   */
  find(bytes: Uint8Array, start: number, end: number): boolean {
    let lines = 0;
    let at = start;
    this.bytes = bytes;
    this.inPlace = true;
    let joined: number[] | undefined;
    while (at < end) {
      let lineEnd = at;
      while (lineEnd < end && bytes[lineEnd] !== 0x0a && bytes[lineEnd] !== 0x0d) {
        lineEnd++;
      }
      if (isDataLine(bytes, at, lineEnd)) {
        const from = bytes[at + 5] === 0x20 ? at + 6 : at + 5;
        if (lines === 0) {
          this.start = Math.min(from, lineEnd);
          this.end = lineEnd;
        } else {
          joined ??= [this.start, this.end];
          joined.push(Math.min(from, lineEnd), lineEnd);
        }
        lines++;
      }
      at = lineEnd + 1;
    }
    if (joined !== undefined) {
      this.#join(joined);
    }
    return lines > 0;
  }

  /** Returns whether the data is exactly this ASCII text. */
  is(text: string): boolean {
    if (this.end - this.start !== text.length) {
      return false;
    }
    for (let at = 0; at < text.length; at++) {
      if (this.bytes[this.start + at] !== text.charCodeAt(at)) {
        return false;
      }
    }
    return true;
  }

  #join(spans: readonly number[]): void {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < spans.length; at += 2) {
      if (at > 0) {
        parts.push(NEWLINE);
      }
      parts.push(this.bytes.subarray(spans[at], spans[at + 1]));
    }
    this.bytes = Buffer.concat(parts);
    this.start = 0;
    this.end = this.bytes.length;
    this.inPlace = false;
  }
}

const NEWLINE = Buffer.from('\n');

function isDataLine(bytes: Uint8Array, start: number, end: number): boolean {
  return (
    end - start >= 5 &&
    bytes[start] === 0x64 &&
    bytes[start + 1] === 0x61 &&
    bytes[start + 2] === 0x74 &&
    bytes[start + 3] === 0x61 &&
    bytes[start + 4] === 0x3a
  );
}
