/**
 * Reads an event that is too long to be kept (images of the Responses API have several megabytes), in pieces as they come: a scanner takes its data, and
 * of that only what a shape names is kept.
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
  /** Bytes of `data:` that the line has begun with so far; -1: the line is no data, or past its name. */
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

  /** What was found, once the event is at its end. */
  get found(): MatchesByPath {
    return this.#scanner;
  }

  /** It was no JSON, or had nothing that is known. */
  get saysNothing(): boolean {
    return (
      this.#broken || (!this.#sink.sawText && this.#scanner.count('type') === 0 && this.#scanner.count('usage') === 0)
    );
  }

  release(): void {
    this.#scanner.release();
  }

  /** Steps over the name of a line's field. */
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
