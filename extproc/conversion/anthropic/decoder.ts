/**
 * Reads answers of Anthropic's messages API:
 * https://platform.claude.com/docs/en/build-with-claude/streaming
 */
import type { AnswerPart, FinishReason } from '../answer.ts';
import type { JsonRecord } from '../conversation.ts';
import type { AnswerDecoder } from '../conversion.ts';
import { readErrorObject, unreadableAnswer } from '../failures.ts';
import { listOf, numberOf, parsedRecord, recordOf, stringOf } from '../json-values.ts';

const UNREADABLE: readonly AnswerPart[] = [{ type: 'error', failure: unreadableAnswer }];

const reasons: ReadonlyMap<string, FinishReason> = new Map<string, FinishReason>([
  ['end_turn', 'stop'],
  ['stop_sequence', 'stop'],
  ['pause_turn', 'stop'],
  ['max_tokens', 'length'],
  ['model_context_window_exceeded', 'length'],
  ['tool_use', 'tool-calls'],
  ['refusal', 'refusal'],
]);

/** Statuses of errors inside of a stream, whose own status is 200. */
const statuses: ReadonlyMap<string, number> = new Map<string, number>([
  ['invalid_request_error', 400],
  ['authentication_error', 401],
  ['permission_error', 403],
  ['not_found_error', 404],
  ['request_too_large', 413],
  ['rate_limit_error', 429],
  ['timeout_error', 504],
  ['overloaded_error', 529],
]);

/** The deltas of each kind of block. */
const deltas: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ['text', ['text_delta', 'citations_delta']],
  ['thinking', ['thinking_delta', 'signature_delta']],
  ['tool_use', ['input_json_delta']],
]);

export class MessagesDecoder implements AnswerDecoder {
  /** The open block; blocks follow one another. */
  #index = -1;
  #kind = '';
  /** Complete input in the start of a tool block, which compatible servers send without deltas. */
  #input = '';

  event(data: string): readonly AnswerPart[] {
    const event = parsedRecord(data);
    if (event === undefined) {
      return UNREADABLE;
    }
    switch (event['type']) {
      case 'message_start':
        return [startOf(recordOf(event['message']) ?? {})];
      case 'content_block_start':
        return this.#blockStart(event);
      case 'content_block_delta':
        return this.#blockDelta(event);
      case 'content_block_stop':
        return this.#blockStop(event);
      case 'message_delta':
        return finishOf(recordOf(event['delta']) ?? {});
      case 'message_stop':
        return [{ type: 'end' }];
      case 'error':
        return [errorOf(event)];
      default:
        return [];
    }
  }

  document(document: unknown): readonly AnswerPart[] {
    const message = recordOf(document);
    if (message?.['type'] === 'error') {
      return [errorOf(message)];
    }
    const content = listOf(message?.['content']);
    if (message === undefined || content === undefined) {
      return UNREADABLE;
    }
    const parts: AnswerPart[] = [startOf(message)];
    for (const each of content) {
      parts.push(...wholeBlock(recordOf(each) ?? {}));
    }
    parts.push(...finishOf(message), { type: 'end' });
    return parts;
  }

  #blockStart(event: JsonRecord): readonly AnswerPart[] {
    const block = recordOf(event['content_block']) ?? {};
    const index = numberOf(event['index']);
    if (this.#index >= 0 || index === undefined) {
      return UNREADABLE;
    }
    this.#index = index;
    this.#kind = stringOf(block['type']) ?? '';
    this.#input = '';
    if (this.#kind !== 'tool_use') {
      return blockParts(block);
    }
    const input = recordOf(block['input']) ?? {};
    this.#input = Object.keys(input).length > 0 ? JSON.stringify(input) : '';
    return [callOf(block)];
  }

  #blockDelta(event: JsonRecord): readonly AnswerPart[] {
    const delta = recordOf(event['delta']) ?? {};
    const type = stringOf(delta['type']) ?? '';
    if (event['index'] !== this.#index) {
      return UNREADABLE;
    }
    const known = deltas.get(this.#kind);
    if (known === undefined) {
      // Blocks of server tools and of unknown kinds have no place in other APIs.
      return [];
    }
    if (!known.includes(type)) {
      return [...deltas.values()].some((others) => others.includes(type)) ? UNREADABLE : [];
    }
    switch (type) {
      case 'text_delta':
        return textPart('text', delta['text']);
      case 'thinking_delta':
        return textPart('reasoning', delta['thinking']);
      case 'signature_delta':
        return signaturePart(delta['signature']);
      case 'input_json_delta': {
        const text = stringOf(delta['partial_json']) ?? '';
        if (text === '') {
          return [];
        }
        this.#input = '';
        return [{ type: 'arguments', text }];
      }
      default:
        return [];
    }
  }

  #blockStop(event: JsonRecord): readonly AnswerPart[] {
    if (event['index'] !== this.#index) {
      return UNREADABLE;
    }
    this.#index = -1;
    const end: AnswerPart = { type: 'block-end' };
    return this.#input === '' ? [end] : [{ type: 'arguments', text: this.#input }, end];
  }
}

function startOf(message: JsonRecord): AnswerPart {
  return { type: 'start', id: stringOf(message['id']), model: stringOf(message['model']) };
}

function finishOf(delta: JsonRecord): readonly AnswerPart[] {
  const reason = stringOf(delta['stop_reason']);
  const stop = stringOf(delta['stop_sequence']);
  return reason === undefined ? [] : [{ type: 'finish', reason: reasons.get(reason) ?? 'stop', stop }];
}

function errorOf(event: JsonRecord): AnswerPart {
  const type = stringOf(recordOf(event['error'])?.['type']) ?? '';
  return { type: 'error', failure: { ...readErrorObject(statuses.get(type) ?? 500, event), failure: true } };
}

function wholeBlock(block: JsonRecord): readonly AnswerPart[] {
  if (block['type'] !== 'tool_use') {
    return [...blockParts(block), { type: 'block-end' }];
  }
  const text = JSON.stringify(recordOf(block['input']) ?? {});
  return [callOf(block), { type: 'arguments', text }, { type: 'block-end' }];
}

/** Returns the parts of a block that is no tool call. */
function blockParts(block: JsonRecord): readonly AnswerPart[] {
  switch (block['type']) {
    case 'text':
      return textPart('text', block['text']);
    case 'thinking':
      return [...textPart('reasoning', block['thinking']), ...signaturePart(block['signature'])];
    case 'redacted_thinking':
      return [{ type: 'redacted-reasoning', data: stringOf(block['data']) ?? '' }];
    default:
      return [];
  }
}

function callOf(block: JsonRecord): AnswerPart {
  return { type: 'tool-call', id: stringOf(block['id']), name: stringOf(block['name']) ?? '' };
}

function textPart(type: 'text' | 'reasoning', value: unknown): readonly AnswerPart[] {
  const text = stringOf(value) ?? '';
  return text === '' ? [] : [{ type, text }];
}

function signaturePart(value: unknown): readonly AnswerPart[] {
  const signature = stringOf(value) ?? '';
  return signature === '' ? [] : [{ type: 'signature', signature }];
}
