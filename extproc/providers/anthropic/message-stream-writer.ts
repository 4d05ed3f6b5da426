/** Writes streams of messages, and ends them early. */
import type { Failure } from '../../errors.ts';
import type { Usage } from '../../usage.ts';
import type { EventVerdict, ResponseOptions, StreamWriter } from '../adapter.ts';
import { anthropicError } from './errors.ts';
import type { MessageEventFacts } from './message-stream-reader.ts';

/** Blocks follow one another; Anthropic never has more than a few open at once. */
const MAX_OPEN_BLOCKS = 64;

const NOTHING = new Uint8Array(0);

export class MessageStreamWriter implements StreamWriter<MessageEventFacts> {
  readonly replacement: Uint8Array = NOTHING;
  readonly #model: string;
  readonly #openBlocks = new Set<number>();
  #started = false;
  #stopReasonSent = false;
  #ended = false;

  constructor({ model }: ResponseOptions) {
    this.#model = model;
  }

  write(_bytes: Uint8Array, _start: number, _end: number, { change, index }: MessageEventFacts): EventVerdict {
    switch (change) {
      case 'nothing':
        break;
      case 'start':
        this.#started = true;
        break;
      case 'block-start':
        if (this.#openBlocks.size < MAX_OPEN_BLOCKS) {
          this.#openBlocks.add(index);
        }
        break;
      case 'block-stop':
        this.#openBlocks.delete(index);
        break;
      case 'stop-reason':
        this.#stopReasonSent = true;
        break;
      case 'end':
        this.#ended = true;
        break;
      default:
        throw new Error(`unknown change ${change satisfies never}`);
    }
    return 'pass';
  }

  truncate(usage: Usage): Uint8Array {
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

  #messageStart(usage: Usage) {
    return {
      type: 'message_start',
      message: {
        id: 'msg_tallygate',
        type: 'message',
        role: 'assistant',
        model: this.#model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { ...usageBody(usage), output_tokens: 0 },
      },
    };
  }
}

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
