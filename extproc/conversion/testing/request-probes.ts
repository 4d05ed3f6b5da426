/**
 * Features of requests: how the clients of each API ask for them, and what the provider must get.
 */
import type { JsonRecord } from '../conversation.ts';

export type ProbeClient = 'chat' | 'messages' | 'responses' | 'content';

/** Provider APIs that share a conversion. */
export type ProviderFamily = 'openai' | 'anthropic' | 'bedrock' | 'gemini' | 'cohere';

export interface RequestProbe {
  readonly feature: string;
  /** Members of the request; absent: the client API does not have the feature. */
  readonly asks: Readonly<Partial<Record<ProbeClient, JsonRecord>>>;
  /**
   * A part of the provider's request, or several of which one must arrive. `automatic`: the
   * provider does so without being asked.
   * Absent: the provider's API does not have the feature.
   */
  readonly arrives: Readonly<Partial<Record<ProviderFamily, JsonRecord | readonly JsonRecord[] | 'automatic'>>>;
}

const WORD = 'Reykjavik';
const IMAGE = 'iVBORw0KGgo=';
const IMAGE_URL = 'https://example.org/a.png';
const IMAGE_DATA = `data:image/png;base64,${IMAGE}`;
const PDF = 'JVBERi0=';
const PDF_URL = 'https://example.org/a.pdf';
const PDF_DATA = `data:application/pdf;base64,${PDF}`;
const TEXT = Buffer.from(WORD).toString('base64');
const AUDIO = 'UklGRg==';

const SCHEMA = { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] };

/** A request whose only message has this part. */
function part(parts: Readonly<Partial<Record<ProbeClient, JsonRecord>>>): RequestProbe['asks'] {
  const { chat, messages, responses, content } = parts;
  return {
    ...(chat && { chat: { messages: [{ role: 'user', content: [chat] }] } }),
    ...(messages && { messages: { messages: [{ role: 'user', content: [messages] }] } }),
    ...(responses && { responses: { input: [{ role: 'user', content: [responses] }] } }),
    ...(content && { content: { contents: [{ role: 'user', parts: [content] }] } }),
  };
}

/** Requests of providers whose message has this part. */
function partOf(parts: Readonly<Partial<Record<ProviderFamily, JsonRecord>>>): RequestProbe['arrives'] {
  const entries = Object.entries(parts).map(([family, each]) => {
    const message = family === 'gemini' ? { contents: [{ parts: [each] }] } : { messages: [{ content: [each] }] };
    return [family, message];
  });
  return Object.fromEntries(entries);
}

/** Sets members of the same name in several APIs. */
function same<Name extends string>(names: readonly Name[], value: JsonRecord): Partial<Record<Name, JsonRecord>> {
  return Object.fromEntries(names.map((name) => [name, value])) as Partial<Record<Name, JsonRecord>>;
}

function config(value: JsonRecord): JsonRecord {
  return { generationConfig: value };
}

const tools = {
  chat: ['weather', 'time'].map((name) => ({ type: 'function', function: { name, parameters: SCHEMA } })),
  messages: ['weather', 'time'].map((name) => ({ name, input_schema: SCHEMA })),
  responses: ['weather', 'time'].map((name) => ({ type: 'function', name, parameters: SCHEMA })),
  content: [{ functionDeclarations: ['weather', 'time'].map((name) => ({ name, parametersJsonSchema: SCHEMA })) }],
};

/** A request with two tools. */
function withTools(more: Readonly<Partial<Record<ProbeClient, JsonRecord>>>): RequestProbe['asks'] {
  const entries = Object.entries(more) as [ProbeClient, JsonRecord][];
  return Object.fromEntries(entries.map(([client, members]) => [client, { tools: tools[client], ...members }]));
}

const NAMED = { name: 'weather' };

/** A call of a tool and its result, as each client sends it. */
function result(
  chat: unknown,
  messages: JsonRecord,
  responses: unknown,
  content: JsonRecord,
): Readonly<Record<ProbeClient, JsonRecord>> {
  const called = { name: 'weather', arguments: '{"place":"Bern"}' };
  return {
    chat: {
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', tool_calls: [{ id: 'c1', type: 'function', function: called }] },
        { role: 'tool', tool_call_id: 'c1', content: chat },
      ],
    },
    messages: {
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: [{ type: 'tool_use', id: 'c1', name: 'weather', input: { place: 'Bern' } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c1', ...messages }] },
      ],
    },
    responses: {
      input: [
        { role: 'user', content: 'Hi' },
        { type: 'function_call', call_id: 'c1', ...called },
        { type: 'function_call_output', call_id: 'c1', output: responses },
      ],
    },
    content: {
      contents: [
        { role: 'user', parts: [{ text: 'Hi' }] },
        { role: 'model', parts: [{ functionCall: { id: 'c1', name: 'weather', args: { place: 'Bern' } } }] },
        { role: 'user', parts: [{ functionResponse: { id: 'c1', name: 'weather', ...content } }] },
      ],
    },
  };
}

const CALLED = { function: { name: 'weather', arguments: '{"place":"Bern"}' } };
const ANTHROPIC_RESULT = { type: 'tool_result', tool_use_id: 'c1' };

export const requestProbes: readonly RequestProbe[] = [
  {
    feature: 'System prompts',
    asks: {
      chat: {
        messages: [
          { role: 'system', content: WORD },
          { role: 'user', content: 'Hi' },
        ],
      },
      messages: { system: WORD },
      responses: { instructions: WORD },
      content: { systemInstruction: { parts: [{ text: WORD }] } },
    },
    arrives: {
      openai: { messages: [{ role: 'system', content: WORD }] },
      anthropic: { system: WORD },
      bedrock: { system: [{ text: WORD }] },
      gemini: { systemInstruction: { parts: [{ text: WORD }] } },
      cohere: { messages: [{ role: 'system', content: WORD }] },
    },
  },
  {
    feature: 'Several turns',
    asks: {
      ...same(['chat', 'messages'], { messages: turns('content', 'assistant') }),
      responses: { input: turns('content', 'assistant') },
      content: { contents: turns('parts', 'model', (text) => [{ text }]) },
    },
    arrives: {
      ...same(['openai', 'cohere'], { messages: turns('content', 'assistant') }),
      ...same(['anthropic'], { messages: turns('content', 'assistant', (text) => [{ type: 'text', text }]) }),
      bedrock: { messages: turns('content', 'assistant', (text) => [{ text }]) },
      gemini: { contents: turns('parts', 'model', (text) => [{ text }]) },
    },
  },
  {
    feature: 'Images as base64',
    asks: part({
      chat: { type: 'image_url', image_url: { url: IMAGE_DATA } },
      messages: { type: 'image', source: { type: 'base64', media_type: 'image/png', data: IMAGE } },
      responses: { type: 'input_image', image_url: IMAGE_DATA },
      content: { inlineData: { mimeType: 'image/png', data: IMAGE } },
    }),
    arrives: partOf({
      ...same(['openai', 'cohere'], { type: 'image_url', image_url: { url: IMAGE_DATA } }),
      anthropic: { type: 'image', source: { type: 'base64', media_type: 'image/png', data: IMAGE } },
      bedrock: { image: { format: 'png', source: { bytes: IMAGE } } },
      gemini: { inlineData: { mimeType: 'image/png', data: IMAGE } },
    }),
  },
  {
    feature: 'Images by URL',
    asks: part({
      chat: { type: 'image_url', image_url: { url: IMAGE_URL } },
      messages: { type: 'image', source: { type: 'url', url: IMAGE_URL } },
      responses: { type: 'input_image', image_url: IMAGE_URL },
      content: { fileData: { mimeType: 'image/png', fileUri: IMAGE_URL } },
    }),
    arrives: partOf({
      ...same(['openai', 'cohere'], { type: 'image_url', image_url: { url: IMAGE_URL } }),
      anthropic: { type: 'image', source: { type: 'url', url: IMAGE_URL } },
      gemini: { fileData: { mimeType: 'image/png', fileUri: IMAGE_URL } },
    }),
  },
  {
    feature: 'PDF as base64',
    asks: part({
      chat: { type: 'file', file: { filename: 'a.pdf', file_data: PDF_DATA } },
      messages: { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: PDF } },
      responses: { type: 'input_file', filename: 'a.pdf', file_data: PDF_DATA },
      content: { inlineData: { mimeType: 'application/pdf', data: PDF } },
    }),
    arrives: partOf({
      openai: { type: 'file', file: { file_data: PDF_DATA } },
      anthropic: { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: PDF } },
      bedrock: { document: { format: 'pdf', source: { bytes: PDF } } },
      gemini: { inlineData: { mimeType: 'application/pdf', data: PDF } },
    }),
  },
  {
    feature: 'PDF by URL',
    asks: part({
      messages: { type: 'document', source: { type: 'url', url: PDF_URL } },
      responses: { type: 'input_file', file_url: PDF_URL },
      content: { fileData: { mimeType: 'application/pdf', fileUri: PDF_URL } },
    }),
    arrives: partOf({
      anthropic: { type: 'document', source: { type: 'url', url: PDF_URL } },
      gemini: { fileData: { mimeType: 'application/pdf', fileUri: PDF_URL } },
    }),
  },
  {
    feature: 'Text documents',
    asks: part({
      chat: { type: 'file', file: { file_data: `data:text/plain;base64,${TEXT}` } },
      messages: { type: 'document', source: { type: 'text', media_type: 'text/plain', data: WORD } },
      responses: { type: 'input_file', file_data: `data:text/plain;base64,${TEXT}` },
      content: { inlineData: { mimeType: 'text/plain', data: TEXT } },
    }),
    arrives: {
      ...same(['openai', 'cohere'], { messages: [{ role: 'user', content: WORD }] }),
      ...partOf({
        anthropic: { type: 'document', source: { type: 'text', data: WORD } },
        bedrock: { document: { format: 'txt', source: { bytes: TEXT } } },
        gemini: { text: WORD },
      }),
    },
  },
  {
    feature: 'Audio as base64',
    asks: part({
      ...same(['chat', 'responses'], { type: 'input_audio', input_audio: { data: AUDIO, format: 'wav' } }),
      content: { inlineData: { mimeType: 'audio/wav', data: AUDIO } },
    }),
    arrives: partOf({
      openai: { type: 'input_audio', input_audio: { data: AUDIO, format: 'wav' } },
      gemini: { inlineData: { mimeType: 'audio/wav', data: AUDIO } },
    }),
  },
  {
    feature: 'Tools',
    asks: withTools({ chat: {}, messages: {}, responses: {}, content: {} }),
    arrives: {
      ...same(['openai', 'cohere'], { tools: tools.chat }),
      anthropic: { tools: tools.messages },
      bedrock: { toolConfig: { tools: [{ toolSpec: { name: 'weather', inputSchema: { json: SCHEMA } } }] } },
      gemini: { tools: tools.content },
    },
  },
  {
    feature: 'Tool choice: any tool',
    asks: withTools({
      ...same(['chat', 'responses'], { tool_choice: 'required' }),
      messages: { tool_choice: { type: 'any' } },
      content: { toolConfig: { functionCallingConfig: { mode: 'ANY' } } },
    }),
    arrives: {
      openai: { tool_choice: 'required' },
      anthropic: { tool_choice: { type: 'any' } },
      bedrock: { toolConfig: { toolChoice: { any: {} } } },
      gemini: { toolConfig: { functionCallingConfig: { mode: 'ANY' } } },
      cohere: { tool_choice: 'REQUIRED' },
    },
  },
  {
    feature: 'Tool choice: one tool',
    asks: withTools({
      chat: { tool_choice: { type: 'function', function: NAMED } },
      messages: { tool_choice: { type: 'tool', ...NAMED } },
      responses: { tool_choice: { type: 'function', ...NAMED } },
      content: { toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['weather'] } } },
    }),
    arrives: {
      openai: { tool_choice: { type: 'function', function: NAMED } },
      anthropic: { tool_choice: { type: 'tool', ...NAMED } },
      bedrock: { toolConfig: { toolChoice: { tool: NAMED } } },
      gemini: { toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['weather'] } } },
      cohere: { tools: [{ function: NAMED }], tool_choice: 'REQUIRED' },
    },
  },
  {
    feature: 'Tool choice: none',
    asks: withTools({
      ...same(['chat', 'responses'], { tool_choice: 'none' }),
      messages: { tool_choice: { type: 'none' } },
      content: { toolConfig: { functionCallingConfig: { mode: 'NONE' } } },
    }),
    arrives: {
      openai: { tool_choice: 'none' },
      anthropic: { tool_choice: { type: 'none' } },
      // A request without tools.
      bedrock: { messages: [], toolConfig: undefined },
      gemini: { toolConfig: { functionCallingConfig: { mode: 'NONE' } } },
      cohere: { tool_choice: 'NONE' },
    },
  },
  {
    feature: 'At most one tool call',
    asks: withTools({
      ...same(['chat', 'responses'], { parallel_tool_calls: false }),
      messages: { tool_choice: { type: 'auto', disable_parallel_tool_use: true } },
    }),
    arrives: {
      openai: { parallel_tool_calls: false },
      anthropic: { tool_choice: { disable_parallel_tool_use: true } },
      bedrock: { additionalModelRequestFields: { tool_choice: { disable_parallel_tool_use: true } } },
    },
  },
  {
    feature: 'Tool calls and results',
    asks: result(WORD, { content: WORD }, WORD, { response: { output: WORD } }),
    arrives: {
      ...same(['openai', 'cohere'], {
        messages: [
          { role: 'assistant', tool_calls: [CALLED] },
          { role: 'tool', tool_call_id: 'c1', content: WORD },
        ],
      }),
      anthropic: {
        messages: [
          { role: 'assistant', content: [{ type: 'tool_use', id: 'c1', name: 'weather', input: { place: 'Bern' } }] },
          { role: 'user', content: [{ ...ANTHROPIC_RESULT, content: [{ type: 'text', text: WORD }] }] },
        ],
      },
      bedrock: {
        messages: [
          { content: [{ toolUse: { toolUseId: 'c1', name: 'weather', input: { place: 'Bern' } } }] },
          { content: [{ toolResult: { toolUseId: 'c1', content: [{ text: WORD }] } }] },
        ],
      },
      gemini: {
        contents: [
          { role: 'model', parts: [{ functionCall: { name: 'weather', args: { place: 'Bern' } } }] },
          { role: 'user', parts: [{ functionResponse: { name: 'weather', response: { output: WORD } } }] },
        ],
      },
    },
  },
  {
    feature: 'Images in tool results',
    asks: result(
      [{ type: 'image_url', image_url: { url: IMAGE_DATA } }],
      { content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: IMAGE } }] },
      [{ type: 'input_image', image_url: IMAGE_DATA }],
      { response: {}, parts: [{ inlineData: { mimeType: 'image/png', data: IMAGE } }] },
    ),
    arrives: {
      ...same(['openai', 'cohere'], {
        messages: [{ role: 'tool' }, { role: 'user', content: [{ image_url: { url: IMAGE_DATA } }] }],
      }),
      anthropic: {
        messages: [{ content: [{ ...ANTHROPIC_RESULT, content: [{ type: 'image', source: { data: IMAGE } }] }] }],
      },
      bedrock: { messages: [{ content: [{ toolResult: { content: [{ image: { source: { bytes: IMAGE } } }] } }] }] },
      gemini: { contents: [{ parts: [{ functionResponse: { parts: [{ inlineData: { data: IMAGE } }] } }] }] },
    },
  },
  {
    feature: 'Tool results that are errors',
    asks: {
      messages: result('', { is_error: true, content: WORD }, '', {})['messages'],
      content: result('', {}, '', { response: { error: WORD } })['content'],
    },
    arrives: {
      anthropic: { messages: [{ content: [{ ...ANTHROPIC_RESULT, is_error: true }] }] },
      bedrock: { messages: [{ content: [{ toolResult: { status: 'error' } }] }] },
      gemini: { contents: [{ parts: [{ functionResponse: { response: { error: WORD } } }] }] },
    },
  },
];

function turns(name: string, assistant: string, content: (text: string) => unknown = (text) => text) {
  return [
    { role: 'user', [name]: content('One') },
    { role: assistant, [name]: content('Two') },
    { role: 'user', [name]: content('Three') },
  ];
}

export const probeData = { same, config, SCHEMA };
