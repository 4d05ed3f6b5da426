import {
  asList,
  asNumber,
  asRecord,
  type MockAnswer,
  type MockDialect,
  named,
  TOOL_ARGUMENTS,
  textsIn,
  toolArguments,
} from './dialect.ts';

/** Anthropic messages. */
export const messages: MockDialect = {
  paths: ['/v1/messages'],
  // Claude on Vertex AI.
  matches: (path) => /\/publishers\/anthropic\/models\/[^/]+:(rawPredict|streamRawPredict)$/.test(path),
  read(body, path) {
    const tool = asRecord(asList(body['tools'])[0])['name'];
    return {
      model: String(body['model'] ?? path.slice(path.lastIndexOf('/') + 1, path.lastIndexOf(':'))),
      stream: body['stream'] === true,
      bound: asNumber(body['max_tokens']),
      choices: 1,
      usage: true,
      tool: typeof tool === 'string' ? tool : undefined,
      texts: [
        ...textsIn(body['system']),
        ...asList(body['messages']).flatMap((message) => textsIn(asRecord(message)['content'])),
      ],
      overheadTokens: 4,
    };
  },
  whole: (answer) => ({
    ...envelope(answer),
    content: answer.tool === undefined ? [{ type: 'text', text: answer.text }] : [toolUse(answer, true)],
    stop_reason: stopReason(answer),
    stop_sequence: null,
    ...(answer.usage && { usage: usage(answer, answer.tokens + answer.hiddenTokens) }),
  }),
  opening: (answer) =>
    named({
      type: 'message_start',
      message: {
        ...envelope(answer),
        content: [],
        stop_reason: null,
        ...(answer.usage && { usage: usage(answer, 1) }),
      },
    }) +
    named({
      type: 'content_block_start',
      index: 0,
      content_block: answer.tool === undefined ? { type: 'text', text: '' } : toolUse(answer, false),
    }) +
    named({ type: 'ping' }) +
    (answer.tool === undefined ? '' : pieceOf(TOOL_ARGUMENTS.before)),
  delta: (answer, _choice, text) =>
    answer.tool === undefined
      ? named({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })
      : pieceOf(text),
  closing: (answer) =>
    (answer.tool === undefined ? '' : pieceOf(TOOL_ARGUMENTS.after)) +
    named({ type: 'content_block_stop', index: 0 }) +
    named({
      type: 'message_delta',
      delta: { stop_reason: stopReason(answer), stop_sequence: null },
      ...(answer.usage && { usage: { output_tokens: answer.tokens + answer.hiddenTokens } }),
    }) +
    named({ type: 'message_stop' }),
  error: (status) => ({
    type: 'error',
    error: {
      type: status === 429 ? 'rate_limit_error' : status >= 500 ? 'api_error' : 'invalid_request_error',
      message: `mock provider error ${status}`,
    },
    request_id: 'req_mock',
  }),
};

/** `count_tokens`: free. */
export function countTokens(inputTokens: number): unknown {
  return { input_tokens: inputTokens };
}

function envelope(answer: MockAnswer) {
  return { id: answer.id, type: 'message', role: 'assistant', model: answer.model };
}

function pieceOf(text: string): string {
  return named({
    type: 'content_block_delta',
    index: 0,
    delta: { type: 'input_json_delta', partial_json: text },
  });
}

function toolUse(answer: MockAnswer, whole: boolean) {
  return { type: 'tool_use', id: 'toolu_1', name: answer.tool, input: whole ? JSON.parse(toolArguments(answer)) : {} };
}

function stopReason(answer: MockAnswer): string {
  return { stop: 'end_turn', length: 'max_tokens', tool: 'tool_use' }[answer.reason];
}

function usage(answer: MockAnswer, output: number) {
  return {
    input_tokens: answer.inputTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: output,
  };
}
