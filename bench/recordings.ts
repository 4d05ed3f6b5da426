/** What real providers answered (`../shared/recordings`, beside the checkout): the answer with its usage taken out, and the numbers that it told. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

const folder = path.resolve(import.meta.dirname, '../../shared/recordings');
const USAGE_KEYS: ReadonlySet<string> = new Set(['usage', 'x_groq']);

export interface Recording {
  readonly name: string;
  readonly path: string;
  readonly stream: boolean;
  readonly request: Json;
  /** As the provider would have sent it, had it told no usage. */
  readonly answer: string;
  readonly output: number;
  /** Part of `output` that is billed and stands nowhere in the answer. */
  readonly hidden: number;
  /** Absent where the recording does not have the request that was sent. */
  readonly input?: number;
}

type Json = { readonly [member: string]: unknown };

/** Generations that told their usage. None where the folder is not there. */
export function recordings(): readonly Recording[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .flatMap((name) => {
      if (name.endsWith('.yaml')) return cassette(name);
      return name.endsWith('.chunks.txt') || name.endsWith('.json') ? fixture(name) : [];
    });
}

function cassette(name: string): readonly Recording[] {
  const { interactions } = parse(readFileSync(path.join(folder, name), 'utf8'));
  const { request, response } = interactions[0];
  if (!String(response.status).startsWith('200') || name.includes('embeddings')) return [];
  const sent = JSON.parse(request.body) as Json;
  const stream = sent['stream'] === true;
  const documents = stream ? payloads(response.body) : [JSON.parse(response.body) as Json];
  const api = String(request.url).endsWith('/chat/completions') ? 'chat' : 'completions';
  return recording(name, api, stream, sent, documents, true);
}

function payloads(body: string): readonly Json[] {
  return body
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice('data: '.length)) as Json);
}

function fixture(name: string): readonly Recording[] {
  const text = readFileSync(path.join(folder, name), 'utf8');
  const stream = name.endsWith('.chunks.txt');
  const lines = stream ? text.split('\n').filter((line) => line !== '') : [text];
  const documents = lines.map((line) => JSON.parse(line) as Json);
  const api = name.startsWith('anthropic/') ? 'messages' : name.startsWith('openai-responses/') ? 'responses' : 'chat';
  const first = documents[0] as { model?: string; message?: { model: string }; response?: { model: string } };
  const model = first.model ?? first.message?.model ?? first.response?.model;
  const messages = [{ role: 'user', content: 'Hello' }];
  const request = {
    ...{ model, stream },
    ...(api === 'responses' ? { input: 'Hello' } : { messages }),
    ...(api === 'messages' && { max_tokens: 20_000 }),
  };
  return recording(name, api, stream, request, documents, false);
}

const paths = {
  chat: '/v1/chat/completions',
  completions: '/v1/completions',
  responses: '/v1/responses',
  messages: '/v1/messages',
};

function recording(
  name: string,
  api: keyof typeof paths,
  stream: boolean,
  request: Json,
  documents: readonly Json[],
  requestIsTrue: boolean,
): readonly Recording[] {
  const usage = usageOf(documents);
  if (usage === undefined) return [];
  const kept = documents.map((document) => withoutUsage(document) as Json).filter((document) => !isEmpty(document));
  const answer = stream ? kept.map((one) => event(api, one)).join('') : JSON.stringify(kept[0]);
  const shown = /"(reasoning_content|reasoning|thinking)":\s*"[^"]/.test(answer);
  return [
    {
      ...{ name, path: paths[api], stream, request, output: usage.output },
      answer: stream && (api === 'chat' || api === 'completions') ? `${answer}data: [DONE]\n\n` : answer,
      hidden: shown ? 0 : usage.reasoning,
      ...(requestIsTrue && { input: usage.input }),
    },
  ];
}

function event(api: keyof typeof paths, document: Json): string {
  const named = api === 'messages' || api === 'responses';
  return `${named ? `event: ${document['type']}\n` : ''}data: ${JSON.stringify(document)}\n\n`;
}

/** The chunk that OpenAI sends for the usage alone. */
function isEmpty(document: Json): boolean {
  const { choices, object } = document;
  return Array.isArray(choices) && choices.length === 0 && String(object).endsWith('chunk');
}

function withoutUsage(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUsage);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !USAGE_KEYS.has(key))
      .map(([key, member]) => [key, withoutUsage(member)]),
  );
}

/** What is billed as output is the total less the prompt: one provider tells reasoning beside `completion_tokens`, not in it. */
function usageOf(documents: readonly Json[]) {
  const merged: Record<string, unknown> = {};
  for (const document of documents) for (const found of usagesIn(document)) Object.assign(merged, found);
  const number = (name: string) => (typeof merged[name] === 'number' ? (merged[name] as number) : 0);
  const input = number('prompt_tokens') + number('input_tokens') + cached(number);
  const total = number('total_tokens');
  const output = total > 0 ? total - input : number('output_tokens');
  const details = (merged['completion_tokens_details'] ?? merged['output_tokens_details'] ?? {}) as Json;
  return output > 0 ? { input, output, reasoning: Number(details['reasoning_tokens'] ?? 0) } : undefined;
}

function cached(number: (name: string) => number): number {
  return number('cache_read_input_tokens') + number('cache_creation_input_tokens');
}

function usagesIn(document: Json): readonly Json[] {
  const places = [document, document['message'], document['response'], document['x_groq']] as (Json | undefined)[];
  return places
    .map((place) => place?.['usage'])
    .filter((usage) => typeof usage === 'object' && usage !== null) as Json[];
}
