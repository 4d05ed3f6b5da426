import {
  asList,
  asNumber,
  asRecord,
  data,
  type MockAnswer,
  type MockDialect,
  openaiError,
  TOOL_ARGUMENTS,
  toolArguments,
} from './dialect.ts';

/** OpenAI chat completions. */
export const chat: MockDialect = {
  paths: ['/v1/chat/completions'],
  read(body) {
    const tools = asList(body['tools']);
    const first = asRecord(asRecord(tools[0])['function'])['name'];
    const messages = asList(body['messages']).map(asRecord);
    return {
      model: String(body['model']),
      stream: body['stream'] === true,
      bound: asNumber(body['max_completion_tokens']) ?? asNumber(body['max_tokens']),
      choices: asNumber(body['n']) ?? 1,
      usage: asRecord(body['stream_options'])['include_usage'] === true,
      tool: typeof first === 'string' ? first : undefined,
      texts: messages.map((message) =>
        typeof message['content'] === 'string'
          ? message['content']
          : asList(message['content'])
              .map((part) => String(asRecord(part)['text'] ?? ''))
              .join(''),
      ),
      overheadTokens: 3 + 4 * messages.length,
    };
  },
  whole: (answer) => ({
    id: answer.id,
    object: 'chat.completion',
    created: 1_760_000_000,
    model: answer.model,
    service_tier: answer.serviceTier,
    choices: Array.from({ length: answer.choices }, (_, index) => ({
      index,
      message:
        answer.tool === undefined
          ? { role: 'assistant', content: answer.text, refusal: null }
          : { role: 'assistant', content: null, tool_calls: [call(answer.tool, toolArguments(answer))] },
      logprobs: null,
      finish_reason: finishReason(answer),
    })),
    ...(answer.usage && { usage: chatUsage(answer) }),
  }),
  opening: (answer) =>
    choicesOf(answer, (index) => chunk(answer, index, { role: 'assistant', content: answer.tool ? null : '' })).join(
      '',
    ) +
    (answer.tool === undefined
      ? ''
      : chunk(answer, 0, { tool_calls: [{ index: 0, ...call(answer.tool, '') }] }) +
        pieceOf(answer, TOOL_ARGUMENTS.before)),
  delta: (answer, choice, text) =>
    answer.tool === undefined ? chunk(answer, choice, { content: text }) : pieceOf(answer, text),
  closing: (answer) =>
    (answer.tool === undefined ? '' : pieceOf(answer, TOOL_ARGUMENTS.after)) +
    choicesOf(answer, (index) => chunk(answer, index, {}, finishReason(answer))).join('') +
    (answer.usage ? data({ ...envelope(answer), choices: [], usage: chatUsage(answer) }) : '') +
    'data: [DONE]\n\n',
  error: openaiError,
};

function pieceOf(answer: MockAnswer, text: string): string {
  return chunk(answer, 0, { tool_calls: [{ index: 0, function: { arguments: text } }] });
}

function call(name: string, argumentsText: string) {
  return { id: 'call_1', type: 'function', function: { name, arguments: argumentsText } };
}

export function finishReason(answer: MockAnswer): string {
  return answer.reason === 'tool' ? 'tool_calls' : answer.reason;
}

export function chatUsage(answer: MockAnswer) {
  const output = answer.tokens * answer.choices + answer.hiddenTokens;
  return {
    prompt_tokens: answer.inputTokens,
    completion_tokens: output,
    total_tokens: answer.inputTokens + output,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: answer.hiddenTokens, audio_tokens: 0 },
  };
}

function choicesOf<T>(answer: MockAnswer, make: (index: number) => T): T[] {
  return Array.from({ length: answer.choices }, (_, index) => make(index));
}

function envelope(answer: MockAnswer) {
  return {
    id: answer.id,
    object: 'chat.completion.chunk',
    created: 1_760_000_000,
    model: answer.model,
    service_tier: answer.serviceTier,
  };
}

function chunk(answer: MockAnswer, index: number, delta: unknown, finish: string | null = null): string {
  return data({
    ...envelope(answer),
    choices: [{ index, delta, logprobs: null, finish_reason: finish }],
    ...(answer.usage && { usage: null }),
    ...(answer.padding !== '' && { obfuscation: answer.padding }),
  });
}
