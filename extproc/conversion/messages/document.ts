/** Unary responses of messages. */
import type { ResponseOptions } from '../../providers/adapter.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerBlock, CollectedAnswer, FinishReason } from '../answer.ts';
import type { JsonRecord } from '../conversation.ts';
import { parsedRecord } from '../json-values.ts';
import { callSignature } from './call-signature.ts';

/** Clients choose the ids of requests. */
const MAX_OWN_ID_CHARACTERS = 64;

/** An id for a message to which the provider gave none. */
export function ownId({ requestId }: ResponseOptions): string {
  return `msg_${requestId?.slice(0, MAX_OWN_ID_CHARACTERS) ?? 'tallygate'}`;
}

export function messageDocument(answer: CollectedAnswer, options: ResponseOptions): Uint8Array {
  const { usage, blocks } = answer;
  const id = answer.id ?? ownId(options);
  const called = blocks.some(({ type }) => type === 'tool-call');
  return Buffer.from(
    JSON.stringify({
      ...messageStart(id, answer.model ?? options.model),
      content: blocks.flatMap((block, index) => contentBlocks(block, id, index)),
      stop_reason: stopReason(answer.reason, answer.stop, called),
      stop_sequence: answer.stop ?? null,
      usage: messageUsage(usage),
    }),
  );
}

/** A message before its content, as streams begin with it. */
export function messageStart(id: string, model: string): JsonRecord {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: messageUsage(undefined),
  };
}

/** An id for a tool call to which the provider gave none. */
export function callId(messageId: string, index: number): string {
  return `toolu_${messageId.replace(/[^\w-]/g, '_')}_${index}`;
}

export function stopReason(reason: FinishReason, stop: string | undefined, called: boolean): string {
  switch (reason) {
    case 'stop':
      return called ? 'tool_use' : stop === undefined ? 'end_turn' : 'stop_sequence';
    case 'tool-calls':
      return 'tool_use';
    case 'length':
      return 'max_tokens';
    case 'refusal':
      return 'refusal';
    default:
      return reason satisfies never;
  }
}

export function messageUsage(usage: Usage | undefined): JsonRecord {
  const { input = 0, cachedInput = 0, cacheWriteInput = 0, output = 0, reasoningOutput = 0 } = usage ?? {};
  return {
    input_tokens: Math.max(0, input - cachedInput - cacheWriteInput),
    cache_creation_input_tokens: cacheWriteInput,
    cache_read_input_tokens: cachedInput,
    output_tokens: output,
    ...(reasoningOutput > 0 && { output_tokens_details: { thinking_tokens: reasoningOutput } }),
  };
}

/** Returns the block of thinking that carries the signature of the call after it. */
function signatureBlock(signature: string | undefined): readonly JsonRecord[] {
  return signature === undefined ? [] : [{ type: 'thinking', thinking: '', signature: callSignature(signature) }];
}

function contentBlocks(block: AnswerBlock, messageId: string, index: number): readonly JsonRecord[] {
  switch (block.type) {
    case 'text':
    case 'refusal':
      return [{ type: 'text', text: block.text, citations: null }];
    case 'reasoning':
      return [{ type: 'thinking', thinking: block.text, signature: block.signature ?? '' }];
    case 'redacted-reasoning':
      return [{ type: 'redacted_thinking', data: block.data }];
    case 'tool-call': {
      const text = block.arguments;
      const input = text.trim() === '' ? {} : (parsedRecord(text) ?? { INVALID_JSON: text });
      const id = block.id || callId(messageId, index);
      return [...signatureBlock(block.signature), { type: 'tool_use', id, name: block.name, input }];
    }
    default:
      return block satisfies never;
  }
}
