/**
 * Reads answers of Bedrock's Converse and ConverseStream:
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
 */
import type { AnswerPart, FinishReason } from '../answer.ts';
import type { JsonRecord } from '../conversation.ts';
import type { AnswerDecoder } from '../conversion.ts';
import { unreadableAnswer } from '../failures.ts';
import { listOf, numberOf, parsedRecord, recordOf, stringOf } from '../json-values.ts';
import { converseException } from './errors.ts';
import { converseUsage } from './usage.ts';

const UNREADABLE: readonly AnswerPart[] = [{ type: 'error', failure: unreadableAnswer }];

const reasons: ReadonlyMap<string, FinishReason> = new Map<string, FinishReason>([
  ['end_turn', 'stop'],
  ['stop_sequence', 'stop'],
  ['max_tokens', 'length'],
  ['model_context_window_exceeded', 'length'],
  ['tool_use', 'tool-calls'],
  ['guardrail_intervened', 'refusal'],
  ['content_filtered', 'refusal'],
]);

/** `tool`: a call, which has a start. `content`: text or reasoning. `skipped`: anything else. */
type StreamedBlock = 'tool' | 'content' | 'skipped';

export class ConverseDecoder implements AnswerDecoder {
  #started = false;
  #finished = false;
  #hasMetadata = false;
  /** The open block, or the last one; blocks follow one another. */
  #index = -1;
  #open: StreamedBlock | undefined;
  /** The type of the last part of a block of content. */
  #content: 'text' | 'reasoning' | undefined;

  event(data: string): readonly AnswerPart[] {
    const [type, value] = Object.entries(parsedRecord(data) ?? {})[0] ?? [];
    const event = recordOf(value);
    if (type === undefined || event === undefined) {
      return UNREADABLE;
    }
    switch (type) {
      case 'messageStart':
        return this.#start();
      case 'contentBlockStart':
        return [...this.#start(), ...this.#blockStart(event)];
      case 'contentBlockDelta':
        return [...this.#start(), ...this.#blockDelta(event)];
      case 'contentBlockStop':
        return this.#blockStop(event);
      case 'messageStop':
        this.#finished = true;
        return [...this.#start(), ...this.#close(), finishOf(event), ...this.#end()];
      case 'metadata':
        this.#hasMetadata = true;
        return [...usageOf(event), ...this.#end()];
      default:
        return /(exception|error)$/i.test(type) ? [errorOf(type, event)] : [];
    }
  }

  document(document: unknown): readonly AnswerPart[] {
    const answer = recordOf(document);
    const message = recordOf(recordOf(answer?.['output'])?.['message']);
    const content = listOf(message?.['content']);
    if (answer === undefined || content === undefined) {
      return UNREADABLE;
    }
    const blocks = content.flatMap((block) => wholeBlock(recordOf(block) ?? {}));
    return [START, ...blocks, finishOf(answer), ...usageOf(answer), { type: 'end' }];
  }

  #start(): readonly AnswerPart[] {
    if (this.#started) {
      return [];
    }
    this.#started = true;
    return [START];
  }

  /** The usage comes after the reason to stop. */
  #end(): readonly AnswerPart[] {
    return this.#finished && this.#hasMetadata ? [{ type: 'end' }] : [];
  }

  #blockStart(event: JsonRecord): readonly AnswerPart[] {
    const closed = this.#openBlock(event);
    if (closed === undefined) {
      return UNREADABLE;
    }
    const call = recordOf(recordOf(event['start'])?.['toolUse']);
    this.#open = call === undefined ? 'skipped' : 'tool';
    return call === undefined ? closed : [...closed, callOf(call)];
  }

  /** Opens the block of an event, and closes the one before it. Undefined for an earlier block. */
  #openBlock(event: JsonRecord): readonly AnswerPart[] | undefined {
    const index = numberOf(event['contentBlockIndex']);
    if (index === undefined || index <= this.#index) {
      return undefined;
    }
    const closed = this.#close();
    this.#index = index;
    return closed;
  }

  #blockDelta(event: JsonRecord): readonly AnswerPart[] {
    const delta = recordOf(event['delta']) ?? {};
    const tool = recordOf(delta['toolUse']);
    if (tool !== undefined) {
      const isOpen = this.#open === 'tool' && event['contentBlockIndex'] === this.#index;
      return isOpen ? argumentsOf(stringOf(tool['input']) ?? '') : UNREADABLE;
    }
    const parts = contentParts(delta);
    const [first] = parts;
    if (first === undefined) {
      return [];
    }
    // Blocks of content have no start.
    const opens = this.#open === undefined || event['contentBlockIndex'] !== this.#index;
    const closed = opens ? this.#openBlock(event) : [];
    if (closed === undefined || (!opens && this.#open === 'tool')) {
      return UNREADABLE;
    }
    this.#open = 'content';
    const content = first.type === 'text' ? 'text' : 'reasoning';
    const turns = this.#content !== undefined && this.#content !== content;
    this.#content = content;
    return [...closed, ...(turns ? [BLOCK_END] : []), ...parts];
  }

  #blockStop(event: JsonRecord): readonly AnswerPart[] {
    return event['contentBlockIndex'] === this.#index ? this.#close() : [];
  }

  #close(): readonly AnswerPart[] {
    const ends = this.#open === 'tool' || this.#open === 'content';
    this.#open = undefined;
    this.#content = undefined;
    return ends ? [BLOCK_END] : [];
  }
}

const START: AnswerPart = { type: 'start', id: undefined, model: undefined };
const BLOCK_END: AnswerPart = { type: 'block-end' };

function finishOf(event: JsonRecord): AnswerPart {
  const reason = stringOf(event['stopReason']) ?? '';
  const additional = recordOf(event['additionalModelResponseFields']);
  const stop = reason === 'stop_sequence' ? stringOf(additional?.['stop_sequence']) : undefined;
  return { type: 'finish', reason: reasons.get(reason) ?? 'stop', stop };
}

function usageOf(event: JsonRecord): readonly AnswerPart[] {
  const usage = converseUsage(event['usage']);
  const serviceTier = stringOf(recordOf(event['serviceTier'])?.['type']);
  return usage === undefined ? [] : [{ type: 'usage', usage, ...(serviceTier !== undefined && { serviceTier }) }];
}

function errorOf(type: string, event: JsonRecord): AnswerPart {
  return { type: 'error', failure: { ...converseException(type, event), failure: true } };
}

function callOf(call: JsonRecord): AnswerPart {
  return { type: 'tool-call', id: stringOf(call['toolUseId']), name: stringOf(call['name']) ?? '' };
}

function argumentsOf(text: string): readonly AnswerPart[] {
  return text === '' ? [] : [{ type: 'arguments', text }];
}

function wholeBlock(block: JsonRecord): readonly AnswerPart[] {
  const call = recordOf(block['toolUse']);
  if (call !== undefined) {
    return [callOf(call), ...argumentsOf(JSON.stringify(call['input'] ?? {})), BLOCK_END];
  }
  const cited = listOf(recordOf(block['citationsContent'])?.['content']);
  const parts = cited === undefined ? contentParts(block) : cited.flatMap((each) => contentParts(recordOf(each) ?? {}));
  return parts.length === 0 ? [] : [...parts, BLOCK_END];
}

/** Returns text and reasoning, of a block or of a delta. */
function contentParts(content: JsonRecord): readonly AnswerPart[] {
  const reasoning = recordOf(content['reasoningContent']);
  if (reasoning === undefined) {
    return textPart('text', content['text']);
  }
  const whole = recordOf(reasoning['reasoningText']) ?? reasoning;
  const signature = stringOf(whole['signature']) ?? '';
  const redacted = stringOf(reasoning['redactedContent']) ?? '';
  return [
    ...textPart('reasoning', whole['text']),
    ...(signature === '' ? [] : [{ type: 'signature', signature } as const]),
    ...(redacted === '' ? [] : [{ type: 'redacted-reasoning', data: redacted } as const]),
  ];
}

function textPart(type: 'text' | 'reasoning', value: unknown): readonly AnswerPart[] {
  const text = stringOf(value) ?? '';
  return text === '' ? [] : [{ type, text }];
}
