/**
 * Text whose count may be asked for later, in bounded memory: short text whole, long text by its beginning. A count from a beginning is an estimate, and
 * every charge that uses one says so.
 */
import type { Tokenizer } from '../../contract/policy.ts';
import type { TextSink } from '../providers/adapter.ts';
import type { ScannedBody } from '../stream/json.ts';
import { newSlicedCount } from '../tokens/count.ts';

/** Counting so much takes about 2 ms. */
const SAMPLE_BYTES = 16 * 1024;

export interface TextSample extends TextSink {
  /** All bytes of text, kept or not. */
  readonly bytes: number;
  /** Nothing more is kept. */
  readonly full: boolean;
  /** Text that is not shown. */
  skip(bytes: number): void;
  /** Tokens of all text: exact while all of it is kept. */
  tokens(): number;
}

export function newTextSample(tokenizer: Tokenizer, model: string): TextSample {
  let kept = Buffer.alloc(0);
  let used = 0;
  let total = 0;
  return {
    get bytes() {
      return total;
    },
    get full() {
      return used === SAMPLE_BYTES;
    },
    skip(bytes) {
      total += bytes;
    },
    text(_channel, bytes, start, end) {
      total += end - start;
      const take = Math.min(end - start, SAMPLE_BYTES - used);
      if (take <= 0) return;
      if (used + take > kept.length) {
        const grown = Buffer.allocUnsafeSlow(Math.min(SAMPLE_BYTES, Math.max(256, 2 * (used + take))));
        kept.copy(grown, 0, 0, used);
        kept = grown;
      }
      kept.set(bytes.subarray(start, start + take), used);
      used += take;
    },
    tokens() {
      if (used === 0) return 0;
      const count = newSlicedCount([kept.subarray(0, used)], tokenizer, model);
      while (!count.step(Number.POSITIVE_INFINITY));
      return Math.ceil((count.tokens * total) / used);
    },
  };
}

/** Enough of the request's text to count it later, should the provider not tell. */
export function sampleOf(body: ScannedBody, tokenizer: Tokenizer, model: string): TextSample {
  const sample = newTextSample(tokenizer, model);
  for (const bytes of spansOf(body)) {
    sample.text(0, bytes, 0, bytes.length);
    if (sample.full) break;
  }
  sample.skip(body.textBytes - sample.bytes);
  return sample;
}

/** The request's text as views of the pieces that it came in. */
export function* spansOf({ bytes: pieces, textSpanPairs }: ScannedBody): Generator<Uint8Array> {
  let index = 0;
  let offset = 0;
  for (let span = 0; span < textSpanPairs.length; span += 2) {
    let from = textSpanPairs[span]!;
    const end = textSpanPairs[span + 1]!;
    while (from < end) {
      while (offset + pieces[index]!.length <= from) {
        offset += pieces[index]!.length;
        index += 1;
      }
      const to = Math.min(end, offset + pieces[index]!.length);
      yield pieces[index]!.subarray(from - offset, to - offset);
      from = to;
    }
  }
}
