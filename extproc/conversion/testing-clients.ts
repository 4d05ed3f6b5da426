/** Reads converted answers with the official clients. */
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';

/** What a client makes of an answer, in the terms of both APIs. */
export interface ClientAnswer {
  readonly text: string;
  readonly calls: readonly { readonly name: string; readonly input: unknown }[];
  readonly input: number;
  readonly output: number;
}

function fetchOf(body: string, contentType: string): () => Promise<Response> {
  return async () => new Response(body, { headers: { 'content-type': contentType } });
}

/** Of a call that a budget ended, there is only a part. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text || '{}');
  } catch {
    return text;
  }
}

export async function readByOpenAi(body: string, stream: boolean): Promise<ClientAnswer> {
  const fetch = fetchOf(body, stream ? 'text/event-stream' : 'application/json');
  const client = new OpenAI({ apiKey: 'k', fetch, maxRetries: 0 });
  const request = { model: 'm', messages: [] };
  const { choices, usage } = stream
    ? await client.chat.completions.stream(request).finalChatCompletion()
    : await client.chat.completions.create(request);
  const message = choices[0]?.message;
  return {
    text: (message?.content ?? '') + (message?.refusal ?? ''),
    calls: (message?.tool_calls ?? []).flatMap((call) =>
      // Mistral omits the type.
      'function' in call ? [{ name: call.function.name, input: parsed(call.function.arguments) }] : [],
    ),
    input: usage?.prompt_tokens ?? 0,
    output: usage?.completion_tokens ?? 0,
  };
}

export async function readByAnthropic(body: string, stream: boolean): Promise<ClientAnswer> {
  const fetch = fetchOf(body, stream ? 'text/event-stream' : 'application/json');
  const client = new Anthropic({ apiKey: 'k', fetch, maxRetries: 0 });
  const request = { model: 'm', max_tokens: 1, messages: [] };
  const { content, usage } = stream
    ? await client.messages.stream(request).finalMessage()
    : await client.messages.create(request);
  return {
    text: content.map((block) => (block.type === 'text' ? block.text : '')).join(''),
    calls: content.flatMap((block) => (block.type === 'tool_use' ? [{ name: block.name, input: block.input }] : [])),
    input: usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0),
    output: usage.output_tokens,
  };
}

export async function readByResponses(body: string, stream: boolean): Promise<ClientAnswer> {
  const fetch = fetchOf(body, stream ? 'text/event-stream' : 'application/json');
  const client = new OpenAI({ apiKey: 'k', fetch, maxRetries: 0 });
  const request = { model: 'm', input: [] };
  const { output, usage } = stream
    ? await client.responses.stream(request).finalResponse()
    : await client.responses.create(request);
  const contents = output.flatMap((item) => (item.type === 'message' ? item.content : []));
  return {
    text: contents.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join(''),
    calls: output.flatMap((item) =>
      item.type === 'function_call' ? [{ name: item.name, input: parsed(item.arguments) }] : [],
    ),
    input: usage?.input_tokens ?? 0,
    output: usage?.output_tokens ?? 0,
  };
}

export async function readByGoogle(body: string, stream: boolean): Promise<ClientAnswer> {
  const fetch = fetchOf(body, stream ? 'text/event-stream' : 'application/json');
  const { models } = new GoogleGenAI({ apiKey: 'k', httpOptions: { fetch } });
  const request = { model: 'm', contents: '' };
  const chunks = [];
  if (stream) {
    for await (const chunk of await models.generateContentStream(request)) {
      chunks.push(chunk);
    }
  } else {
    chunks.push(await models.generateContent(request));
  }
  const parts = chunks.flatMap(({ candidates }) => candidates?.[0]?.content?.parts ?? []);
  const usage = chunks.findLast(({ usageMetadata }) => usageMetadata !== undefined)?.usageMetadata;
  return {
    text: parts.map(({ text = '', thought }) => (thought === true ? '' : text)).join(''),
    calls: parts.flatMap(({ functionCall: call }) => {
      const args = call?.args?.['INVALID_JSON'] ?? call?.args;
      return call === undefined ? [] : [{ name: call.name ?? '', input: args }];
    }),
    input: usage?.promptTokenCount ?? 0,
    output: (usage?.candidatesTokenCount ?? 0) + (usage?.thoughtsTokenCount ?? 0),
  };
}
