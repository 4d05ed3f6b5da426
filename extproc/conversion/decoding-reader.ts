/** Reads a provider's stream as answer parts. */
import { decodedString } from '../json/cursor.ts';
import type { TextSink } from '../json/text-sink.ts';
import type { EventFacts, EventReader, StreamState } from '../providers/adapter.ts';
import { TemplatedReader } from '../providers/templated-reader.ts';
import type { Usage } from '../usage.ts';
import { AnswerFacts, type AnswerPart } from './answer.ts';
import type { AnswerDecoder } from './conversion.ts';
import { dataOfEvent, type EventDataOf } from './event-data.ts';
import { unreadableAnswer } from './failures.ts';

const NO_FACTS = new AnswerFacts([]);

/** JSON has no characters below it in strings. */
const SPACE = 0x20;

/** Twice what the text of an event may have; a longer event ends the stream. */
const MAX_EVENT_BYTES = 4 * 1024 * 1024;

/** Joins events that arrive in parts, and decodes them. */
export abstract class AnswerReader implements EventReader<AnswerFacts> {
  abstract readonly usage: Usage | undefined;
  abstract readonly usageFinal: boolean;
  abstract readonly state: StreamState;
  abstract readonly responseModel: string | undefined;
  abstract readonly serviceTier: string | undefined;
  abstract readonly unreadable: number;
  readonly #decoder: AnswerDecoder;
  readonly #eventData: EventDataOf;
  /** The parts of a long event so far. */
  #long: Uint8Array[] = [];
  #longBytes = 0;

  constructor(decoder: AnswerDecoder, eventData: EventDataOf = dataOfEvent) {
    this.#decoder = decoder;
    this.#eventData = eventData;
  }

  read(bytes: Uint8Array, start: number, end: number, sink: TextSink): AnswerFacts {
    return this.#decode(bytes.subarray(start, end), sink);
  }

  readPart(bytes: Uint8Array, start: number, end: number, ends: boolean, sink: TextSink): AnswerFacts {
    this.#longBytes += end - start;
    if (this.#longBytes <= MAX_EVENT_BYTES) {
      this.#long.push(Buffer.from(bytes.subarray(start, end)));
    } else {
      this.#long = [];
    }
    if (!ends) {
      return NO_FACTS;
    }
    const isTooLong = this.#longBytes > MAX_EVENT_BYTES;
    const whole = Buffer.concat(this.#long);
    this.#long = [];
    this.#longBytes = 0;
    return isTooLong ? new AnswerFacts([{ type: 'error', failure: unreadableAnswer }]) : this.#decode(whole, sink);
  }

  #decode(event: Uint8Array, sink: TextSink): AnswerFacts {
    const data = this.#eventData(event);
    const parts = data === undefined ? [] : this.told(this.#decoder.event(data), sink);
    return parts.length === 0 ? NO_FACTS : new AnswerFacts(parts);
  }

  /** Notes the parts of an event, and returns what the client is told. */
  protected abstract told(parts: readonly AnswerPart[], sink: TextSink): readonly AnswerPart[];
}

/**
 * Reads a stream twice: the provider's own reader meters it, and a decoder reads what the client
 * gets. So a converted stream is counted and cut exactly as one that passes. Nearly all events
 * equal the one before except for a text; of these, the decoder reads only the first.
 */
export class DecodingReader extends AnswerReader {
  readonly #meter: EventReader;
  readonly #templated: TemplatedReader<unknown, EventFacts> | undefined;
  #usage: Usage | undefined;
  /** The form of the event before, if it gave one text and nothing else; and this text. */
  #form: unknown;
  #type: TextAnswerPart['type'] = 'text';
  #hole = -1;

  constructor(meter: EventReader, decoder: AnswerDecoder, eventData?: EventDataOf) {
    super(decoder, eventData);
    this.#meter = meter;
    this.#templated = meter instanceof TemplatedReader ? meter : undefined;
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

  get serviceTier(): string | undefined {
    return this.#meter.serviceTier;
  }

  get unreadable(): number {
    return this.#meter.unreadable;
  }

  get responseId(): string | undefined {
    return this.#meter.responseId;
  }

  get finishReasons(): readonly string[] | undefined {
    return this.#meter.finishReasons;
  }

  override read(bytes: Uint8Array, start: number, end: number, sink: TextSink): AnswerFacts {
    this.#meter.read(bytes, start, end, sink);
    const form = this.#templated?.form;
    if (form !== undefined && form === this.#form) {
      const text = this.#holeText(bytes, this.#hole);
      if (text !== '') {
        return new AnswerFacts([{ type: this.#type, text }]);
      }
    }
    const facts = super.read(bytes, start, end, sink);
    this.#form = form !== undefined && this.#repeats(form, facts, bytes) ? form : undefined;
    return facts;
  }

  override readPart(bytes: Uint8Array, start: number, end: number, ends: boolean, sink: TextSink): AnswerFacts {
    this.#meter.readPart(bytes, start, end, ends, sink);
    this.#form = undefined;
    return super.readPart(bytes, start, end, ends, sink);
  }

  protected override told(parts: readonly AnswerPart[]): readonly AnswerPart[] {
    const { usage } = this.#meter;
    if (usage === this.#usage || usage === undefined) {
      return parts;
    }
    // Before the other parts of its event, because one of them may end the stream.
    this.#usage = usage;
    const part: AnswerPart = { type: 'usage', usage };
    return parts[0]?.type === 'start' ? [parts[0], part, ...parts.slice(1)] : [part, ...parts];
  }

  /** Returns whether an event of a known form gives nothing but the text in its hole. */
  #repeats(form: unknown, { parts }: AnswerFacts, bytes: Uint8Array): boolean {
    const [part] = parts;
    if (parts.length !== 1 || !isText(part)) {
      return false;
    }
    this.#type = part.type;
    this.#hole = this.#templated!.textHole(form);
    return this.#hole >= 0 && this.#holeText(bytes, this.#hole) === part.text;
  }

  /** Returns the text in a hole; empty if the decoder must read it. */
  #holeText(bytes: Uint8Array, hole: number): string {
    const start = this.#templated!.holeStart(hole);
    const end = this.#templated!.holeEnd(hole);
    for (let at = start; at < end; at++) {
      if (bytes[at]! < SPACE) {
        return '';
      }
    }
    return decodedString(bytes, start, end);
  }
}

type TextAnswerPart = Extract<AnswerPart, { readonly text: string }>;

function isText(part: AnswerPart | undefined): part is TextAnswerPart {
  return part !== undefined && 'text' in part;
}
