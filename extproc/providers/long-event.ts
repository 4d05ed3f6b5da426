/**
 * Reads an event that is too long to be kept, in pieces as they arrive (images of the Responses API
 * have several megabytes). A scanner reads the data and keeps only what a shape names.
 */
import { newScanner } from '../json/json-tokenizer.ts';
import type { JsonScanner, MatchesByPath } from '../json/scanner.ts';
import type { Shape } from '../json/shape.ts';
import type { TextSink } from '../json/text-sink.ts';

const DATA = Buffer.from('data:');
const LF = 0x0a;
const CR = 0x0d;

export class LongEvent {
  readonly #scanner: JsonScanner;
  readonly #sink: CountingSink;
  /**
   * Matched bytes of the line's `data:` prefix; -1: the line is no data, or the prefix is complete.
   */
  #matched = 0;
  #inData = false;
  #broken = false;

  constructor(shape: Shape) {
    this.#scanner = newScanner(shape, { purpose: 'answer' });
    this.#sink = new CountingSink();
  }

  push(bytes: Uint8Array, start: number, end: number, sink: TextSink): void {
    this.#sink.to = sink;
    for (let at = start; at < end; ) {
      const lineEnd = endOfLine(bytes, at, end);
      at = this.#name(bytes, at, lineEnd);
      if (this.#inData && at < lineEnd) {
        this.#data(bytes.subarray(at, lineEnd));
      }
      at = lineEnd;
      if (at === end) {
        break;
      }
      this.#matched = 0;
      this.#inData = false;
      at++;
    }
  }

  /** The matches, once the event is complete. */
  get found(): MatchesByPath {
    return this.#scanner;
  }

  /** The event was not JSON, or nothing in it is known. */
  get saysNothing(): boolean {
    return (
      this.#broken || (!this.#sink.sawText && this.#scanner.count('type') === 0 && this.#scanner.count('usage') === 0)
    );
  }

  release(): void {
    this.#scanner.release();
  }

  /** Skips the name of a line's field. */
  #name(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && this.#matched >= 0 && !this.#inData) {
      if (bytes[at] !== DATA[this.#matched]) {
        this.#matched = -1;
      } else {
        at++;
        this.#inData = ++this.#matched === DATA.length;
      }
    }
    return this.#inData ? at : end;
  }

  #data(bytes: Uint8Array): void {
    if (this.#scanner.push(bytes, this.#sink) !== undefined) {
      this.#broken = true;
    }
  }
}

class CountingSink implements TextSink {
  to: TextSink | undefined;
  sawText = false;

  text(channel: number, bytes: Uint8Array, start: number, end: number): void {
    if (end > start) {
      this.sawText = true;
    }
    this.to?.text(channel, bytes, start, end);
  }
}

function endOfLine(bytes: Uint8Array, start: number, end: number): number {
  const lf = bytes.indexOf(LF, start);
  const lineEnd = lf < 0 || lf > end ? end : lf;
  const cr = bytes.subarray(start, lineEnd).indexOf(CR);
  return cr < 0 ? lineEnd : start + cr;
}
