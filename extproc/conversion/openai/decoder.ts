/**
 * Reads answers of chat completions, of OpenAI and of compatible servers:
 * https://platform.openai.com/docs/api-reference/chat-streaming
 */
import type { AnswerPart, FinishReason } from '../answer.ts';
import type { JsonRecord } from '../conversation.ts';
import type { AnswerDecoder } from '../conversion.ts';
import { readErrorObject, unreadableAnswer } from '../failures.ts';
import { listOf, numberOf, parsedRecord, recordOf, stringOf } from '../json-values.ts';

const UNREADABLE: readonly AnswerPart[] = [{ type: 'error', failure: unreadableAnswer }];

const reasons: ReadonlyMap<string, FinishReason> = new Map<string, FinishReason>([
  ['stop', 'stop'],
  ['length', 'length'],
  ['model_length', 'length'],
  ['tool_calls', 'tool-calls'],
  ['content_filter', 'refusal'],
]);

export class ChatDecoder implements AnswerDecoder {
  #started = false;
  /** The index of the tool call whose arguments come; calls follow one another. */
  #call = -1;
  #callId: string | undefined;

  event(data: string): readonly AnswerPart[] {
    if (data === '[DONE]') {
      return [{ type: 'end' }];
    }
    const chunk = parsedRecord(data);
    if (chunk === undefined) {
      return UNREADABLE;
    }
    if (isSet(chunk['error'])) {
      return [errorOf(chunk)];
    }
    const parts: AnswerPart[] = [];
    const choice = firstChoice(chunk);
    if (!this.#started && (choice !== undefined || stringOf(chunk['id']))) {
      this.#started = true;
      parts.push(startOf(chunk));
    }
    if (choice !== undefined && !this.#delta(recordOf(choice['delta']) ?? {}, parts)) {
      return UNREADABLE;
    }
    parts.push(...finishOf(choice));
    return parts;
  }

  document(document: unknown): readonly AnswerPart[] {
    const answer = recordOf(document);
    if (answer !== undefined && isSet(answer['error'])) {
      return [errorOf(answer)];
    }
    const choice = answer && firstChoice(answer);
    const message = recordOf(choice?.['message']);
    if (answer === undefined || message === undefined) {
      return UNREADABLE;
    }
    const parts: AnswerPart[] = [startOf(answer)];
    if (!this.#delta(message, parts)) {
      return UNREADABLE;
    }
    const finish = finishOf(choice);
    parts.push(...(finish.length > 0 ? finish : [{ type: 'finish', reason: 'stop' } as const]), { type: 'end' });
    return parts;
  }

  /** Adds what a delta or a message says. Returns false for calls out of order. */
  #delta(delta: JsonRecord, parts: AnswerPart[]): boolean {
    addText(parts, 'reasoning', delta['reasoning_content'] ?? delta['reasoning']);
    addContent(parts, delta['content']);
    addText(parts, 'refusal', delta['refusal']);
    const calls = listOf(delta['tool_calls']) ?? [];
    return calls.every((each, place) => this.#toolCall(recordOf(each) ?? {}, place, parts));
  }

  #toolCall(call: JsonRecord, place: number, parts: AnswerPart[]): boolean {
    const called = recordOf(call['function']) ?? {};
    const id = stringOf(call['id']) || undefined;
    // Some servers give no index; then an id begins a call.
    const told = numberOf(call['index']);
    const index = told ?? (id === undefined || id === this.#callId ? this.#call : Math.max(this.#call + 1, place));
    if (index < this.#call || index < 0) {
      return false;
    }
    if (index > this.#call) {
      this.#call = index;
      this.#callId = id;
      const google = recordOf(recordOf(call['extra_content'])?.['google']);
      const signature = stringOf(google?.['thought_signature']);
      const name = stringOf(called['name']) ?? '';
      parts.push({ type: 'tool-call', id, name, ...(signature !== undefined && { signature }) });
    }
    const text = argumentsOf(called['arguments']);
    if (text !== '') {
      parts.push({ type: 'arguments', text });
    }
    return true;
  }
}

/** Some servers send an object where OpenAI sends text. */
function argumentsOf(value: unknown): string {
  const object = recordOf(value);
  return object === undefined ? (stringOf(value) ?? '') : JSON.stringify(object);
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Conversions ask for one choice. */
function firstChoice(chunk: JsonRecord): JsonRecord | undefined {
  const choices = (listOf(chunk['choices']) ?? []).map(recordOf);
  return choices.find((choice) => choice !== undefined && (numberOf(choice['index']) ?? 0) === 0);
}

function startOf(chunk: JsonRecord): AnswerPart {
  return { type: 'start', id: stringOf(chunk['id']) || undefined, model: stringOf(chunk['model']) || undefined };
}

function finishOf(choice: JsonRecord | undefined): readonly AnswerPart[] {
  const reason = stringOf(choice?.['finish_reason']);
  return reason ? [{ type: 'finish', reason: reasons.get(reason) ?? 'stop' }] : [];
}

function errorOf(document: JsonRecord): AnswerPart {
  const status = numberOf(recordOf(document['error'])?.['code']) ?? 500;
  const known = status >= 400 && status < 600 ? status : 500;
  return { type: 'error', failure: { ...readErrorObject(known, document), failure: true } };
}

function addText(parts: AnswerPart[], type: 'text' | 'refusal' | 'reasoning', value: unknown): void {
  const text = stringOf(value) ?? '';
  if (text !== '') {
    parts.push({ type, text });
  }
}

/** Text, or a list of text and thinking (Mistral). */
function addContent(parts: AnswerPart[], content: unknown): void {
  addText(parts, 'text', content);
  for (const each of listOf(content) ?? []) {
    const part = recordOf(each) ?? {};
    addText(parts, 'text', part['text']);
    for (const thought of listOf(part['thinking']) ?? []) {
      addText(parts, 'reasoning', recordOf(thought)?.['text']);
    }
  }
}
