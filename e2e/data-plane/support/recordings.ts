/** What real providers answered (`../shared/recordings`, beside the checkout), as bytes on the wire and as the numbers that they told. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

const folder = path.resolve(import.meta.dirname, '../../../../shared/recordings');

export interface RecordedUsage {
  readonly input: number;
  readonly output: number;
}

export interface Recording {
  readonly name: string;
  readonly path: string;
  readonly status: number;
  readonly stream: boolean;
  readonly request: Readonly<Record<string, unknown>>;
  readonly answer: Buffer;
  /** Absent where the provider told none. */
  readonly usage: RecordedUsage | undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: recorded JSON of many shapes.
type Json = any;

export function recordings(): readonly Recording[] {
  return [
    ...files('openai').map(cassette),
    ...files('openai-compatible').map((file) => fixture(file, 'chat')),
    ...files('openai-responses').map((file) => fixture(file, 'responses')),
    ...files('anthropic').map((file) => fixture(file, 'messages')),
  ];
}

function files(provider: string): string[] {
  return readdirSync(path.join(folder, provider))
    .sort()
    .map((name) => path.join(provider, name));
}

function cassette(file: string): Recording {
  const { interactions } = parse(readFileSync(path.join(folder, file), 'utf8'));
  const { request, response } = interactions[0];
  const recorded: Json = JSON.parse(request.body);
  // One request was wrong on purpose, and what is wrong in it never leaves the gateway.
  const sent: Json = recorded.max_tokens === 0 ? { ...recorded, max_tokens: 1 } : recorded;
  const recordedPath = new URL(request.url).pathname;
  const stream = sent.stream === true;
  return {
    name: file,
    // Azure's own paths are another schema; what it answers is OpenAI's.
    path: recordedPath.startsWith('/v1/') ? recordedPath : '/v1/chat/completions',
    status: Number.parseInt(response.status, 10),
    stream,
    request: stream ? { ...sent, stream_options: { include_usage: true } } : sent,
    answer: Buffer.from(response.body),
    usage: stream ? lastUsage(payloads(response.body)) : openaiUsage(JSON.parse(response.body).usage),
  };
}

function payloads(text: string): Json[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)));
}

function fixture(file: string, api: 'chat' | 'responses' | 'messages'): Recording {
  const text = readFileSync(path.join(folder, file), 'utf8');
  const stream = file.endsWith('.chunks.txt');
  const documents: Json[] = stream
    ? text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
    : [JSON.parse(text)];
  const model = modelOf(documents[0]);
  return {
    name: file,
    path: { chat: '/v1/chat/completions', responses: '/v1/responses', messages: '/v1/messages' }[api],
    // A bare error document was recorded without its status.
    status: !stream && documents[0].error?.code === 'insufficient_quota' ? 429 : 200,
    stream,
    request: {
      chat: { model, stream, ...(stream && { stream_options: { include_usage: true } }), messages: [hello] },
      responses: { model, stream, input: 'Hello' },
      messages: { model, stream, max_tokens: 20_000, messages: [hello] },
    }[api],
    answer: stream ? Buffer.from(onTheWire(text, api)) : Buffer.from(text),
    usage: api === 'messages' ? anthropicUsage(documents) : lastUsage(documents),
  };
}

/** The same from a provider that tells no usage. */
export function withoutUsage(recording: Recording): Recording {
  const text = recording.answer.toString();
  const answer = recording.stream
    ? text
        .split('\n\n')
        .filter((event) => !/"choices":\[\]/.test(event))
        .join('\n\n')
    : JSON.stringify({ ...JSON.parse(text), usage: undefined });
  return { ...recording, name: `${recording.name} without usage`, answer: Buffer.from(answer), usage: undefined };
}

/** What a reader sees of a chat or completion: all choices, each as one text. */
export function visibleTexts({ answer, stream }: Recording): readonly string[] {
  const documents: Json[] = stream ? payloads(answer.toString()) : [JSON.parse(answer.toString())];
  const texts = new Map<number, string>();
  for (const { index, text, delta, message } of documents.flatMap((document) => document.choices ?? [])) {
    const more = text ?? (delta ?? message)?.content ?? '';
    texts.set(index, (texts.get(index) ?? '') + more);
  }
  return [...texts.values()];
}

const hello = { role: 'user', content: 'Hello' };

function modelOf(document: Json): string {
  return document.model ?? document.message?.model ?? document.response?.model ?? 'unknown';
}

/** The payload lines as the provider frames them. */
function onTheWire(text: string, api: 'chat' | 'responses' | 'messages'): string {
  const events = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (api === 'chat' ? `data: ${line}\n\n` : `event: ${JSON.parse(line).type}\ndata: ${line}\n\n`));
  return events.join('') + (api === 'chat' ? 'data: [DONE]\n\n' : '');
}

function lastUsage(documents: readonly Json[]): RecordedUsage | undefined {
  return documents
    .map((document) => openaiUsage(document.usage ?? document.response?.usage ?? document.x_groq?.usage))
    .findLast((usage) => usage !== undefined);
}

/** What is billed as output is the total less the prompt: one provider (xAI) tells reasoning beside `completion_tokens`, not in it. */
function openaiUsage(usage: Json): RecordedUsage | undefined {
  if (usage === undefined || usage === null) return undefined;
  const input: number = usage.prompt_tokens ?? usage.input_tokens;
  return { input, output: usage.total_tokens - input };
}

function anthropicUsage(documents: readonly Json[]): RecordedUsage | undefined {
  const merged: Json = {};
  for (const document of documents) {
    for (const [name, value] of Object.entries(document.usage ?? document.message?.usage ?? {})) {
      if (typeof value === 'number') merged[name] = value;
    }
  }
  if (merged.output_tokens === undefined) return undefined;
  const input = merged.input_tokens + (merged.cache_read_input_tokens ?? 0) + (merged.cache_creation_input_tokens ?? 0);
  return { input, output: merged.output_tokens };
}
