/**
 * A simulated model for trying the gateway without a key. It serves OpenAI's chat completions and
 * repeats the words of the prompt. Backends refer to it by a reserved host name.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { World } from '../translate/world.ts';

export const ECHO_HOST = 'echo.tallygate.internal';
/** This model writes until its maximum length, so that the end of a budget can be seen. */
const ENDLESS_MODEL = 'tallygate/endless';

const WORD_DELAY_MS = 10;
const MAX_BODY_BYTES = 16 * 1024 * 1024;
const MAX_WORDS = 16_384;

export interface Echo {
  readonly port: number;
  close(): Promise<void>;
}

export async function startEcho(): Promise<Echo> {
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  server.unref();
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function usesEcho(world: World): boolean {
  return world.backends.some(({ spec }) => spec.endpoint.hostname?.name === ECHO_HOST);
}

/** Replaces the reserved host name by the address of the simulated model. */
export function withEcho(world: World, { port }: Echo): World {
  const backends = world.backends.map((backend) =>
    backend.spec.endpoint.hostname?.name === ECHO_HOST
      ? {
          ...backend,
          spec: { ...backend.spec, endpoint: { ...backend.spec.endpoint, hostname: { name: '127.0.0.1', port } } },
        }
      : backend,
  );
  return { ...world, backends };
}

interface ChatRequest {
  readonly model: string;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly promptWords: readonly string[];
  readonly words: readonly string[];
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'POST' || request.url !== '/v1/chat/completions') {
    fail(response, 404, 'The simulated model serves only POST /v1/chat/completions.');
    return;
  }
  const chat = readChat(await readBody(request));
  if (typeof chat === 'string') {
    fail(response, 400, chat);
    return;
  }
  const id = `chatcmpl-echo-${Date.now().toString(36)}`;
  const common = { id, created: Math.floor(Date.now() / 1000), model: chat.model };
  const usage = {
    prompt_tokens: chat.promptWords.length,
    completion_tokens: chat.words.length,
    total_tokens: chat.promptWords.length + chat.words.length,
  };
  if (!chat.stream) {
    await sleep(WORD_DELAY_MS * Math.min(chat.words.length, 50));
    const message = { role: 'assistant', content: chat.words.join('').trimStart() };
    const choices = [{ index: 0, message, finish_reason: 'stop' }];
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ ...common, object: 'chat.completion', choices, usage }));
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  const send = (choices: readonly object[], more: object = {}) =>
    response.write(`data: ${JSON.stringify({ ...common, object: 'chat.completion.chunk', choices, ...more })}\n\n`);
  const none = chat.includeUsage ? { usage: null } : {};
  for (const [index, word] of chat.words.entries()) {
    const delta = index === 0 ? { role: 'assistant', content: word.trimStart() } : { content: word };
    const room = send([{ index: 0, delta, finish_reason: null }], none);
    if (response.destroyed) {
      return;
    }
    if (!room) {
      await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
    }
    await sleep(WORD_DELAY_MS);
  }
  send([{ index: 0, delta: {}, finish_reason: 'stop' }], none);
  if (chat.includeUsage) {
    send([], { usage });
  }
  response.end('data: [DONE]\n\n');
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += (part as Buffer).length;
    if (bytes > MAX_BODY_BYTES) {
      throw new Error('the body is too large');
    }
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** Returns the request, or a message about what is wrong with it. */
function readChat(body: string): ChatRequest | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return 'The body is not JSON.';
  }
  const fields = record(parsed);
  const messages = Array.isArray(fields['messages']) ? fields['messages'] : [];
  const prompt = messages.filter((message) => record(message)['role'] === 'user').at(-1);
  if (prompt === undefined) {
    return 'There is no message with the role user.';
  }
  const promptWords = messages.flatMap((message) => wordsOf(textOf(record(message)['content'])));
  const model = String(fields['model']);
  const bound = Number(fields['max_completion_tokens'] ?? fields['max_tokens'] ?? MAX_WORDS);
  const maximum = Math.min(Number.isFinite(bound) && bound > 0 ? bound : MAX_WORDS, MAX_WORDS);
  const spoken = wordsOf(textOf(record(prompt)['content']));
  const length = model === ENDLESS_MODEL && spoken.length > 0 ? maximum : Math.min(spoken.length, maximum);
  return {
    model,
    stream: fields['stream'] === true,
    includeUsage: record(fields['stream_options'])['include_usage'] === true,
    promptWords,
    words: Array.from({ length }, (_, index) => ` ${spoken[index % spoken.length]}`),
  };
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function textOf(content: unknown): string {
  if (typeof content === 'string') {
    return content;
  }
  if (!Array.isArray(content)) {
    return '';
  }
  return content.map((part) => String(record(part)['text'] ?? '')).join(' ');
}

function wordsOf(text: string): readonly string[] {
  return text.split(/\s+/).filter(Boolean);
}

function fail(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null } }));
}
