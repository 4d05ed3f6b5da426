/** One answer and its endings in the API of each provider, and what clients must make of them. */
import { awsEventStream } from '../../../fixtures/aws-event-stream.ts';
import type { JsonRecord } from '../conversation.ts';
import type { ProbeClient, ProviderFamily } from './request-probes.ts';

const THOUGHT = 'A tool helps.';
export const TEXT = 'I will look.';
export const CALLS = [
  { name: 'weather', input: { place: 'Bern' } },
  { name: 'time', input: { place: 'Basel' } },
];
const ARGUMENTS = CALLS.map(({ input }) => JSON.stringify(input));
export const SIGNATURE = 'c2lnbmF0dXJl';
/** As the client APIs count: the input includes cached tokens, the output the reasoning. */
export const TOKENS = { input: 100, cached: 40, output: 30, reasoning: 20 };

export interface ProviderAnswers {
  /** Reasoning, a text and two tool calls. */
  readonly document: JsonRecord;
  /** The same as a stream. */
  readonly stream: Uint8Array;
  readonly endings: Readonly<Partial<Record<Ending, JsonRecord>>>;
  /** The body of a 429. */
  readonly error: JsonRecord;
  /** What the API tells beside text, calls, input and output. */
  readonly tells: ReadonlySet<'signatures' | 'cached' | 'reasoning-tokens'>;
  /** The answer without parts that have no signature, where it has some. */
  readonly signedCalls?: JsonRecord;
  /** Where a signature is in the next request. */
  readonly signed?: JsonRecord;
}

export type Ending = 'length' | 'stop-sequence' | 'refusal';

const sse = (events: readonly unknown[]) =>
  Buffer.from(events.map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`).join(''));

/** Cuts arguments in two. */
const halves = (text: string) => [text.slice(0, 5), text.slice(5)];

function openAi(): ProviderAnswers {
  const usage = {
    prompt_tokens: TOKENS.input,
    completion_tokens: TOKENS.output,
    total_tokens: TOKENS.input + TOKENS.output,
    prompt_tokens_details: { cached_tokens: TOKENS.cached },
    completion_tokens_details: { reasoning_tokens: TOKENS.reasoning },
  };
  const head = { id: 'chatcmpl-1', model: 'm' };
  const calls = CALLS.map(({ name }, index) => ({ id: `c${index}`, type: 'function', name, text: ARGUMENTS[index]! }));
  const whole = (message: JsonRecord, reason: string) => ({
    ...head,
    choices: [{ index: 0, message: { role: 'assistant', ...message }, finish_reason: reason }],
    usage,
  });
  const chunk = (delta: JsonRecord, reason: string | null = null) => ({
    ...head,
    choices: [{ index: 0, delta, finish_reason: reason }],
  });
  return {
    document: whole(
      {
        reasoning_content: THOUGHT,
        content: TEXT,
        tool_calls: calls.map(({ id, type, name, text }) => ({ id, type, function: { name, arguments: text } })),
      },
      'tool_calls',
    ),
    stream: sse([
      chunk({ role: 'assistant', reasoning_content: THOUGHT }),
      chunk({ content: TEXT }),
      ...calls.flatMap(({ id, type, name, text }, index) => [
        chunk({ tool_calls: [{ index, id, type, function: { name, arguments: '' } }] }),
        ...halves(text).map((half) => chunk({ tool_calls: [{ index, function: { arguments: half } }] })),
      ]),
      chunk({}, 'tool_calls'),
      { ...head, choices: [], usage },
      '[DONE]',
    ]),
    endings: {
      length: whole({ content: TEXT }, 'length'),
      refusal: whole({ content: null, refusal: TEXT }, 'content_filter'),
    },
    error: { error: { message: 'Slow down', type: 'requests', code: 'rate_limit_exceeded' } },
    tells: new Set(['cached', 'reasoning-tokens']),
  };
}

function anthropic(): ProviderAnswers {
  const usage = {
    input_tokens: TOKENS.input - TOKENS.cached,
    cache_read_input_tokens: TOKENS.cached,
    output_tokens: TOKENS.output,
    output_tokens_details: { thinking_tokens: TOKENS.reasoning },
  };
  const head = { id: 'msg_1', type: 'message', role: 'assistant', model: 'm' };
  const text = [{ type: 'text', text: TEXT }];
  const whole = (content: readonly JsonRecord[], reason: string, stop: string | null = null) => ({
    ...head,
    content,
    stop_reason: reason,
    stop_sequence: stop,
    usage,
  });
  const block = (index: number, start: JsonRecord, deltas: readonly JsonRecord[]) => [
    { type: 'content_block_start', index, content_block: start },
    ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
    { type: 'content_block_stop', index },
  ];
  const uses = CALLS.map(({ name }, index) => ({ type: 'tool_use', id: `c${index}`, name, input: {} }));
  return {
    document: whole(
      [
        { type: 'thinking', thinking: THOUGHT, signature: SIGNATURE },
        ...text,
        ...uses.map((use, index) => ({ ...use, input: CALLS[index]!.input })),
      ],
      'tool_use',
    ),
    stream: sse([
      { type: 'message_start', message: { ...head, content: [], usage: { ...usage, output_tokens: 1 } } },
      ...block(0, { type: 'thinking', thinking: '', signature: '' }, [
        { type: 'thinking_delta', thinking: THOUGHT },
        { type: 'signature_delta', signature: SIGNATURE },
      ]),
      ...block(1, { type: 'text', text: '' }, [{ type: 'text_delta', text: TEXT }]),
      ...uses.flatMap((use, index) =>
        block(
          index + 2,
          use,
          halves(ARGUMENTS[index]!).map((half) => ({ type: 'input_json_delta', partial_json: half })),
        ),
      ),
      { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage },
      { type: 'message_stop' },
    ]),
    endings: {
      length: whole(text, 'max_tokens'),
      'stop-sequence': whole(text, 'stop_sequence', 'END'),
      refusal: whole([], 'refusal'),
    },
    error: { type: 'error', error: { type: 'rate_limit_error', message: 'Slow down' } },
    tells: new Set(['signatures', 'cached', 'reasoning-tokens']),
    signed: { messages: [{ content: [{ type: 'thinking', thinking: THOUGHT, signature: SIGNATURE }] }] },
  };
}

function bedrock(): ProviderAnswers {
  const usage = {
    inputTokens: TOKENS.input - TOKENS.cached,
    cacheReadInputTokens: TOKENS.cached,
    outputTokens: TOKENS.output,
  };
  const reasoningText = { text: THOUGHT, signature: SIGNATURE };
  const whole = (content: readonly JsonRecord[], stopReason: string, more: JsonRecord = {}) => ({
    output: { message: { role: 'assistant', content } },
    stopReason,
    usage,
    ...more,
  });
  const deltas = (index: number, ...each: readonly JsonRecord[]) => [
    ...each.map((delta) => ({ contentBlockDelta: { contentBlockIndex: index, delta } })),
    { contentBlockStop: { contentBlockIndex: index } },
  ];
  return {
    document: whole(
      [
        { reasoningContent: { reasoningText } },
        { text: TEXT },
        ...CALLS.map((call, index) => ({ toolUse: { toolUseId: `c${index}`, ...call } })),
      ],
      'tool_use',
    ),
    stream: awsEventStream([
      { messageStart: { role: 'assistant' } },
      ...deltas(0, { reasoningContent: { text: THOUGHT } }, { reasoningContent: { signature: SIGNATURE } }),
      ...deltas(1, { text: TEXT }),
      ...CALLS.flatMap(({ name }, index) => [
        {
          contentBlockStart: { contentBlockIndex: index + 2, start: { toolUse: { toolUseId: `c${index}`, name } } },
        },
        ...deltas(index + 2, ...halves(ARGUMENTS[index]!).map((input) => ({ toolUse: { input } }))),
      ]),
      { messageStop: { stopReason: 'tool_use' } },
      { metadata: { usage } },
    ]),
    endings: {
      length: whole([{ text: TEXT }], 'max_tokens'),
      'stop-sequence': whole([{ text: TEXT }], 'stop_sequence', {
        additionalModelResponseFields: { stop_sequence: 'END' },
      }),
      refusal: whole([{ text: TEXT }], 'guardrail_intervened'),
    },
    error: { __type: 'ThrottlingException', message: 'Slow down' },
    tells: new Set(['signatures', 'cached']),
    signed: { messages: [{ content: [{ reasoningContent: { reasoningText } }] }] },
  };
}

function gemini(): ProviderAnswers {
  const usage = {
    promptTokenCount: TOKENS.input,
    cachedContentTokenCount: TOKENS.cached,
    candidatesTokenCount: TOKENS.output - TOKENS.reasoning,
    thoughtsTokenCount: TOKENS.reasoning,
    totalTokenCount: TOKENS.input + TOKENS.output,
  };
  const response = (parts: readonly JsonRecord[], reason?: string) => ({
    responseId: 'r1',
    modelVersion: 'm',
    candidates: [
      { index: 0, content: { role: 'model', parts }, ...(reason !== undefined && { finishReason: reason }) },
    ],
    usageMetadata: usage,
  });
  const thought = { text: THOUGHT, thought: true };
  const calls = CALLS.map(({ name, input }, index) => ({
    functionCall: { id: `c${index}`, name, args: input },
    ...(index === 0 && { thoughtSignature: SIGNATURE }),
  }));
  return {
    document: response([thought, { text: TEXT }, ...calls], 'STOP'),
    stream: sse([response([thought]), response([{ text: TEXT }]), response(calls), response([], 'STOP')]),
    endings: { length: response([{ text: TEXT }], 'MAX_TOKENS'), refusal: response([], 'SAFETY') },
    error: { error: { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'Slow down' } },
    tells: new Set(['signatures', 'cached', 'reasoning-tokens']),
    signedCalls: response(calls, 'STOP'),
    signed: { contents: [{ parts: [{ functionCall: { name: 'weather' }, thoughtSignature: SIGNATURE }] }] },
  };
}

function cohere(): ProviderAnswers {
  const usage = {
    billed_units: { input_tokens: TOKENS.input, output_tokens: TOKENS.output },
    cached_tokens: TOKENS.cached,
  };
  const calls = CALLS.map(({ name }, index) => ({
    id: `c${index}`,
    type: 'function',
    function: { name, arguments: ARGUMENTS[index]! },
  }));
  const whole = (message: JsonRecord, reason: string) => ({
    id: 'r1',
    finish_reason: reason,
    message: { role: 'assistant', ...message },
    usage,
  });
  const event = (type: string, message: JsonRecord, index = 0) => ({ type, index, delta: { message } });
  const text = { content: [{ type: 'text', text: TEXT }] };
  return {
    document: whole(
      { content: [{ type: 'thinking', thinking: THOUGHT }], tool_plan: TEXT, tool_calls: calls },
      'TOOL_CALL',
    ),
    stream: sse([
      { type: 'message-start', id: 'r1' },
      event('content-start', { content: { type: 'thinking', thinking: '' } }),
      event('content-delta', { content: { thinking: THOUGHT } }),
      { type: 'content-end', index: 0 },
      event('tool-plan-delta', { tool_plan: TEXT }),
      ...calls.flatMap((call, index) => [
        event('tool-call-start', { tool_calls: { ...call, function: { ...call.function, arguments: '' } } }, index),
        ...halves(call.function.arguments).map((half) =>
          event('tool-call-delta', { tool_calls: { function: { arguments: half } } }, index),
        ),
        { type: 'tool-call-end', index },
      ]),
      { type: 'message-end', delta: { finish_reason: 'TOOL_CALL', usage } },
    ]),
    endings: { length: whole(text, 'MAX_TOKENS'), refusal: whole({}, 'ERROR_TOXIC') },
    error: { message: 'Slow down' },
    tells: new Set(['cached']),
  };
}

export const providerAnswers: Readonly<Record<ProviderFamily, ProviderAnswers>> = {
  openai: openAi(),
  anthropic: anthropic(),
  bedrock: bedrock(),
  gemini: gemini(),
  cohere: cohere(),
};

interface ClientAnswers {
  readonly reasoning: JsonRecord;
  readonly cached: JsonRecord;
  readonly reasoningTokens: JsonRecord;
  readonly called: JsonRecord;
  /** Absent: the client API does not tell. */
  readonly endings: Readonly<Partial<Record<Ending, JsonRecord>>>;
  /** A part of the body of an error. */
  readonly error: JsonRecord;
  /** Returns a request with this answer, to whose first call it has the result. */
  echo(document: JsonRecord): JsonRecord;
}

const USER = { role: 'user', content: 'Hi' };

// biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes.
type Json = any;

export const clientAnswers: Readonly<Record<ProbeClient, ClientAnswers>> = {
  chat: {
    reasoning: { choices: [{ message: { reasoning_content: THOUGHT } }] },
    cached: { usage: { prompt_tokens_details: { cached_tokens: TOKENS.cached } } },
    reasoningTokens: { usage: { completion_tokens_details: { reasoning_tokens: TOKENS.reasoning } } },
    called: { choices: [{ finish_reason: 'tool_calls' }] },
    endings: {
      length: { choices: [{ finish_reason: 'length' }] },
      refusal: { choices: [{ finish_reason: 'content_filter' }] },
    },
    error: { error: { message: 'Slow down' } },
    echo: ({ choices }: Json) => ({
      messages: [
        USER,
        choices[0].message,
        ...CALLS.map((_, at) => ({ role: 'tool', tool_call_id: `c${at}`, content: '1' })),
      ],
    }),
  },
  messages: {
    reasoning: { content: [{ type: 'thinking', thinking: THOUGHT }] },
    cached: { usage: { cache_read_input_tokens: TOKENS.cached } },
    reasoningTokens: { usage: { output_tokens_details: { thinking_tokens: TOKENS.reasoning } } },
    called: { stop_reason: 'tool_use' },
    endings: {
      length: { stop_reason: 'max_tokens' },
      'stop-sequence': { stop_reason: 'stop_sequence', stop_sequence: 'END' },
      refusal: { stop_reason: 'refusal' },
    },
    error: { type: 'error', error: { type: 'rate_limit_error', message: 'Slow down' } },
    echo: ({ content }: Json) => ({
      messages: [
        USER,
        { role: 'assistant', content },
        { role: 'user', content: CALLS.map((_, at) => ({ type: 'tool_result', tool_use_id: `c${at}`, content: '1' })) },
      ],
    }),
  },
  responses: {
    reasoning: { output: [{ type: 'reasoning', summary: [{ type: 'summary_text', text: THOUGHT }] }] },
    cached: { usage: { input_tokens_details: { cached_tokens: TOKENS.cached } } },
    reasoningTokens: { usage: { output_tokens_details: { reasoning_tokens: TOKENS.reasoning } } },
    called: { status: 'completed', output: [{ type: 'function_call' }] },
    endings: {
      length: { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } },
      refusal: { status: 'incomplete', incomplete_details: { reason: 'content_filter' } },
    },
    error: { error: { message: 'Slow down' } },
    echo: ({ output }: Json) => ({
      input: [
        USER,
        ...output,
        ...CALLS.map((_, at) => ({ type: 'function_call_output', call_id: `c${at}`, output: '1' })),
      ],
    }),
  },
  content: {
    reasoning: { candidates: [{ content: { parts: [{ text: THOUGHT, thought: true }] } }] },
    cached: { usageMetadata: { cachedContentTokenCount: TOKENS.cached } },
    reasoningTokens: { usageMetadata: { thoughtsTokenCount: TOKENS.reasoning } },
    called: { candidates: [{ finishReason: 'STOP', content: { parts: [{ functionCall: {} }] } }] },
    endings: {
      length: { candidates: [{ finishReason: 'MAX_TOKENS' }] },
      refusal: { candidates: [{ finishReason: 'SAFETY' }] },
    },
    error: { error: { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'Slow down' } },
    echo: ({ candidates }: Json) => ({
      contents: [
        { role: 'user', parts: [{ text: 'Hi' }] },
        candidates[0].content,
        {
          role: 'user',
          parts: CALLS.map(({ name }, at) => ({ functionResponse: { id: `c${at}`, name, response: { output: '1' } } })),
        },
      ],
    }),
  },
};
