/** Reads responses of Cohere's chat API: https://docs.cohere.com/v2/docs/streaming */
import type { AnswerPart, FinishReason } from '../answer.ts';
import type { JsonRecord } from '../conversation.ts';
import type { AnswerDecoder } from '../conversion.ts';
import { unreadableAnswer } from '../failures.ts';
import { listOf, numberOf, parsedRecord, recordOf, stringOf } from '../json-values.ts';
import { readCohereError } from './errors.ts';
import { cohereUsage } from './usage.ts';

const UNREADABLE: readonly AnswerPart[] = [{ type: 'error', failure: unreadableAnswer }];
const BLOCK_END: AnswerPart = { type: 'block-end' };

const reasons: ReadonlyMap<string, FinishReason> = new Map<string, FinishReason>([
  ['COMPLETE', 'stop'],
  ['STOP_SEQUENCE', 'stop'],
  ['MAX_TOKENS', 'length'],
  ['TOOL_CALL', 'tool-calls'],
  ['ERROR_TOXIC', 'refusal'],
]);

export class CohereDecoder implements AnswerDecoder {
  #started = false;
  /** The index of the open tool call; calls follow one another. */
  #call: number | undefined;
  #lastCall = -1;

  event(data: string): readonly AnswerPart[] {
    // Follows the end of the message.
    if (data === '[DONE]') {
      return [];
    }
    const event = parsedRecord(data);
    if (event === undefined) {
      return UNREADABLE;
    }
    const delta = recordOf(event['delta']);
    const message = recordOf(delta?.['message']) ?? {};
    switch (event['type']) {
      case 'message-start':
        return this.#start(event);
      case 'content-start':
      case 'content-delta':
        return [...this.#start({}), ...contentParts(recordOf(message['content']) ?? {})];
      case 'tool-plan-delta':
        return [...this.#start({}), ...textPart('text', message['tool_plan'])];
      case 'tool-call-start':
        return [...this.#start({}), ...this.#callStart(event, recordOf(message['tool_calls']) ?? {})];
      case 'tool-call-delta':
        return this.#callDelta(event, recordOf(message['tool_calls']) ?? {});
      case 'tool-call-end':
        return this.#callEnd();
      case 'content-end':
        return this.#started ? [BLOCK_END] : [];
      case 'message-end':
        return [...this.#start({}), ...this.#callEnd(), ...endingOf(delta ?? {})];
      // Citations, and what later versions add.
      default:
        return event['type'] === undefined ? [errorOf(event)] : [];
    }
  }

  document(document: unknown): readonly AnswerPart[] {
    const answer = recordOf(document);
    const message = recordOf(answer?.['message']);
    if (answer === undefined || message === undefined) {
      return answer?.['message'] === undefined ? UNREADABLE : [errorOf(answer)];
    }
    return [
      ...this.#start(answer),
      ...wholeContent(message),
      ...(listOf(message['tool_calls']) ?? []).flatMap((call) => wholeCall(recordOf(call) ?? {})),
      ...endingOf(answer),
    ];
  }

  #start({ id }: JsonRecord): readonly AnswerPart[] {
    if (this.#started) {
      return [];
    }
    this.#started = true;
    return [{ type: 'start', id: stringOf(id) || undefined, model: undefined }];
  }

  #callStart(event: JsonRecord, call: JsonRecord): readonly AnswerPart[] {
    const index = numberOf(event['index']) ?? this.#lastCall + 1;
    if (index <= this.#lastCall) {
      return UNREADABLE;
    }
    const closed = this.#callEnd();
    this.#call = index;
    this.#lastCall = index;
    return [...closed, ...callParts(call)];
  }

  #callDelta(event: JsonRecord, call: JsonRecord): readonly AnswerPart[] {
    const index = numberOf(event['index']) ?? this.#call;
    return this.#call === undefined || index !== this.#call ? UNREADABLE : argumentParts(call);
  }

  #callEnd(): readonly AnswerPart[] {
    const isOpen = this.#call !== undefined;
    this.#call = undefined;
    return isOpen ? [BLOCK_END] : [];
  }
}

function callParts(call: JsonRecord): readonly AnswerPart[] {
  const name = stringOf(recordOf(call['function'])?.['name']) ?? '';
  return [{ type: 'tool-call', id: stringOf(call['id']) || undefined, name }, ...argumentParts(call)];
}

function argumentParts(call: JsonRecord): readonly AnswerPart[] {
  const text = stringOf(recordOf(call['function'])?.['arguments']) ?? '';
  return text === '' ? [] : [{ type: 'arguments', text }];
}

function wholeCall(call: JsonRecord): readonly AnswerPart[] {
  return [...callParts(call), BLOCK_END];
}

/** Thinking comes first, then the plan, then the text. */
function wholeContent(message: JsonRecord): readonly AnswerPart[] {
  const content = (listOf(message['content']) ?? []).map((each) => contentParts(recordOf(each) ?? {}));
  const blocks = content.filter((parts) => parts.length > 0).map((parts) => [...parts, BLOCK_END]);
  const plan = textPart('text', message['tool_plan']);
  return [
    ...blocks.filter(([first]) => first?.type === 'reasoning').flat(),
    ...(plan.length > 0 ? [...plan, BLOCK_END] : []),
    ...blocks.filter(([first]) => first?.type !== 'reasoning').flat(),
  ];
}

function contentParts(content: JsonRecord): readonly AnswerPart[] {
  return [...textPart('reasoning', content['thinking']), ...textPart('text', content['text'])];
}

function textPart(type: 'text' | 'reasoning', value: unknown): readonly AnswerPart[] {
  const text = stringOf(value) ?? '';
  return text === '' ? [] : [{ type, text }];
}

/** Reads the end of a message, which a stream and a document have in the same form. */
function endingOf(ending: JsonRecord): readonly AnswerPart[] {
  const usage = cohereUsage(ending['usage']);
  const usageParts: readonly AnswerPart[] = usage === undefined ? [] : [{ type: 'usage', usage }];
  const reason = stringOf(ending['finish_reason']) ?? '';
  const finish = reasons.get(reason);
  if (finish === undefined && /^(ERROR|TIMEOUT)/.test(reason)) {
    const message = ending['error'] ?? `Cohere could not complete the response (${reason}). Try again.`;
    return [...usageParts, errorOf({ message })];
  }
  return [...usageParts, { type: 'finish', reason: finish ?? 'stop' }, { type: 'end' }];
}

/** An error has a message and no type. */
function errorOf(document: JsonRecord): AnswerPart {
  return { type: 'error', failure: { ...readCohereError(500, document), failure: true } };
}
