/**
 * Writes streams of the Responses API, and ends them early with every `…done` event, continued
 * sequence numbers and `response.incomplete`.
 */
import type { Failure } from '../../errors.ts';
import type { Usage } from '../../usage.ts';
import type { EventVerdict, ResponseOptions, StreamWriter } from '../adapter.ts';
import type { KeptText } from '../kept-text.ts';
import { openAiError } from './errors.ts';
import { emptyResponse, responseUsage } from './response-body.ts';
import type { RawJson } from './response-event.ts';
import type { DeltaPosition, ResponseChange, ResponseEventFacts } from './response-event-facts.ts';
import { parsed, ResponseItems } from './response-items.ts';

const NOTHING = new Uint8Array(0);

export class ResponseStreamWriter implements StreamWriter<ResponseEventFacts> {
  readonly replacement: Uint8Array = NOTHING;
  readonly #model: string;
  readonly #items = new ResponseItems();
  #response: RawJson | undefined;
  #created = false;
  #sequence = -1;
  #ended = false;
  /** The position of the latest delta, and the text there; looked up again after each change. */
  #delta: DeltaPosition | undefined;
  #text: KeptText | undefined;

  constructor({ model }: ResponseOptions) {
    this.#model = model;
  }

  write(bytes: Uint8Array, start: number, _end: number, facts: ResponseEventFacts): EventVerdict {
    const { sequence, delta, change } = facts;
    if (sequence >= 0) {
      this.#sequence = sequence;
    }
    if (delta !== undefined) {
      if (delta !== this.#delta) {
        this.#delta = delta;
        this.#text = this.#textAt(delta);
      }
      if (this.#text !== undefined) {
        facts.addText(this.#text, bytes, start);
      }
    }
    if (change !== undefined) {
      this.#delta = undefined;
      this.#apply(change);
    }
    return 'pass';
  }

  truncate(usage: Usage): Uint8Array {
    if (this.#ended) {
      return NOTHING;
    }
    const response = this.#base();
    const events: Record<string, unknown>[] = [];
    if (!this.#created) {
      events.push({ type: 'response.created', response });
    }
    events.push(...this.#items.closingEvents(), {
      type: 'response.incomplete',
      response: {
        ...response,
        status: 'incomplete',
        incomplete_details: { reason: 'max_output_tokens' },
        output: this.#items.output(),
        usage: responseUsage(usage),
      },
    });
    return this.#written(events);
  }

  fail(failure: Failure): Uint8Array {
    const { error } = openAiError(failure);
    const response = {
      ...this.#base(),
      status: 'failed',
      error: { code: failure.code, message: failure.message },
    };
    return this.#written([
      { type: 'error', error },
      { type: 'response.failed', response },
    ]);
  }

  #textAt(delta: DeltaPosition): KeptText | undefined {
    return delta.of === 'input' ? this.#items.inputText(delta) : this.#items.partText(delta, delta.of === 'summary');
  }

  #apply(change: ResponseChange): void {
    const items = this.#items;
    switch (change.type) {
      case 'created':
        this.#created = true;
        this.#response = change.response ?? this.#response;
        break;
      case 'item-added':
        items.add(change.place);
        break;
      case 'item-done':
        items.end(change.place);
        break;
      case 'input-done':
        items.endInput(change.place);
        break;
      case 'part-added':
        items.addPart(change.place, change.summary);
        break;
      case 'part-done':
        items.endPart(change.place, change.summary);
        break;
      case 'text-done':
        items.endText(change.place, change.summary);
        break;
      case 'ended':
        this.#ended = true;
        break;
      default:
        throw new Error(`unknown change ${(change satisfies never as ResponseChange).type}`);
    }
  }

  /** Returns the response as the provider described it at the start. */
  #base(): Record<string, unknown> {
    return parsed(this.#response) ?? emptyResponse(this.#model);
  }

  #written(events: readonly Record<string, unknown>[]): Uint8Array {
    const text = events.map(({ type, ...members }, place) => {
      const data = { type, sequence_number: this.#sequence + 1 + place, ...members };
      return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
    });
    return Buffer.from(text.join(''));
  }
}
