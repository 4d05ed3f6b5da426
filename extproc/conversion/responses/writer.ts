/** Writes streams of the Responses API, in the order of events that OpenAI's own have. */
import { jsonText } from '../../../runtime/json-text.ts';
import type { Failure } from '../../errors.ts';
import type { ResponseOptions } from '../../providers/adapter.ts';
import { openAiError } from '../../providers/openai/errors.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerPart, FinishReason } from '../answer.ts';
import { AnswerWriter } from '../answer-writer.ts';
import type { JsonRecord } from '../conversation.ts';
import { ownId } from './document.ts';
import { encryptedContent } from './encrypted-content.ts';
import {
  callItem,
  callSignatureItem,
  ItemIds,
  messageItem,
  reasoningItem,
  redactedItem,
  refusalContent,
  summaryPart,
  textContent,
} from './output-items.ts';
import { incompleteReason, type ResponseEcho, type ResponseState, responseObject } from './response-object.ts';
import { customToolInput } from './tool-names.ts';

/** The events that close an item repeat its text, up to this much of all texts together. */
const MAX_KEPT_CHARACTERS = 1 << 20;

type TextKind = 'text' | 'refusal' | 'reasoning';

/** The item that still grows. */
type OpenItem = { readonly id: string; readonly index: number; text: string } & (
  | { readonly kind: TextKind }
  | { readonly kind: 'call'; readonly callId: string | undefined; readonly name: string; readonly custom: boolean }
);

export class ResponsesWriter extends AnswerWriter {
  readonly #options: ResponseOptions;
  readonly #echo: ResponseEcho;
  #ids: ItemIds;
  #model: string;
  #started = false;
  #sequence = 0;
  readonly #output: JsonRecord[] = [];
  #open: OpenItem | undefined;
  /** What each delta of an open text says of its place, as JSON without braces. */
  #place = '';
  #keptCharacters = 0;
  #reason: FinishReason = 'stop';
  #usage: Usage | undefined;

  constructor(options: ResponseOptions, echo: ResponseEcho) {
    super();
    this.#options = options;
    this.#echo = echo;
    this.#ids = new ItemIds(ownId(options));
    this.#model = options.model;
  }

  protected override part(part: Exclude<AnswerPart, { type: 'error' }>): string {
    switch (part.type) {
      case 'start':
        return this.#start(part.id, part.model);
      case 'text':
      case 'refusal':
      case 'reasoning':
        return this.#text(part.type, part.text);
      case 'signature':
        return this.#signature(part.signature);
      case 'redacted-reasoning':
        return this.#whole((index) => redactedItem(part.data, this.#ids.of('rs', index)));
      case 'tool-call':
        return this.#callSignature(part.signature) + this.#beginCall(part.id, part.name);
      case 'arguments':
        return this.#arguments(part.text);
      case 'block-end':
        return this.#close();
      case 'usage':
        this.#usage = part.usage;
        return '';
      case 'finish':
        this.#reason = part.reason;
        return this.#close();
      case 'end':
        return this.#end(this.#usage);
      default:
        throw new Error(`unknown part ${(part satisfies never as AnswerPart).type}`);
    }
  }

  protected override truncated(usage: Usage): string {
    this.#reason = this.finished ? this.#reason : 'length';
    return this.#end(usage);
  }

  protected override failed(failure: Failure): string {
    const error = { code: failure.code, message: failure.message };
    const events =
      this.#event('error', openAiError(failure)) +
      this.#event('response.failed', { response: this.#response({ status: 'failed', error, usage: this.#usage }) });
    return events;
  }

  #start(id: string | undefined, model: string | undefined): string {
    if (this.#started) {
      return '';
    }
    this.#started = true;
    this.#ids = id ? new ItemIds(id) : this.#ids;
    this.#model = model || this.#options.model;
    const response = this.#response({ status: 'in_progress' });
    return this.#event('response.created', { response }) + this.#event('response.in_progress', { response });
  }

  #end(usage: Usage | undefined): string {
    const before = this.#start(undefined, undefined) + this.#close();
    const incomplete = incompleteReason(this.#reason);
    const status = incomplete === undefined ? 'completed' : 'incomplete';
    return before + this.#event(`response.${status}`, { response: this.#response({ status, incomplete, usage }) });
  }

  #response(state: Omit<ResponseState, 'id' | 'model' | 'output'>): JsonRecord {
    const whole = { ...state, id: this.#ids.responseId, model: this.#model, output: this.#output };
    return responseObject(whole, this.#echo, this.#options);
  }

  #text(kind: TextKind, text: string): string {
    const open = this.#open;
    const before = open?.kind === kind ? '' : this.#beginText(kind);
    this.#keep(text);
    const type = deltaTypes[kind];
    // Nearly all events are deltas of a text, so they are built without an object.
    const delta = `"delta":${jsonText(text)}${kind === 'text' ? ',"logprobs":[]' : ''}`;
    return `${before}event: ${type}\ndata: {"type":"${type}","sequence_number":${this.#sequence++},${this.#place},${delta}}\n\n`;
  }

  #beginText(kind: TextKind): string {
    const before = this.#before();
    const index = this.#output.length;
    const reasons = kind === 'reasoning';
    const id = this.#ids.of(reasons ? 'rs' : 'msg', index);
    const at = { ...placeOf({ id, index }), [reasons ? 'summary_index' : 'content_index']: 0 };
    this.#open = { kind, id, index, text: '' };
    this.#place = jsonText(at).slice(1, -1);
    const item = reasons ? reasoningItem(id, '', undefined) : messageItem(id, [], 'in_progress');
    const added = this.#event('response.output_item.added', { output_index: index, item });
    const part = this.#event(`response.${reasons ? 'reasoning_summary' : 'content'}_part.added`, {
      ...at,
      part: contentOf(kind, ''),
    });
    return before + added + part;
  }

  /** Ends the reasoning before a signature, or begins and ends reasoning without text. */
  #signature(signature: string): string {
    const encrypted = encryptedContent({ signs: 'thinking', value: signature });
    return this.#open?.kind === 'reasoning'
      ? this.#close(encrypted)
      : this.#whole((index) => reasoningItem(this.#ids.of('rs', index), '', encrypted));
  }

  #callSignature(signature: string | undefined): string {
    return signature === undefined
      ? ''
      : this.#whole((index) => callSignatureItem(signature, this.#ids.of('rs', index)));
  }

  #beginCall(callId: string | undefined, name: string): string {
    const before = this.#before();
    const index = this.#output.length;
    const custom = this.#echo.tools.get(name)?.custom === true;
    const id = this.#ids.of(custom ? 'ctc' : 'fc', index);
    this.#open = { kind: 'call', id, index, text: '', callId, name, custom };
    const item = this.#callItem(this.#open, 'in_progress');
    return before + this.#event('response.output_item.added', { output_index: index, item });
  }

  /** The text for a custom tool is within the arguments, so it follows when they are complete. */
  #arguments(text: string): string {
    const open = this.#open;
    if (open?.kind !== 'call') {
      return '';
    }
    this.#keep(text);
    return open.custom ? '' : this.#event('response.function_call_arguments.delta', { ...placeOf(open), delta: text });
  }

  /** Adds an item that has no deltas. */
  #whole(itemAt: (index: number) => JsonRecord): string {
    const before = this.#before();
    const place = { output_index: this.#output.length };
    const item = itemAt(place.output_index);
    this.#output.push(item);
    return (
      before +
      this.#event('response.output_item.added', { ...place, item }) +
      this.#event('response.output_item.done', { ...place, item })
    );
  }

  /** Ends what stands before a new item. */
  #before(): string {
    return this.#start(undefined, undefined) + this.#close();
  }

  /** Ends the open item. It is incomplete where the whole response is. */
  #close(encrypted?: string): string {
    const open = this.#open;
    this.#open = undefined;
    switch (open?.kind) {
      case undefined:
        return '';
      case 'call':
        return this.#closeCall(open);
      case 'reasoning':
        return this.#closeText(open, reasoningItem(open.id, open.text, encrypted));
      case 'text':
      case 'refusal':
        return this.#closeText(open, messageItem(open.id, [contentOf(open.kind, open.text)], this.#status));
      default:
        throw new Error(`unknown item ${(open satisfies never as OpenItem).kind}`);
    }
  }

  get #status(): 'completed' | 'incomplete' {
    return incompleteReason(this.#reason) === undefined ? 'completed' : 'incomplete';
  }

  #closeText(open: OpenItem & { readonly kind: TextKind }, item: JsonRecord): string {
    const at = this.#partOf(open);
    const { kind, text } = open;
    const done =
      kind === 'text'
        ? this.#event('response.output_text.done', { ...at, text, logprobs: [] })
        : kind === 'refusal'
          ? this.#event('response.refusal.done', { ...at, refusal: text })
          : this.#event('response.reasoning_summary_text.done', { ...at, text });
    const name = kind === 'reasoning' ? 'reasoning_summary' : 'content';
    const part = this.#event(`response.${name}_part.done`, { ...at, part: contentOf(kind, text) });
    return done + part + this.#done(open, item);
  }

  #closeCall(open: OpenItem & { readonly kind: 'call' }): string {
    const place = placeOf(open);
    if (open.custom) {
      const input = customToolInput(open.text);
      const delta = this.#event('response.custom_tool_call_input.delta', { ...place, delta: input });
      const done = this.#event('response.custom_tool_call_input.done', { ...place, input });
      return delta + done + this.#done(open, this.#callItem(open, this.#status));
    }
    // Clients parse arguments, so a call without any has `{}`.
    const bare = open.text === '' && this.#status === 'completed';
    const delta = bare ? this.#event('response.function_call_arguments.delta', { ...place, delta: '{}' }) : '';
    open.text ||= bare ? '{}' : '';
    const item = this.#callItem(open, this.#status);
    const { text, name } = open;
    const done = this.#event('response.function_call_arguments.done', { ...place, name, arguments: text });
    return delta + done + this.#done(open, item);
  }

  #done({ index }: OpenItem, item: JsonRecord): string {
    this.#output.push(item);
    return this.#event('response.output_item.done', { output_index: index, item });
  }

  #callItem(
    { callId, name, text, index }: OpenItem & { readonly kind: 'call' },
    status: 'in_progress' | 'completed' | 'incomplete',
  ): JsonRecord {
    const call = { type: 'tool-call', id: callId, name, arguments: text, signature: undefined } as const;
    return callItem(call, index, this.#ids, this.#echo.tools, status);
  }

  #partOf(open: OpenItem): JsonRecord {
    return { ...placeOf(open), [open.kind === 'reasoning' ? 'summary_index' : 'content_index']: 0 };
  }

  #keep(text: string): void {
    if (this.#keptCharacters <= MAX_KEPT_CHARACTERS) {
      this.#keptCharacters += text.length;
      this.#open!.text += text;
    }
  }

  #event(type: string, members: JsonRecord): string {
    const data = { type, sequence_number: this.#sequence++, ...members };
    return `event: ${type}\ndata: ${jsonText(data)}\n\n`;
  }
}

const deltaTypes: Readonly<Record<TextKind, string>> = {
  text: 'response.output_text.delta',
  refusal: 'response.refusal.delta',
  reasoning: 'response.reasoning_summary_text.delta',
};

function placeOf({ id, index }: Pick<OpenItem, 'id' | 'index'>): JsonRecord {
  return { item_id: id, output_index: index };
}

function contentOf(kind: TextKind, text: string): JsonRecord {
  switch (kind) {
    case 'text':
      return textContent(text);
    case 'refusal':
      return refusalContent(text);
    case 'reasoning':
      return summaryPart(text);
    default:
      return kind satisfies never;
  }
}
