/**
 * A provider that does what a test asks (header `x-mock`) in the bytes of the real APIs, and
 * records what it received and generated. In: HTTP requests through the gateway. Out: responses,
 * and `seen`, the truth that charges are compared with.
 */
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { countTokens as tokensOf } from 'gpt-tokenizer/encoding/o200k_base';
import { answer } from './answer.ts';
import type { Behaviour } from './behaviour.ts';
import { azureDialects, withoutDeployment } from './dialects/azure.ts';
import { chat } from './dialects/chat.ts';
import { completions, embeddings } from './dialects/completions.ts';
import { converse } from './dialects/converse.ts';
import { asRecord, type MockDialect, type MockRequest } from './dialects/dialect.ts';
import { gemini, geminiEmbeddings } from './dialects/gemini.ts';
import { countTokens, messages } from './dialects/messages.ts';
import { responses } from './dialects/responses.ts';
import { tgi } from './dialects/tgi.ts';
import { noteAnswers, noteBody, noteProviderCredentials } from './leaks/requests.ts';
import type { Seen } from './seen.ts';

const dialects: readonly MockDialect[] = [
  chat,
  completions,
  embeddings,
  responses,
  messages,
  tgi,
  converse,
  gemini,
  geminiEmbeddings,
  ...azureDialects,
];
const KEPT_BODY_BYTES = 1 << 20;
const TOKENIZED_CHARS = 100_000;

export interface Provider {
  readonly port: number;
  readonly seen: readonly Seen[];
  /** The behaviour for requests without `x-mock`. */
  defaults: Behaviour;
  /** Requests whose response has neither ended nor aborted. */
  openCount(): number;
  /** Bytes that the kernel has accepted, over all connections. */
  writtenBytes(): number;
  /** Forgets the recorded requests. */
  forget(): void;
  stop(): Promise<void>;
}

export async function startProvider(defaults: Behaviour = {}, port = 0, host = '127.0.0.1'): Promise<Provider> {
  noteAnswers();
  const seen: Seen[] = [];
  const connections = new Map<Socket, number>();
  let nextId = 1;
  const server = http.createServer((request, response) => {
    const record: Seen = {
      id: nextId++,
      method: request.method ?? '',
      path: request.url ?? '',
      headers: headersOf(request),
      connection: connections.get(request.socket) ?? 0,
      startedAtMs: performance.now(),
      bodyBytes: 0,
      body: '',
      inputTokens: 0,
      outputTokens: 0,
      hiddenTokens: 0,
      bound: undefined,
      answer: '',
      endedAtMs: undefined,
      abortedAtMs: undefined,
    };
    seen.push(record);
    noteProviderCredentials(record.headers, record.path);
    response.on('close', () => {
      if (record.endedAtMs === undefined) {
        record.abortedAtMs = performance.now();
      }
    });
    handle(request, response, record, provider.defaults).catch((error: unknown) => {
      if (!response.destroyed) {
        response.destroy(error instanceof Error ? error : undefined);
      }
    });
  });
  // As real providers: a long keep-alive, so that no reused connection is closed at that moment.
  server.keepAliveTimeout = 600_000;
  server.requestTimeout = 0;
  server.on('connection', (socket: Socket) => {
    connections.set(socket, connections.size + 1);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, host, 4096, resolve);
  });
  const provider: Provider = {
    port: (server.address() as AddressInfo).port,
    seen,
    defaults,
    openCount: () => seen.filter((one) => one.endedAtMs === undefined && one.abortedAtMs === undefined).length,
    writtenBytes: () =>
      [...connections.keys()].reduce((sum, socket) => sum + socket.bytesWritten - socket.writableLength, 0),
    forget: () => {
      seen.length = 0;
    },
    stop: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
  return provider;
}

async function handle(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  record: Seen,
  defaults: Behaviour,
): Promise<void> {
  const own = request.headers['x-mock'];
  const behaviour: Behaviour = typeof own === 'string' ? { ...defaults, ...JSON.parse(own) } : defaults;
  const text = await bodyOf(request, record);
  const path = withoutDeployment((request.url ?? '').split('?')[0] ?? '');
  if (path === '/v1/messages/count_tokens' || path.endsWith('/models/count-tokens:rawPredict')) {
    const asked = messages.read(asRecord(JSON.parse(text)), path);
    return send(response, record, 200, countTokens(inputTokensOf(asked)));
  }
  const dialect = dialects.find((one) => one.paths.includes(path) || one.matches?.(path));
  if (dialect === undefined || request.method !== 'POST') {
    return send(response, record, 200, { mock: 'passed through', method: request.method, path: request.url });
  }
  const body = asRecord(JSON.parse(text));
  const asked = dialect.read(body, path);
  record.bound = asked.bound;
  record.inputTokens = inputTokensOf(asked) + (behaviour.extraInputTokens ?? 0);
  await answer(response, record, dialect, asked, behaviour);
}

function inputTokensOf(asked: MockRequest): number {
  return asked.texts.reduce((sum, text) => sum + textTokens(text), asked.overheadTokens);
}

function textTokens(text: string): number {
  return text.length > TOKENIZED_CHARS ? Math.ceil(text.length / 4) : tokensOf(text);
}

async function bodyOf(request: http.IncomingMessage, record: Seen): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) {
    pieces.push(piece);
    record.bodyBytes += piece.length;
  }
  const text = Buffer.concat(pieces).toString();
  record.body = text.slice(0, KEPT_BODY_BYTES);
  noteBody(text, record.path);
  return text;
}

function send(response: http.ServerResponse, record: Seen, status: number, body: unknown): void {
  record.answer = JSON.stringify(body);
  record.endedAtMs = performance.now();
  response.writeHead(status, { 'content-type': 'application/json' }).end(record.answer);
}

function headersOf(request: http.IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  );
}
