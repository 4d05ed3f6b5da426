/** Reads streams of messages. */
import type { Failure } from '../../errors.ts';
import { JsonCursor } from '../../json/cursor.ts';
import type { Shape } from '../../json/shape.ts';
import type { TextSink } from '../../json/text-sink.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerOptions, EventVerdict, StreamReader } from '../adapter.ts';
import { EventData } from '../event.ts';
import { LongEvent } from '../long-event.ts';
import { EventTemplates } from '../template.ts';
import { below } from '../unary.ts';
import { foreignBytes, unknownEvent, unreadableData } from '../unknown-text.ts';
import { ANTHROPIC_USAGE_SHAPE, AnthropicUsage, numbersOf, toldTokens } from '../usage.ts';
import { anthropicError } from './errors.ts';
import { MessageEvent } from './message-event.ts';

/** The channel of each hole. */
type DeltaChannels = readonly number[];

export class MessageStream implements StreamReader {
  readonly replacement: Uint8Array = new Uint8Array(0);
  usage: Usage | undefined;
  usageFinal = false;
  #outputTold = false;
  state: StreamReader['state'] = 'open';
  responseModel: string | undefined;
  unreadable = 0;
  readonly #options: AnswerOptions;
  readonly #templates: EventTemplates<DeltaChannels> | undefined;
  readonly #data = new EventData();
  readonly #openBlocks = new Set<number>();
  readonly #told = new AnthropicUsage();
  #long: LongEvent | undefined;
  /**
   * What the last event changed. Applied when the next one is read, because a stream may be cut in
   * place of that event.
   */
  #pending: (() => void) | undefined;
  #ended = false;
  #started = false;
  #stopReasonSent = false;

  constructor(options: AnswerOptions) {
    this.#options = options;
    this.#templates = options.templates === false ? undefined : new EventTemplates();
  }

  read(bytes: Uint8Array, start: number, end: number, sink: TextSink): EventVerdict {
    if (this.#pending !== undefined) {
      this.#settle();
    }
    const channels = this.#templates?.match(bytes, start, end);
    if (channels !== undefined) {
      this.#same(channels, bytes, sink);
      return 'pass';
    }
    if (!this.#data.find(bytes, start, end)) {
      if (foreignBytes(bytes, start, end, sink)) {
        this.unreadable++;
      }
      return 'pass';
    }
    CURSOR.begin(this.#data.bytes, this.#data.start, this.#data.end);
    if (!EVENT.read(CURSOR)) {
      if (unreadableData(this.#data, sink)) {
        this.unreadable++;
      }
      return 'pass';
    }
    if (!KNOWN_EVENTS.has(EVENT.type)) {
      unknownEvent(CURSOR, this.#data, sink);
      return 'pass';
    }
    this.#take(sink);
    if (this.#data.inPlace && (EVENT.type === 'content_block_delta' || EVENT.type === 'ping')) {
      this.#templates?.learn(
        bytes,
        start,
        end,
        EVENT.holes,
        EVENT.holes.map((hole) => hole.channel),
      );
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
    this.#takeLong(this.#long, sink);
    this.#long.release();
    this.#long = undefined;
  }

  cut(usage: Usage, lastSent = false): Uint8Array {
    if (lastSent) {
      this.#settle();
    }
    if (this.#ended) {
      return NOTHING;
    }
    const events: string[] = [];
    if (!this.#started) {
      events.push(event(this.#messageStart(usage)));
    }
    for (const index of this.#openBlocks) {
      events.push(event({ type: 'content_block_stop', index }));
    }
    if (!this.#stopReasonSent) {
      events.push(
        event({
          type: 'message_delta',
          delta: { stop_reason: 'max_tokens', stop_sequence: null },
          usage: usageBody(usage),
        }),
      );
    }
    events.push(event({ type: 'message_stop' }));
    return Buffer.from(events.join(''));
  }

  fail(failure: Failure): Uint8Array {
    return Buffer.from(event(anthropicError(failure)));
  }

  #same(channels: DeltaChannels, bytes: Uint8Array, sink: TextSink): void {
    const { holeStarts, holeEnds } = this.#templates as EventTemplates<DeltaChannels>;
    for (let hole = 0; hole < channels.length; hole++) {
      const from = holeStarts[hole] as number;
      const to = holeEnds[hole] as number;
      if (to > from) {
        sink.text(channels[hole] as number, bytes, from, to);
      }
    }
  }

  #take(sink: TextSink): void {
    for (const hole of EVENT.holes) {
      if (hole.end > hole.start) {
        sink.text(hole.channel, this.#data.bytes, hole.start, hole.end);
      }
    }
    if (EVENT.usage !== undefined) {
      this.#told.add(EVENT.usage);
      this.usage = this.#told.usage;
    }
    const { type, index } = EVENT;
    switch (type) {
      case 'message_start':
        this.responseModel = EVENT.model || undefined;
        this.#pending = () => {
          this.#started = true;
        };
        break;
      case 'content_block_start':
        this.#pending = () => {
          if (this.#openBlocks.size < MAX_OPEN_BLOCKS) {
            this.#openBlocks.add(index);
          }
        };
        break;
      case 'content_block_stop':
        this.#pending = () => {
          this.#openBlocks.delete(index);
        };
        break;
      case 'message_delta':
        if (EVENT.usage?.get('output_tokens') !== undefined) {
          this.#outputTold = true;
        }
        if (EVENT.stopReason) {
          this.#stopReason();
        }
        break;
      case 'message_stop':
      case 'error':
        this.state = type === 'error' ? 'failed' : 'finished';
        this.#pending = () => {
          this.#ended = true;
        };
        break;
    }
  }

  #takeLong(long: LongEvent, sink: TextSink): void {
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
    this.#take(sink);
  }

  #stopReason(): void {
    // The output tokens of message_start are only a beginning.
    this.usageFinal = this.#outputTold;
    this.#pending = () => {
      this.#stopReasonSent = true;
    };
  }

  #settle(): void {
    this.#pending?.();
    this.#pending = undefined;
  }

  #messageStart(usage: Usage) {
    return {
      type: 'message_start',
      message: {
        id: 'msg_tallygate',
        type: 'message',
        role: 'assistant',
        model: this.#options.model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { ...usageBody(usage), output_tokens: 0 },
      },
    };
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

/** Blocks follow one another; Anthropic never has more than a few open at once. */
const MAX_OPEN_BLOCKS = 64;

const NOTHING = new Uint8Array(0);

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

function event<Data extends { readonly type: string }>(data: Data): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
}

function usageBody(usage: Usage): object {
  return {
    input_tokens: usage.input - usage.cachedInput - usage.cacheWriteInput,
    cache_creation_input_tokens: usage.cacheWriteInput,
    cache_read_input_tokens: usage.cachedInput,
    output_tokens: usage.output,
  };
}
