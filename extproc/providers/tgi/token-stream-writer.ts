/**
 * Writes streams of tokens: removes the details that only the gateway asked for, and ends a stream
 * early with the whole text that was sent.
 */
import type { Failure } from '../../errors.ts';
import type { Usage } from '../../usage.ts';
import type { EventVerdict, ResponseOptions, StreamWriter } from '../adapter.ts';
import { KeptBudget, KeptText } from '../kept-text.ts';
import { tgiError } from './errors.ts';
import type { TokenEventFacts } from './token-stream-reader.ts';

const NOTHING = new Uint8Array(0);
const NULL = Buffer.from('null');

export class TokenStreamWriter implements StreamWriter<TokenEventFacts> {
  replacement: Uint8Array = NOTHING;
  readonly #hideUsage: boolean;
  readonly #text = new KeptText(new KeptBudget());
  #tokens = 0;
  #ended = false;

  constructor({ hideUsage }: ResponseOptions) {
    this.#hideUsage = hideUsage;
  }

  write(bytes: Uint8Array, start: number, end: number, facts: TokenEventFacts): EventVerdict {
    if (facts.token) {
      this.#tokens++;
    }
    if (facts.hasText) {
      facts.addText(this.#text, bytes, start);
    }
    this.#ended ||= facts.ended;
    if (!this.#hideUsage || facts.detailsEnd === 0) {
      return 'pass';
    }
    this.replacement = Buffer.concat([
      bytes.subarray(start, start + facts.detailsStart),
      NULL,
      bytes.subarray(start + facts.detailsEnd, end),
    ]);
    return 'replace';
  }

  truncate(usage: Usage): Uint8Array {
    if (this.#ended) {
      return NOTHING;
    }
    return event({
      index: this.#tokens + 1,
      // Clients do not show special tokens, and every event must have a token.
      token: { id: 0, text: '', logprob: 0, special: true },
      generated_text: this.#text.toString(),
      details: { finish_reason: 'length', generated_tokens: usage.output, seed: null, input_length: usage.input },
    });
  }

  fail(failure: Failure): Uint8Array {
    return event(tgiError(failure));
  }
}

function event(data: object): Uint8Array {
  return Buffer.from(`data:${JSON.stringify(data)}\n\n`);
}
