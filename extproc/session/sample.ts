/**
 * Text that may be counted later, in bounded memory: all of a short text, the beginning of a long
 * one. A count from a beginning is an estimate, and its charge is marked as one.
 */
import type { Tokenizer } from '../../contract/policy.ts';
import { copyBytes } from '../../runtime/copy-bytes.ts';
import type { ScannedBody } from '../json/scanner.ts';
import type { TextSink } from '../json/text-sink.ts';
import { newSlicedCount } from '../tokens/count.ts';

/** Counting this much takes about 2 ms. */
const SAMPLE_BYTES = 16 * 1024;

export interface TextSample extends TextSink {
  /** All bytes of text, kept or not. */
  readonly bytes: number;
  /** No more text is kept. */
  readonly full: boolean;
  /** Notes text that is not passed in. */
  skip(bytes: number): void;
  /** Returns the tokens of all text, exact where all of it is kept. */
  tokens(): number;
  /** Returns undefined where the count is not exact. */
  exactTokens(): number | undefined;
}

export function newTextSample(tokenizer: Tokenizer, model: string): TextSample {
  return new Sample(tokenizer, model);
}

const NOTHING = Buffer.alloc(0);

class Sample implements TextSample {
  bytes = 0;
  readonly #tokenizer: Tokenizer;
  readonly #model: string;
  #kept = NOTHING;
  #used = 0;

  constructor(tokenizer: Tokenizer, model: string) {
    this.#tokenizer = tokenizer;
    this.#model = model;
  }

  get full(): boolean {
    return this.#used === SAMPLE_BYTES;
  }

  skip(bytes: number): void {
    this.bytes += bytes;
  }

  text(_channel: number, bytes: Uint8Array, start: number, end: number): void {
    this.bytes += end - start;
    const take = Math.min(end - start, SAMPLE_BYTES - this.#used);
    if (take <= 0) {
      return;
    }
    if (this.#used + take > this.#kept.length) {
      const grown = Buffer.allocUnsafe(Math.min(SAMPLE_BYTES, Math.max(this.#used + take, 2 * this.#kept.length)));
      this.#kept.copy(grown, 0, 0, this.#used);
      this.#kept = grown;
    }
    copyBytes(bytes, start, start + take, this.#kept, this.#used);
    this.#used += take;
  }

  exactTokens(): number | undefined {
    return this.bytes === this.#used ? this.tokens() : undefined;
  }

  tokens(): number {
    if (this.#used === 0) {
      return 0;
    }
    const count = newSlicedCount([this.#kept.subarray(0, this.#used)], this.#tokenizer, this.#model);
    while (!count.step(Number.POSITIVE_INFINITY)) {}
    return Math.ceil((count.tokens * this.bytes) / this.#used);
  }
}

/** Keeps enough of the request's text to count it later if the provider reports no usage. */
export function sampleOf(body: ScannedBody, tokenizer: Tokenizer, model: string): TextSample {
  const sample = newTextSample(tokenizer, model);
  const { bytes: pieces } = body;
  let index = 0;
  let offset = 0;
  for (const spans = body.textSpans(); !sample.full && spans.next(); ) {
    let from = spans.start;
    const { end } = spans;
    while (from < end) {
      while (offset + pieces[index]!.length <= from) {
        offset += pieces[index]!.length;
        index += 1;
      }
      const to = Math.min(end, offset + pieces[index]!.length);
      sample.text(0, pieces[index]!, from - offset, to - offset);
      from = to;
    }
  }
  sample.skip(body.textBytes - sample.bytes);
  return sample;
}
