/** Reads streams of the Responses API. */
import { JsonCursor } from '../../json/cursor.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { ResponseOptions } from '../adapter.ts';
import type { LongEvent } from '../long-event.ts';
import { TemplatedReader } from '../templated-reader.ts';
import { below } from '../unary.ts';
import { unknownEvent } from '../unknown-text.ts';
import { largerUsage, numbersOf, OPENAI_USAGE_SHAPE, openAiUsage, toldTokens } from '../usage.ts';
import { ResponseEvent } from './response-event.ts';
import { type DeltaPosition, type ResponseChange, ResponseEventFacts } from './response-event-facts.ts';
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

/** What the deltas of one form have in common. */
interface ResponseDeltaForm {
  readonly textHole: number;
  readonly sequenceHole: number;
  readonly channel: number;
  readonly delta: DeltaPosition | undefined;
}

/** Kinds of text in one item: content parts, summary parts, and input of tools. */
const CONTENT = 0;
const SUMMARY = 8;
const INPUT = 15;
const CHANNELS_OF_AN_ITEM = 16;
const MAX_ITEM = 4_095;

const NO_FACTS = new ResponseEventFacts();
const ENDED: ResponseChange = { type: 'ended' };

export class ResponseStreamReader extends TemplatedReader<ResponseDeltaForm, ResponseEventFacts> {
  readonly #facts = new ResponseEventFacts();

  constructor(options: ResponseOptions) {
    super(options, NO_FACTS, LONG_SHAPE);
  }

  protected override readKnown(
    form: ResponseDeltaForm,
    bytes: Uint8Array,
    start: number,
    sink: TextSink,
  ): ResponseEventFacts {
    const { textHole, sequenceHole, channel, delta } = form;
    const { holeStarts, holeEnds } = this.templates!;
    const facts = this.#facts;
    facts.clear();
    facts.sequence = number(bytes, holeStarts[sequenceHole] as number, holeEnds[sequenceHole] as number);
    const from = holeStarts[textHole] as number;
    const to = holeEnds[textHole] as number;
    if (to > from) {
      sink.text(channel, bytes, from, to);
      facts.delta = delta;
      facts.setText(from, to, start);
    }
    return facts;
  }

  protected override readData(
    bytes: Uint8Array,
    start: number,
    end: number,
    sink: TextSink,
  ): ResponseEventFacts | undefined {
    const { data } = this;
    CURSOR.begin(data.bytes, data.start, data.end);
    if (!EVENT.read(CURSOR)) {
      return undefined;
    }
    const facts = this.#facts;
    facts.clear();
    facts.sequence = EVENT.sequenceNumber;
    const { type, outputIndex, partIndex } = EVENT;
    if (PART_DELTAS.has(type)) {
      this.#delta(CONTENT + Math.min(partIndex, 7), { of: 'content', outputIndex, partIndex }, bytes, start, end, sink);
    } else if (type === SUMMARY_DELTA) {
      this.#delta(SUMMARY + Math.min(partIndex, 6), { of: 'summary', outputIndex, partIndex }, bytes, start, end, sink);
    } else if (INPUT_DELTAS.has(type)) {
      this.#delta(INPUT, { of: 'input', outputIndex, partIndex }, bytes, start, end, sink);
    } else if (type === 'response.audio.transcript.delta') {
      this.#delta(CONTENT, undefined, bytes, start, end, sink);
    } else {
      facts.change = this.#structure(type, sink);
    }
    return facts;
  }

  protected override readLong(long: LongEvent, sink: TextSink): ResponseEventFacts {
    const { found } = long;
    if (long.saysNothing) {
      this.unreadable++;
    }
    EVENT.clear();
    EVENT.type = String(found.one('type')?.value ?? '');
    EVENT.outputIndex = toldTokens(found.one('output_index')?.value) ?? -1;
    EVENT.partIndex = toldTokens(found.one('content_index')?.value) ?? 0;
    if (found.count('response.usage') > 0) {
      EVENT.usage = below(numbersOf(found), 'response.usage');
    }
    const facts = this.#facts;
    facts.clear();
    facts.sequence = toldTokens(found.one('sequence_number')?.value) ?? -1;
    if (KNOWN_EVENT.test(EVENT.type)) {
      facts.change = this.#structure(EVENT.type, sink);
    }
    return facts;
  }

  #structure(type: string, sink: TextSink): ResponseChange | undefined {
    const summary = type.startsWith('response.reasoning_summary_');
    const { outputIndex, partIndex } = EVENT;
    const place = { outputIndex, partIndex, value: EVENT.item ?? EVENT.part };
    if (TEXT_DONES.has(type)) {
      return { type: 'text-done', place, summary };
    }
    if (INPUT_DONES.has(type)) {
      return { type: 'input-done', place };
    }
    switch (type) {
      case 'response.output_item.added':
        if (EVENT.nameEnd > EVENT.nameStart) {
          sink.text(channelOf(outputIndex) + INPUT, this.data.bytes, EVENT.nameStart, EVENT.nameEnd);
        }
        return { type: 'item-added', place };
      case 'response.output_item.done':
        return { type: 'item-done', place };
      case 'response.content_part.added':
      case 'response.reasoning_summary_part.added':
        return { type: 'part-added', place, summary };
      case 'response.content_part.done':
      case 'response.reasoning_summary_part.done':
        return { type: 'part-done', place, summary };
      default:
        if (KNOWN_EVENT.test(type)) {
          return this.#lifecycle(type);
        }
        unknownEvent(CURSOR, this.data, sink);
        return undefined;
    }
  }

  #lifecycle(type: string): ResponseChange | undefined {
    if (EVENT.usage !== undefined) {
      this.usage = largerUsage(this.usage, openAiUsage(EVENT.usage));
    }
    if (BEGINNINGS.has(type)) {
      this.responseId = EVENT.responseId || this.responseId;
      this.responseModel = EVENT.responseModel || this.responseModel;
      return { type: 'created', response: EVENT.response };
    }
    const state = ENDS[type];
    // Before the end, the tier is the one that was asked for.
    if (state !== undefined) {
      this.serviceTier = EVENT.serviceTier || undefined;
    }
    if (state === undefined) {
      return undefined;
    }
    this.state = state;
    this.usageFinal = this.usage !== undefined;
    // `response.failed` still follows an `error`, but nothing of ours.
    return ENDED;
  }

  #delta(
    part: number,
    delta: DeltaPosition | undefined,
    bytes: Uint8Array,
    start: number,
    end: number,
    sink: TextSink,
  ): void {
    const { data } = this;
    const hole = EVENT.holes[EVENT.textHole];
    if (hole === undefined) {
      unknownEvent(CURSOR, data, sink);
      return;
    }
    const channel = channelOf(EVENT.outputIndex) + part;
    if (hole.end > hole.start) {
      sink.text(channel, data.bytes, hole.start, hole.end);
      this.#facts.delta = delta;
      this.#facts.setTextOf(data, hole.start, hole.end, start);
    }
    if (data.inPlace && EVENT.sequenceHole >= 0) {
      const { textHole, sequenceHole } = EVENT;
      this.templates?.learn(bytes, start, end, EVENT.holes, { textHole, sequenceHole, channel, delta });
    }
  }
}

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
