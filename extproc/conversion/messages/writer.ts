/** Writes streams of messages. Blocks follow one another; each is closed before the next. */
import { jsonText } from '../../../runtime/json-text.ts';
import type { Failure } from '../../errors.ts';
import type { ResponseOptions } from '../../providers/adapter.ts';
import { anthropicError } from '../../providers/anthropic/errors.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerPart, FinishReason } from '../answer.ts';
import { AnswerWriter } from '../answer-writer.ts';
import type { JsonRecord } from '../conversation.ts';
import { callSignature } from './call-signature.ts';
import { callId, messageStart, messageUsage, ownId, stopReason } from './document.ts';

type BlockKind = 'text' | 'thinking' | 'tool_use' | 'redacted_thinking';

export class MessagesWriter extends AnswerWriter {
  readonly #options: ResponseOptions;
  #id: string;
  #model: string;
  #started = false;
  #index = -1;
  /** The kind of the open block. */
  #open: BlockKind | undefined;
  #called = false;
  #reason: FinishReason = 'stop';
  #stop: string | undefined;
  #usage: Usage | undefined;

  constructor(options: ResponseOptions) {
    super();
    this.#options = options;
    this.#id = ownId(options);
    this.#model = options.model;
  }

  protected override part(part: Exclude<AnswerPart, { type: 'error' }>): string {
    switch (part.type) {
      case 'start':
        this.#id = this.#started ? this.#id : part.id || this.#id;
        this.#model = this.#started ? this.#model : part.model || this.#options.model;
        return this.#start();
      case 'text':
      case 'refusal':
        return this.#open === 'text'
          ? this.#textDelta('text_delta', 'text', part.text)
          : this.#block('text', { text: '', citations: null }, { type: 'text_delta', text: part.text });
      case 'reasoning':
        return this.#open === 'thinking'
          ? this.#textDelta('thinking_delta', 'thinking', part.text)
          : this.#thinking({ type: 'thinking_delta', thinking: part.text });
      case 'signature':
        return this.#thinking({ type: 'signature_delta', signature: part.signature }) + this.#close();
      case 'redacted-reasoning':
        return this.#begin('redacted_thinking', { data: part.data }) + this.#close();
      case 'tool-call': {
        this.#called = true;
        const before = this.#callSignature(part.signature);
        const id = part.id || callId(this.#id, this.#index + 1);
        return before + this.#begin('tool_use', { id, name: part.name, input: {} });
      }
      case 'arguments':
        return this.#open === 'tool_use' ? this.#textDelta('input_json_delta', 'partial_json', part.text) : '';
      case 'block-end':
        return this.#close();
      case 'usage':
        this.#usage = part.usage;
        return '';
      case 'finish':
        this.#reason = part.reason;
        this.#stop = part.stop;
        return '';
      case 'end':
        return this.#end(stopReason(this.#reason, this.#stop, this.#called), this.#usage);
      default:
        throw new Error(`unknown part ${(part satisfies never as AnswerPart).type}`);
    }
  }

  protected override truncated(usage: Usage): string {
    return this.#end('max_tokens', usage);
  }

  protected override failed(failure: Failure): string {
    return `event: error\ndata: ${jsonText(anthropicError(failure))}\n\n`;
  }

  #start(): string {
    if (this.#started) {
      return '';
    }
    this.#started = true;
    return event({ type: 'message_start', message: messageStart(this.#id, this.#model) });
  }

  /** Clients echo signatures of thinking only, so a block of thinking carries that of a call. */
  #callSignature(signature: string | undefined): string {
    if (signature === undefined) {
      return '';
    }
    const before = this.#open === 'thinking' ? this.#close() : '';
    return before + this.#thinking({ type: 'signature_delta', signature: callSignature(signature) }) + this.#close();
  }

  #thinking(delta: JsonRecord): string {
    return this.#block('thinking', { thinking: '', signature: '' }, delta);
  }

  /** Continues the open block of this kind, or begins one. */
  #block(kind: BlockKind, empty: JsonRecord, delta: JsonRecord): string {
    return (this.#open === kind ? '' : this.#begin(kind, empty)) + this.#delta(delta);
  }

  #begin(kind: BlockKind, members: JsonRecord): string {
    const before = this.#start() + this.#close();
    this.#index++;
    this.#open = kind;
    const start = { type: 'content_block_start', index: this.#index, content_block: { type: kind, ...members } };
    return before + event(start);
  }

  /** Nearly all events are deltas of a text, so they are built without an object. */
  #textDelta(type: string, member: string, text: string): string {
    return `event: content_block_delta\ndata: {"type":"content_block_delta","index":${this.#index},"delta":{"type":"${type}","${member}":${JSON.stringify(text)}}}\n\n`;
  }

  #delta(delta: JsonRecord): string {
    return event({ type: 'content_block_delta', index: this.#index, delta });
  }

  #close(): string {
    if (this.#open === undefined) {
      return '';
    }
    this.#open = undefined;
    return event({ type: 'content_block_stop', index: this.#index });
  }

  #end(reason: string, usage: Usage | undefined): string {
    const delta = { stop_reason: reason, stop_sequence: this.#stop ?? null };
    const ending = event({ type: 'message_delta', delta, usage: messageUsage(usage) });
    return this.#start() + this.#close() + ending + event({ type: 'message_stop' });
  }
}

function event<Data extends { readonly type: string }>(data: Data): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
}
