/** Ends streams of generateContent early; all events pass. */
import { jsonText } from '../../../runtime/json-text.ts';
import type { Failure } from '../../errors.ts';
import type { Usage } from '../../usage.ts';
import type { EventVerdict, RequestFacts, ResponseOptions, StreamWriter } from '../adapter.ts';
import type { ContentEventFacts, ContentHead } from './content-stream-reader.ts';
import { googleError } from './errors.ts';

const NOTHING = new Uint8Array(0);

export class ContentStreamWriter implements StreamWriter<ContentEventFacts> {
  readonly replacement: Uint8Array = NOTHING;
  readonly #open: Set<number>;
  #head: ContentHead;
  #ended = false;

  constructor({ choices }: RequestFacts, { model, requestId = '' }: ResponseOptions) {
    this.#open = new Set(Array.from({ length: choices }, (_, index) => index));
    this.#head = { responseId: requestId, modelVersion: model };
  }

  write(_bytes: Uint8Array, _start: number, _end: number, facts: ContentEventFacts): EventVerdict {
    for (const index of facts.finished) {
      this.#open.delete(index);
    }
    this.#head = facts.head ?? this.#head;
    this.#ended ||= facts.ends;
    return 'pass';
  }

  truncate(usage: Usage): Uint8Array {
    if (this.#ended || this.#open.size === 0) {
      return NOTHING;
    }
    this.#ended = true;
    const candidates = [...this.#open].map((index) => ({
      content: { parts: [{ text: '' }], role: 'model' },
      finishReason: 'MAX_TOKENS',
      index,
    }));
    return Buffer.from(contentEvent({ candidates, usageMetadata: usageMetadata(usage), ...this.#head }));
  }

  fail(failure: Failure): Uint8Array {
    return Buffer.from(contentEvent(googleError(failure)));
  }
}

/** Lines end as in Google's own streams. */
export function contentEvent(response: object): string {
  return `data: ${jsonText(response)}\r\n\r\n`;
}

export function usageMetadata({ input, output, cachedInput, reasoningOutput }: Usage): object {
  return {
    promptTokenCount: input,
    candidatesTokenCount: Math.max(0, output - reasoningOutput),
    totalTokenCount: input + output,
    ...(cachedInput > 0 && { cachedContentTokenCount: cachedInput }),
    ...(reasoningOutput > 0 && { thoughtsTokenCount: reasoningOutput }),
  };
}
