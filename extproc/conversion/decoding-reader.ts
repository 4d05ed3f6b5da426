/**
 * Reads a provider's stream twice: the provider's own reader meters it, and a decoder reads what
 * the client gets. So a converted stream is counted and cut exactly as one that passes.
 */
import type { TextSink } from '../json/text-sink.ts';
import type { EventReader, StreamState } from '../providers/adapter.ts';
import { EventData } from '../providers/event.ts';
import type { Usage } from '../usage.ts';
import { AnswerFacts, type AnswerPart } from './answer.ts';
import type { AnswerDecoder } from './conversion.ts';
import { unreadableAnswer } from './failures.ts';

const NO_FACTS = new AnswerFacts([]);

/** Twice what the text of an event may have; a longer event ends the stream. */
const MAX_EVENT_BYTES = 4 * 1024 * 1024;

export class DecodingReader implements EventReader<AnswerFacts> {
  readonly #meter: EventReader;
  readonly #decoder: AnswerDecoder;
  readonly #eventData: (event: Uint8Array) => string | undefined;
  #usage: Usage | undefined;
  /** The parts of a long event so far. */
  #long: Uint8Array[] = [];
  #longBytes = 0;

  constructor(meter: EventReader, decoder: AnswerDecoder, eventData = dataOfEvent) {
    this.#eventData = eventData;
    this.#meter = meter;
    this.#decoder = decoder;
  }

  get usage(): Usage | undefined {
    return this.#meter.usage;
  }

  get usageFinal(): boolean {
    return this.#meter.usageFinal;
  }

  get state(): StreamState {
    return this.#meter.state;
  }

  get responseModel(): string | undefined {
    return this.#meter.responseModel;
  }

  get unreadable(): number {
    return this.#meter.unreadable;
  }

  read(bytes: Uint8Array, start: number, end: number, sink: TextSink): AnswerFacts {
    this.#meter.read(bytes, start, end, sink);
    return this.#decode(bytes, start, end);
  }

  readPart(bytes: Uint8Array, start: number, end: number, ends: boolean, sink: TextSink): AnswerFacts {
    this.#meter.readPart(bytes, start, end, ends, sink);
    this.#longBytes += end - start;
    if (this.#longBytes <= MAX_EVENT_BYTES) {
      this.#long.push(Buffer.from(bytes.subarray(start, end)));
    } else {
      this.#long = [];
    }
    if (!ends) {
      return NO_FACTS;
    }
    if (this.#longBytes > MAX_EVENT_BYTES) {
      return new AnswerFacts([{ type: 'error', failure: unreadableAnswer }]);
    }
    const whole = Buffer.concat(this.#long);
    this.#long = [];
    this.#longBytes = 0;
    return this.#decode(whole, 0, whole.length);
  }

  #decode(bytes: Uint8Array, start: number, end: number): AnswerFacts {
    const data = this.#eventData(bytes.subarray(start, end));
    if (data === undefined) {
      return NO_FACTS;
    }
    const parts = this.#decoder.event(data);
    const { usage } = this.#meter;
    if (usage === this.#usage || usage === undefined) {
      return parts.length === 0 ? NO_FACTS : new AnswerFacts(parts);
    }
    // Before the parts of its event, because one of them may end the stream.
    this.#usage = usage;
    const told: AnswerPart = { type: 'usage', usage };
    return new AnswerFacts(parts[0]?.type === 'start' ? [parts[0], told, ...parts.slice(1)] : [told, ...parts]);
  }
}

/** Used by one event at a time. */
const DATA = new EventData();

function dataOfEvent(event: Uint8Array): string | undefined {
  if (!DATA.find(event, 0, event.length)) {
    return undefined;
  }
  const { bytes, start, end } = DATA;
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString();
}
