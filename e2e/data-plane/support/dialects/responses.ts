import {
  asList,
  asNumber,
  asRecord,
  type MockAnswer,
  type MockDialect,
  named,
  openaiError,
  textsIn,
} from './dialect.ts';

/** OpenAI Responses API. */
export const responses: MockDialect = {
  paths: ['/v1/responses'],
  read: (body) => ({
    model: String(body['model']),
    stream: body['stream'] === true,
    bound: asNumber(body['max_output_tokens']),
    choices: 1,
    usage: true,
    tool: undefined,
    texts: [
      ...textsIn(body['instructions']),
      ...(typeof body['input'] === 'string'
        ? [body['input']]
        : asList(body['input']).flatMap((item) => textsIn(asRecord(item)['content']))),
    ],
    overheadTokens: 7,
  }),
  whole: (answer) => response(answer, 'done'),
  opening: (answer) =>
    named({ type: 'response.created', sequence_number: 0, response: response(answer, 'in_progress') }) +
    named({ type: 'response.in_progress', sequence_number: 1, response: response(answer, 'in_progress') }) +
    named({ type: 'response.output_item.added', sequence_number: 2, output_index: 0, item: item('', 'in_progress') }) +
    named({ type: 'response.content_part.added', sequence_number: 3, ...place, part: part('') }),
  delta: (_answer, _choice, text, index) =>
    named({ type: 'response.output_text.delta', sequence_number: 4 + index, ...place, delta: text, logprobs: [] }),
  closing: (answer) => {
    const from = 4 + answer.tokens;
    const status = answer.reason === 'length' ? 'incomplete' : 'completed';
    return (
      named({ type: 'response.output_text.done', sequence_number: from, ...place, text: answer.text, logprobs: [] }) +
      named({ type: 'response.content_part.done', sequence_number: from + 1, ...place, part: part(answer.text) }) +
      named({
        type: 'response.output_item.done',
        sequence_number: from + 2,
        output_index: 0,
        item: item(answer.text, status),
      }) +
      named({ type: `response.${status}`, sequence_number: from + 3, response: response(answer, 'done') })
    );
  },
  error: openaiError,
};

const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };

function part(text: string) {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

function item(text: string, status: string) {
  return {
    id: 'msg_1',
    type: 'message',
    status,
    role: 'assistant',
    content: status === 'in_progress' ? [] : [part(text)],
  };
}

function response(answer: MockAnswer, state: 'in_progress' | 'done') {
  const status = state === 'in_progress' ? 'in_progress' : answer.reason === 'length' ? 'incomplete' : 'completed';
  const output = answer.tokens + answer.hiddenTokens;
  return {
    id: answer.id,
    object: 'response',
    created_at: 1_760_000_000,
    status,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    model: answer.model,
    output: state === 'done' ? [item(answer.text, status)] : [],
    parallel_tool_calls: true,
    tools: [],
    usage:
      state === 'done' && answer.usage
        ? {
            input_tokens: answer.inputTokens,
            input_tokens_details: { cached_tokens: 0 },
            output_tokens: output,
            output_tokens_details: { reasoning_tokens: answer.hiddenTokens },
            total_tokens: answer.inputTokens + output,
          }
        : null,
  };
}
