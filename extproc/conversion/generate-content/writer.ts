/** Writes streams of generateContent: each event is a response with the next parts. */
import type { Failure } from '../../errors.ts';
import type { ResponseOptions } from '../../providers/adapter.ts';
import { contentEvent } from '../../providers/gemini/content-stream-writer.ts';
import { googleError } from '../../providers/gemini/errors.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerPart, FinishReason } from '../answer.ts';
import { AnswerWriter } from '../answer-writer.ts';
import type { JsonRecord } from '../conversation.ts';
import type { ContentEcho } from './config.ts';
import { callId, callPart, contentResponse, finishReason, ownId, textPart } from './document.ts';
import type { SignedThought } from './signatures.ts';

/** Longer reasoning is not kept until its signature, and so not sent back. */
const MAX_REASONING_CHARACTERS = 1024 * 1024;

/** A call whose arguments still arrive: this API sends calls whole. */
interface GrowingCall {
  readonly id: string;
  readonly name: string;
  readonly thoughts: readonly SignedThought[];
  readonly pieces: string[];
}

export class ContentWriter extends AnswerWriter {
  readonly #includesThoughts: boolean;
  #id: string;
  #model: string;
  /** Reasoning that is not signed yet. */
  #reasoning: string[] = [];
  #reasoningCharacters = 0;
  /** Signed reasoning, which goes with the next part. */
  #thoughts: SignedThought[] = [];
  #call: GrowingCall | undefined;
  #calls = 0;
  #reason: FinishReason = 'stop';
  #usage: Usage | undefined;

  constructor(options: ResponseOptions, { includesThoughts }: ContentEcho) {
    super();
    this.#includesThoughts = includesThoughts;
    this.#id = ownId(options);
    this.#model = options.model;
  }

  protected override part(part: Exclude<AnswerPart, { type: 'error' }>): string {
    switch (part.type) {
      case 'start':
        this.#id = part.id || this.#id;
        this.#model = part.model || this.#model;
        return '';
      case 'text':
      case 'refusal':
        return this.#endCall() + (part.text === '' ? '' : this.#event(textPart(part.text, this.#takeThoughts())));
      case 'reasoning':
        return this.#endCall() + this.#think(part.text);
      case 'signature':
        this.#sign(part.signature);
        return '';
      case 'redacted-reasoning':
        this.#thoughts.push({ type: 'redacted', data: part.data });
        return '';
      case 'tool-call':
        return this.#endCall() + this.#beginCall(part);
      case 'arguments':
        this.#call?.pieces.push(part.text);
        return '';
      case 'block-end':
        return this.#endCall();
      case 'usage':
        this.#usage = part.usage;
        return '';
      case 'finish':
        this.#reason = part.reason;
        return '';
      case 'end':
        return this.#endCall() + this.#end(finishReason(this.#reason), this.#usage);
      default:
        throw new Error(`unknown part ${(part satisfies never as AnswerPart).type}`);
    }
  }

  /** A call without all of its arguments is left out. */
  protected override truncated(usage: Usage): string {
    return this.#end(finishReason('length'), usage);
  }

  protected override failed(failure: Failure): string {
    return contentEvent(googleError(failure));
  }

  #think(text: string): string {
    this.#reasoningCharacters += text.length;
    if (this.#reasoningCharacters <= MAX_REASONING_CHARACTERS) {
      this.#reasoning.push(text);
    }
    return this.#includesThoughts && text !== '' ? this.#event({ text, thought: true }) : '';
  }

  #sign(signature: string): void {
    if (this.#reasoningCharacters <= MAX_REASONING_CHARACTERS) {
      this.#thoughts.push({ type: 'reasoning', text: this.#reasoning.join(''), signature });
    }
    this.#reasoning = [];
    this.#reasoningCharacters = 0;
  }

  #takeThoughts(): readonly SignedThought[] {
    const thoughts = this.#thoughts;
    this.#thoughts = [];
    return thoughts;
  }

  #beginCall({ id, name, signature }: Extract<AnswerPart, { type: 'tool-call' }>): string {
    const own: readonly SignedThought[] = signature === undefined ? [] : [{ type: 'call', signature }];
    const thoughts = [...this.#takeThoughts(), ...own];
    this.#call = { id: id || callId(this.#id, this.#calls), name, thoughts, pieces: [] };
    this.#calls++;
    return '';
  }

  #endCall(): string {
    if (this.#call === undefined) {
      return '';
    }
    const { id, name, thoughts, pieces } = this.#call;
    this.#call = undefined;
    return this.#event(callPart(id, name, pieces.join(''), thoughts));
  }

  #end(reason: string, usage: Usage | undefined): string {
    return contentEvent(contentResponse([textPart('', this.#takeThoughts())], this.#head, reason, usage));
  }

  #event(part: JsonRecord): string {
    return contentEvent(contentResponse([part], this.#head, undefined, undefined));
  }

  get #head(): JsonRecord {
    return { responseId: this.#id, modelVersion: this.#model };
  }
}
