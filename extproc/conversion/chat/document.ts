/** Unary responses of chat completions. */
import type { ResponseOptions } from '../../providers/adapter.ts';
import type { Usage } from '../../usage.ts';
import type { AnswerBlock, CollectedAnswer, FinishReason } from '../answer.ts';
import type { JsonRecord } from '../conversation.ts';

/** Clients choose the ids of requests. */
const MAX_OWN_ID_CHARACTERS = 64;

export function chatDocument(answer: CollectedAnswer, options: ResponseOptions): Uint8Array {
  const { blocks, usage } = answer;
  const id = answer.id ?? ownId(options);
  const calls = blocks.filter((block) => block.type === 'tool-call');
  const reasoning = textOf(blocks, 'reasoning');
  const details = blocks.flatMap(reasoningDetail);
  const text = textOf(blocks, 'text');
  const message = {
    role: 'assistant',
    content: text === '' && calls.length > 0 ? null : text,
    refusal: textOf(blocks, 'refusal') || null,
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(details.length > 0 && { reasoning_details: details }),
    ...(calls.length > 0 && {
      tool_calls: calls.map((call, index) => ({
        id: call.id ?? callId(id, index),
        type: 'function',
        function: { name: call.name, arguments: call.arguments || '{}' },
        ...signedCall(call.signature),
      })),
    }),
  };
  const reason = finishReason(answer.reason, calls.length > 0);
  return Buffer.from(
    JSON.stringify({
      id,
      object: 'chat.completion',
      created: createdSeconds(options),
      model: answer.model ?? options.model,
      choices: [{ index: 0, message, logprobs: null, finish_reason: reason }],
      ...(usage !== undefined && { usage: chatUsage(usage) }),
    }),
  );
}

/** An id for a response to which the provider gave none. */
export function ownId({ requestId }: ResponseOptions): string {
  return `chatcmpl-${requestId?.slice(0, MAX_OWN_ID_CHARACTERS) ?? 'tallygate'}`;
}

export function createdSeconds({ createdMs = 0 }: ResponseOptions): number {
  return Math.floor(createdMs / 1000);
}

/** An id for a tool call to which the provider gave none. */
export function callId(answerId: string, index: number): string {
  return `call_${answerId}_${index}`;
}

export function finishReason(reason: FinishReason, called: boolean): string {
  switch (reason) {
    case 'stop':
      return called ? 'tool_calls' : 'stop';
    case 'tool-calls':
      return 'tool_calls';
    case 'refusal':
      return 'content_filter';
    case 'length':
      return 'length';
    default:
      return reason satisfies never;
  }
}

/** The field in which Gemini's own OpenAI API carries signatures, so its clients echo it. */
export function signedCall(signature: string | undefined): JsonRecord {
  return signature === undefined ? {} : { extra_content: { google: { thought_signature: signature } } };
}

/** Reasoning that the client must echo, in the form of OpenRouter. */
export function reasoningDetail(block: AnswerBlock, index: number): readonly JsonRecord[] {
  if (block.type === 'redacted-reasoning') {
    return [{ type: 'reasoning.encrypted', data: block.data, index }];
  }
  return block.type === 'reasoning' && block.signature !== undefined
    ? [{ type: 'reasoning.text', text: block.text, signature: block.signature, index }]
    : [];
}

export function chatUsage(usage: Usage): JsonRecord {
  return {
    prompt_tokens: usage.input,
    completion_tokens: usage.output,
    total_tokens: usage.input + usage.output,
    prompt_tokens_details: {
      cached_tokens: usage.cachedInput,
      cache_write_tokens: usage.cacheWriteInput,
      audio_tokens: usage.audioInput,
    },
    completion_tokens_details: { reasoning_tokens: usage.reasoningOutput, audio_tokens: usage.audioOutput },
  };
}

function textOf(blocks: readonly AnswerBlock[], type: 'text' | 'refusal' | 'reasoning'): string {
  return blocks.map((block) => (block.type === type ? block.text : '')).join('');
}
