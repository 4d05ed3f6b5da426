/** Reads streams of messages. */
import { JsonCursor } from '../../json/cursor.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { EventFacts, ResponseOptions } from '../adapter.ts';
import { withReason } from '../finish-reasons.ts';
import type { LongEvent } from '../long-event.ts';
import { onlyTextHole } from '../template.ts';
import { TemplatedReader } from '../templated-reader.ts';
import { below } from '../unary.ts';
import { unknownEvent } from '../unknown-text.ts';
import { ANTHROPIC_USAGE_SHAPE, AnthropicUsage, numbersOf, toldTokens } from '../usage.ts';
import { MessageEvent } from './message-event.ts';

/** What an event changes in the structure of the message. */
export class MessageEventFacts implements EventFacts {
  readonly change: 'nothing' | 'start' | 'block-start' | 'block-stop' | 'stop-reason' | 'end';
  /** Index of the block that starts or stops. */
  readonly index: number;

  constructor(change: MessageEventFacts['change'], index = -1) {
    this.change = change;
    this.index = index;
  }

  kept(): MessageEventFacts {
    return this;
  }
}

const NO_FACTS = new MessageEventFacts('nothing');
const START = new MessageEventFacts('start');
const STOP_REASON = new MessageEventFacts('stop-reason');
const END = new MessageEventFacts('end');

/** The channel of each hole. */
type DeltaChannels = readonly number[];

export class MessageStreamReader extends TemplatedReader<DeltaChannels, MessageEventFacts> {
  readonly #told = new AnthropicUsage();
  #outputTold = false;

  constructor(options: ResponseOptions) {
    super(options, NO_FACTS, LONG_SHAPE);
  }

  override textHole(channels: DeltaChannels): number {
    return onlyTextHole(channels);
  }

  protected override readKnown(
    channels: DeltaChannels,
    bytes: Uint8Array,
    _start: number,
    sink: TextSink,
  ): MessageEventFacts {
    const { holeStarts, holeEnds } = this.templates!;
    for (let hole = 0; hole < channels.length; hole++) {
      const from = holeStarts[hole] as number;
      const to = holeEnds[hole] as number;
      if (to > from) {
        sink.text(channels[hole] as number, bytes, from, to);
      }
    }
    return NO_FACTS;
  }

  protected override readData(
    bytes: Uint8Array,
    start: number,
    end: number,
    sink: TextSink,
  ): MessageEventFacts | undefined {
    const { data } = this;
    CURSOR.begin(data.bytes, data.start, data.end);
    if (!EVENT.read(CURSOR)) {
      return undefined;
    }
    if (!KNOWN_EVENTS.has(EVENT.type)) {
      unknownEvent(CURSOR, data, sink);
      return NO_FACTS;
    }
    const facts = this.#take(sink);
    if (data.inPlace && (EVENT.type === 'content_block_delta' || EVENT.type === 'ping')) {
      this.templates?.learn(
        bytes,
        start,
        end,
        EVENT.holes,
        EVENT.holes.map((hole) => hole.channel),
      );
    }
    return facts;
  }

  protected override readLong(long: LongEvent, sink: TextSink): MessageEventFacts {
    const { found } = long;
    if (long.saysNothing) {
      this.unreadable++;
    }
    EVENT.clear();
    EVENT.type = String(found.one('type')?.value ?? '');
    EVENT.index = toldTokens(found.one('index')?.value) ?? -1;
    EVENT.stopReason = found.one('delta.stop_reason')?.kind === 'string';
    const at = found.count('message.usage') > 0 ? 'message.usage' : 'usage';
    if (found.count(at) > 0) {
      EVENT.usage = below(numbersOf(found), at);
    }
    return this.#take(sink);
  }

  #take(sink: TextSink): MessageEventFacts {
    for (const hole of EVENT.holes) {
      if (hole.end > hole.start) {
        sink.text(hole.channel, this.data.bytes, hole.start, hole.end);
      }
    }
    if (EVENT.usage !== undefined) {
      this.#told.add(EVENT.usage);
      this.usage = this.#told.usage;
      this.serviceTier = EVENT.serviceTier || this.serviceTier;
    }
    const { type, index } = EVENT;
    switch (type) {
      case 'message_start':
        this.responseId = EVENT.messageId || undefined;
        this.responseModel = EVENT.model || undefined;
        return START;
      case 'content_block_start':
        return new MessageEventFacts('block-start', index);
      case 'content_block_stop':
        return new MessageEventFacts('block-stop', index);
      case 'message_delta':
        return this.#messageDelta();
      case 'message_stop':
        this.state = 'finished';
        return END;
      case 'error':
        this.state = 'failed';
        return END;
      default:
        return NO_FACTS;
    }
  }

  #messageDelta(): MessageEventFacts {
    if (EVENT.usage?.get('output_tokens') !== undefined) {
      this.#outputTold = true;
    }
    if (!EVENT.stopReason) {
      return NO_FACTS;
    }
    this.finishReasons = withReason(undefined, EVENT.reason);
    // The output tokens of message_start are only a beginning.
    this.usageFinal = this.#outputTold;
    return STOP_REASON;
  }
}

const KNOWN_EVENTS: ReadonlySet<string> = new Set([
  'message_start',
  'content_block_start',
  'content_block_delta',
  'content_block_stop',
  'message_delta',
  'message_stop',
  'ping',
  'error',
]);

const VALUE: Shape = { value: true };
const TEXT: Shape = { text: true };

const LONG_SHAPE: Shape = {
  object: {
    type: VALUE,
    index: VALUE,
    delta: { object: { text: TEXT, thinking: TEXT, partial_json: TEXT, content: TEXT, stop_reason: VALUE } },
    content_block: { object: { text: TEXT, thinking: TEXT } },
    message: { object: { usage: ANTHROPIC_USAGE_SHAPE } },
    usage: ANTHROPIC_USAGE_SHAPE,
  },
};

// Scratch objects, shared by all streams: events are read one at a time, and nothing is kept
// between calls.
const CURSOR = new JsonCursor();
const EVENT = new MessageEvent();
