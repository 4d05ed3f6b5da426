import { chatUsage, finishReason } from './chat.ts';
import { asNumber, asRecord, data, type MockDialect, openaiError, textsIn } from './dialect.ts';

/** OpenAI completions (legacy). */
export const completions: MockDialect = {
  paths: ['/v1/completions'],
  read: (body) => ({
    model: String(body['model']),
    stream: body['stream'] === true,
    bound: asNumber(body['max_tokens']) ?? 16,
    choices: asNumber(body['n']) ?? 1,
    usage: asRecord(body['stream_options'])['include_usage'] === true,
    tool: undefined,
    texts: textsIn(body['prompt']),
    overheadTokens: 0,
  }),
  whole: (answer) => ({
    id: answer.id,
    object: 'text_completion',
    created: 1_760_000_000,
    model: answer.model,
    choices: Array.from({ length: answer.choices }, (_, index) => ({
      index,
      text: answer.text,
      logprobs: null,
      finish_reason: finishReason(answer),
    })),
    ...(answer.usage && { usage: chatUsage(answer) }),
  }),
  opening: () => '',
  delta: (answer, index, text) => chunk(answer, [{ index, text, logprobs: null, finish_reason: null }]),
  closing: (answer) =>
    Array.from({ length: answer.choices }, (_, index) =>
      chunk(answer, [{ index, text: '', logprobs: null, finish_reason: finishReason(answer) }]),
    ).join('') +
    (answer.usage ? chunk(answer, [], chatUsage(answer)) : '') +
    'data: [DONE]\n\n',
  error: openaiError,
};

function chunk(
  answer: { readonly id: string; readonly model: string; readonly usage: boolean },
  choices: readonly unknown[],
  usage: unknown = null,
): string {
  const envelope = { id: answer.id, object: 'text_completion', created: 1_760_000_000, model: answer.model, choices };
  return data(answer.usage ? { ...envelope, usage } : envelope);
}

/** OpenAI embeddings: input only. */
export const embeddings: MockDialect = {
  paths: ['/v1/embeddings'],
  read: (body) => ({
    model: String(body['model']),
    stream: false,
    bound: 0,
    choices: 1,
    usage: true,
    tool: undefined,
    base64: body['encoding_format'] === 'base64',
    texts: textsIn(body['input']),
    overheadTokens: 0,
  }),
  whole: (answer) => ({
    object: 'list',
    model: answer.model,
    data: [{ object: 'embedding', index: 0, embedding: answer.base64 ? base64(vector) : vector }],
    ...(answer.usage && { usage: { prompt_tokens: answer.inputTokens, total_tokens: answer.inputTokens } }),
  }),
  opening: () => '',
  delta: () => '',
  closing: () => '',
  error: openaiError,
};

const vector = [0.5, -0.25, 0.125];

function base64(numbers: readonly number[]): string {
  return Buffer.from(Float32Array.from(numbers).buffer).toString('base64');
}
