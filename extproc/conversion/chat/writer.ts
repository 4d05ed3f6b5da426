/** Writes streams of chat completions. */
import { jsonText } from '../../../runtime/json-text.ts';
import type { Failure } from '../../errors.ts';
import type { RequestFacts, ResponseOptions } from '../../providers/adapter.ts';
import { openAiError } from '../../providers/openai/errors.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerPart } from '../answer.ts';
import { AnswerWriter } from '../answer-writer.ts';
import type { JsonRecord } from '../conversation.ts';
import { callId, chatUsage, createdSeconds, finishReason, ownId, reasoningDetail, signedCall } from './document.ts';

/**
 * Reasoning that is kept until its signature comes, because the client must echo both together.
 * Longer reasoning is not repeated.
 */
const MAX_KEPT_CHARACTERS = 1 << 20;

export class ChatWriter extends AnswerWriter {
  readonly #request: RequestFacts;
  readonly #options: ResponseOptions;
  #id: string;
  #model: string;
  /** The members with which every chunk begins, as JSON without the last brace. */
  #head = '';
  #started = false;
  #calls = 0;
  /** The last call has no arguments yet. Clients parse them, so a call without any has `{}`. */
  #bareCall = false;
  #blocks = 0;
  #reasoning = '';
  #usage: Usage | undefined;

  constructor(request: RequestFacts, options: ResponseOptions) {
    super();
    this.#request = request;
    this.#options = options;
    this.#id = ownId(options);
    this.#model = options.model;
  }

  protected override part(part: Exclude<AnswerPart, { type: 'error' }>): string {
    switch (part.type) {
      case 'start':
        return this.#start(part.id, part.model);
      case 'text':
        return this.#text('content', part.text);
      case 'refusal':
        return this.#text('refusal', part.text);
      case 'reasoning':
        this.#keep(part.text);
        return this.#text('reasoning_content', part.text);
      case 'signature':
        return this.#signature(part.signature);
      case 'redacted-reasoning':
        return this.#delta({ reasoning_details: reasoningDetail(part, this.#blocks++) });
      case 'tool-call':
        return this.#call(part.id, part.name, part.signature);
      case 'arguments':
        return this.#arguments(part.text);
      case 'block-end':
        this.#reasoning = '';
        return this.#endCall();
      case 'usage':
        this.#usage = part.usage;
        return '';
      case 'finish':
        return this.#endCall() + this.#delta({}, finishReason(part.reason, this.#calls > 0));
      case 'end':
        return this.#end(this.#usage);
      default:
        throw new Error(`unknown part ${(part satisfies never as AnswerPart).type}`);
    }
  }

  protected override truncated(usage: Usage): string {
    return (this.finished ? '' : this.#delta({}, 'length')) + this.#end(usage);
  }

  protected override failed(failure: Failure): string {
    return `data: ${jsonText(openAiError(failure))}\n\ndata: [DONE]\n\n`;
  }

  #start(id: string | undefined, model: string | undefined): string {
    if (this.#started) {
      return '';
    }
    this.#id = id || this.#id;
    this.#model = model || this.#options.model;
    return this.#delta({});
  }

  /** Before the first delta, a chunk begins the choice. */
  #delta(delta: JsonRecord, reason: string | null = null): string {
    const begin = this.#started ? '' : this.#chunk({ role: 'assistant', content: '' }, null);
    this.#started = true;
    return reason === null && Object.keys(delta).length === 0 ? begin : begin + this.#chunk(delta, reason);
  }

  /** Nearly all chunks have only a text, so they are built without an object. */
  #text(member: 'content' | 'refusal' | 'reasoning_content', text: string): string {
    return this.#started
      ? `${this.#head},"choices":[{"index":0,"delta":{"${member}":${JSON.stringify(text)}},"logprobs":null,"finish_reason":null}]}\n\n`
      : this.#delta({ [member]: text });
  }

  #chunk(delta: JsonRecord, reason: string | null): string {
    return this.#event({ choices: [{ index: 0, delta, logprobs: null, finish_reason: reason }] });
  }

  #event(members: JsonRecord): string {
    this.#head ||= this.#newHead();
    return `${this.#head},${JSON.stringify(members).slice(1)}\n\n`;
  }

  #newHead(): string {
    const head = {
      id: this.#id,
      object: 'chat.completion.chunk',
      created: createdSeconds(this.#options),
      model: this.#model,
    };
    return `data: ${JSON.stringify(head).slice(0, -1)}`;
  }

  #end(usage: Usage | undefined): string {
    const told = this.#request.usageAsked && usage !== undefined;
    return `${told ? this.#event({ choices: [], usage: chatUsage(usage) }) : ''}data: [DONE]\n\n`;
  }

  #call(id: string | undefined, name: string, signature: string | undefined): string {
    const before = this.#endCall();
    const index = this.#calls++;
    this.#bareCall = true;
    const call = { index, id: id || callId(this.#id, index), type: 'function', function: { name, arguments: '' } };
    return before + this.#delta({ tool_calls: [{ ...call, ...signedCall(signature) }] });
  }

  #arguments(text: string): string {
    this.#bareCall = false;
    return this.#delta({ tool_calls: [{ index: this.#calls - 1, function: { arguments: text } }] });
  }

  #endCall(): string {
    return this.#bareCall ? this.#arguments('{}') : '';
  }

  #keep(text: string): void {
    if (this.#reasoning.length <= MAX_KEPT_CHARACTERS) {
      this.#reasoning += text;
    }
  }

  #signature(signature: string): string {
    const text = this.#reasoning;
    this.#reasoning = '';
    if (text.length > MAX_KEPT_CHARACTERS) {
      return '';
    }
    return this.#delta({ reasoning_details: reasoningDetail({ type: 'reasoning', text, signature }, this.#blocks++) });
  }
}
