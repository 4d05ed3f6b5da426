/**
 * Reads streams of the Responses API, and ends them early with every `…done` event, continued
 * sequence numbers and `response.incomplete`.
 */
import type { Failure } from '../../errors.ts';
import { JsonCursor } from '../../json/cursor.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerOptions, EventVerdict, StreamReader } from '../adapter.ts';
import { EventData } from '../event.ts';
import type { KeptText } from '../kept-text.ts';
import { LongEvent } from '../long-event.ts';
import { EventTemplates } from '../template.ts';
import { below } from '../unary.ts';
import { foreignBytes, unknownEvent, unreadableData } from '../unknown-text.ts';
import { largerUsage, numbersOf, OPENAI_USAGE_SHAPE, openAiUsage, toldTokens } from '../usage.ts';
import { openAiError } from './errors.ts';
import { emptyResponse, responseUsage } from './response-body.ts';
import { type RawJson, ResponseEvent } from './response-event.ts';
import {
  BEGINNINGS,
  ENDS,
  INPUT_DELTAS,
  INPUT_DONES,
  KNOWN_EVENT,
  PART_DELTAS,
  SUMMARY_DELTA,
  TEXT_DONES,
} from './response-event-types.ts';
import { parsed, ResponseItems } from './response-items.ts';

interface ResponseDeltaFacts {
  readonly textHole: number;
  readonly sequenceHole: number;
  readonly channel: number;
  readonly kept: KeptText | undefined;
}

/** Kinds of text in one item: content parts, summary parts, and input of tools. */
const CONTENT = 0;
const SUMMARY = 8;
const INPUT = 15;
const CHANNELS_OF_AN_ITEM = 16;
const MAX_ITEM = 4_095;

export class ResponseStream implements StreamReader {
  readonly replacement: Uint8Array = new Uint8Array(0);
  usage: Usage | undefined;
  usageFinal = false;
  state: StreamReader['state'] = 'open';
  responseModel: string | undefined;
  unreadable = 0;
  readonly #options: AnswerOptions;
  readonly #templates: EventTemplates<ResponseDeltaFacts> | undefined;
  readonly #data = new EventData();
  readonly #items = new ResponseItems();
  #response: RawJson | undefined;
  #long: LongEvent | undefined;
  #created = false;
  #sequence = -1;
  #ended = false;
  // What the last event changed. Applied when the next one is read, because a stream may be cut in
  // place of that event.
  #pending: (() => void) | undefined;
  #sequenceBefore = -1;
  #lastText: KeptText | undefined;
  #lastTextLength = 0;

  constructor(options: AnswerOptions) {
    this.#options = options;
    this.#templates = options.templates === false ? undefined : new EventTemplates();
  }

  read(bytes: Uint8Array, start: number, end: number, sink: TextSink): EventVerdict {
    if (this.#pending !== undefined) {
      this.#settle();
    }
    this.#sequenceBefore = this.#sequence;
    this.#lastText = undefined;
    const templates = this.#templates;
    const facts = templates?.match(bytes, start, end);
    if (facts !== undefined && templates !== undefined) {
      const { textHole, sequenceHole } = facts;
      this.#sequence = number(
        bytes,
        templates.holeStarts[sequenceHole] as number,
        templates.holeEnds[sequenceHole] as number,
      );
      const from = templates.holeStarts[textHole] as number;
      this.#text(facts.channel, facts.kept, bytes, from, templates.holeEnds[textHole] as number, sink);
      return 'pass';
    }
    if (!this.#data.find(bytes, start, end)) {
      if (foreignBytes(bytes, start, end, sink)) {
        this.unreadable++;
      }
      return 'pass';
    }
    CURSOR.begin(this.#data.bytes, this.#data.start, this.#data.end);
    if (EVENT.read(CURSOR)) {
      this.#take(bytes, start, end, sink);
    } else if (unreadableData(this.#data, sink)) {
      this.unreadable++;
    }
    return 'pass';
  }

  readPart(bytes: Uint8Array, start: number, end: number, ends: boolean, sink: TextSink): void {
    if (this.#pending !== undefined) {
      this.#settle();
    }
    this.#long ??= new LongEvent(LONG_SHAPE);
    this.#long.push(bytes, start, end, sink);
    if (!ends) {
      return;
    }
    this.#sequenceBefore = this.#sequence;
    this.#lastText = undefined;
    this.#takeLong(this.#long, sink);
    this.#long.release();
    this.#long = undefined;
  }

  cut(usage: Usage, lastSent = false): Uint8Array {
    if (lastSent) {
      this.#settle();
    } else {
      this.#undo();
    }
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

  #take(bytes: Uint8Array, start: number, end: number, sink: TextSink): void {
    if (EVENT.sequenceNumber >= 0) {
      this.#sequence = EVENT.sequenceNumber;
    }
    const { type } = EVENT;
    if (PART_DELTAS.has(type)) {
      this.#delta(CONTENT + Math.min(EVENT.partIndex, 7), this.#items.partText(EVENT, false), bytes, start, end, sink);
    } else if (type === SUMMARY_DELTA) {
      this.#delta(SUMMARY + Math.min(EVENT.partIndex, 6), this.#items.partText(EVENT, true), bytes, start, end, sink);
    } else if (INPUT_DELTAS.has(type)) {
      this.#delta(INPUT, this.#items.inputText(EVENT), bytes, start, end, sink);
    } else if (type === 'response.audio.transcript.delta') {
      this.#delta(CONTENT, undefined, bytes, start, end, sink);
    } else {
      this.#structure(type, sink);
    }
  }

  #takeLong(long: LongEvent, sink: TextSink): void {
    const { found } = long;
    if (long.saysNothing) {
      this.unreadable++;
    }
    EVENT.clear();
    EVENT.type = String(found.one('type')?.value ?? '');
    EVENT.outputIndex = toldTokens(found.one('output_index')?.value) ?? -1;
    EVENT.partIndex = toldTokens(found.one('content_index')?.value) ?? 0;
    this.#sequence = toldTokens(found.one('sequence_number')?.value) ?? this.#sequence;
    if (found.count('response.usage') > 0) {
      EVENT.usage = below(numbersOf(found), 'response.usage');
    }
    if (KNOWN_EVENT.test(EVENT.type)) {
      this.#structure(EVENT.type, sink);
    }
  }

  #structure(type: string, sink: TextSink): void {
    const summary = type.startsWith('response.reasoning_summary_');
    const place = {
      outputIndex: EVENT.outputIndex,
      partIndex: EVENT.partIndex,
      value: EVENT.item ?? EVENT.part,
    };
    if (TEXT_DONES.has(type)) {
      this.#pending = () => this.#items.endText(place, summary);
    } else if (INPUT_DONES.has(type)) {
      this.#pending = () => this.#items.endInput(place);
    } else {
      switch (type) {
        case 'response.output_item.added':
          this.#pending = () => this.#items.add(place);
          if (EVENT.nameEnd > EVENT.nameStart) {
            sink.text(channelOf(EVENT.outputIndex) + INPUT, this.#data.bytes, EVENT.nameStart, EVENT.nameEnd);
          }
          break;
        case 'response.output_item.done':
          this.#pending = () => this.#items.end(place);
          break;
        case 'response.content_part.added':
        case 'response.reasoning_summary_part.added':
          this.#pending = () => this.#items.addPart(place, summary);
          break;
        case 'response.content_part.done':
        case 'response.reasoning_summary_part.done':
          this.#pending = () => this.#items.endPart(place, summary);
          break;
        default:
          if (KNOWN_EVENT.test(type)) {
            this.#lifecycle(type);
          } else {
            unknownEvent(CURSOR, this.#data, sink);
          }
      }
    }
  }

  #lifecycle(type: string): void {
    if (EVENT.usage !== undefined) {
      this.usage = largerUsage(this.usage, openAiUsage(EVENT.usage));
    }
    if (BEGINNINGS.has(type)) {
      const { response } = EVENT;
      this.responseModel = EVENT.responseModel || this.responseModel;
      this.#pending = () => {
        this.#created = true;
        this.#response = response ?? this.#response;
      };
      return;
    }
    const state = ENDS[type];
    if (state === undefined) {
      return;
    }
    this.state = state;
    this.usageFinal = this.usage !== undefined;
    // `response.failed` still follows an `error`, but nothing of ours.
    this.#pending = () => {
      this.#ended = true;
    };
  }

  #delta(
    part: number,
    kept: KeptText | undefined,
    bytes: Uint8Array,
    start: number,
    end: number,
    sink: TextSink,
  ): void {
    const hole = EVENT.holes[EVENT.textHole];
    if (hole === undefined) {
      unknownEvent(CURSOR, this.#data, sink);
      return;
    }
    const channel = channelOf(EVENT.outputIndex) + part;
    this.#text(channel, kept, this.#data.bytes, hole.start, hole.end, sink);
    if (!this.#data.inPlace || EVENT.sequenceHole < 0) {
      return;
    }
    this.#templates?.learn(bytes, start, end, EVENT.holes, {
      textHole: EVENT.textHole,
      sequenceHole: EVENT.sequenceHole,
      channel,
      kept,
    });
  }

  #text(
    channel: number,
    kept: KeptText | undefined,
    bytes: Uint8Array,
    start: number,
    end: number,
    sink: TextSink,
  ): void {
    if (end === start) {
      return;
    }
    sink.text(channel, bytes, start, end);
    if (kept === undefined) {
      return;
    }
    this.#lastText = kept;
    this.#lastTextLength = kept.length;
    kept.add(bytes, start, end);
  }

  #settle(): void {
    this.#pending?.();
    this.#pending = undefined;
  }

  #undo(): void {
    this.#sequence = this.#sequenceBefore;
    this.#lastText?.truncate(this.#lastTextLength);
    this.#lastText = undefined;
  }

  /** Returns the response as the provider described it at the start. */
  #base(): Record<string, unknown> {
    return parsed(this.#response) ?? emptyResponse(this.#options.model);
  }

  #written(events: readonly Record<string, unknown>[]): Uint8Array {
    const text = events.map(({ type, ...members }, place) => {
      const data = { type, sequence_number: this.#sequence + 1 + place, ...members };
      return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
    });
    return Buffer.from(text.join(''));
  }
}

const NOTHING = new Uint8Array(0);

const VALUE: Shape = { value: true };

const LONG_SHAPE: Shape = {
  object: {
    type: VALUE,
    sequence_number: VALUE,
    output_index: VALUE,
    content_index: VALUE,
    delta: { text: true },
    response: { object: { usage: OPENAI_USAGE_SHAPE } },
  },
};

// Scratch objects, shared by all streams: events are read one at a time, and nothing is kept
// between calls.
const CURSOR = new JsonCursor();
const EVENT = new ResponseEvent();

function channelOf(outputIndex: number): number {
  return Math.min(Math.max(outputIndex, 0), MAX_ITEM) * CHANNELS_OF_AN_ITEM;
}

function number(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) {
    value = value * 10 + (bytes[at] as number) - 0x30;
  }
  return value;
}
