/**
 * Notes the credentials and texts of each request that this process sends, by whatever client, and
 * the cookies that come back.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { credentialsIn, credentialsInAddress, textsIn } from '../../../../fixtures/leaks/protected-values.ts';
import type { Seen } from '../seen.ts';
import { wordsOf } from '../words.ts';
import { Output, protect } from './outputs.ts';

type UndiciHeaders = readonly (string | Buffer)[] | IncomingHttpHeaders;

interface UndiciMessage {
  readonly request: { readonly path: string; readonly headers: UndiciHeaders };
  readonly response: { readonly headers: UndiciHeaders };
  readonly chunk: Uint8Array | string;
}

/** Call once. */
export function noteRequests(): void {
  subscribe('undici:request:create', (message) => {
    const { request } = message as UndiciMessage;
    noteHead(pairsOf(request.headers), request.path);
  });
  subscribe('undici:request:bodyChunkSent', (message) => {
    const { request, chunk } = message as UndiciMessage;
    noteBody(Buffer.from(chunk as Uint8Array).toString(), request.path);
  });
  subscribe('undici:request:headers', (message) => {
    const { request, response } = message as UndiciMessage;
    noteCookies(pairsOf(response.headers), request.path);
  });
  subscribe('http.client.request.start', (message) => {
    const { request } = message as { readonly request: ClientRequest };
    const headers = Object.entries(request.getHeaders()).map(([name, value]) => [name, String(value)] as const);
    noteHead(headers, request.path);
  });
  subscribe('http.client.response.finish', (message) => {
    const { request, response } = message as { readonly request: ClientRequest; readonly response: IncomingMessage };
    const cookies = response.headers['set-cookie'] ?? [];
    noteCookies(
      cookies.map((cookie) => ['set-cookie', cookie] as const),
      request.path,
    );
  });
}

/** For clients whose bodies the channels do not show. */
export function noteBody(body: string, path: string): void {
  protect(textsIn(body, `a request to ${pathOf(path)}`));
}

/** Notes the head or the body of a request in bytes. */
export function noteRawRequest(bytes: string): void {
  const lines = bytes.split('\r\n').map((line) => /^([\w-]+): (.*)$/.exec(line));
  const headers = lines.flatMap((line) => (line === null ? [] : [[line[1]!, line[2]!] as const]));
  protect(credentialsIn(headers, 'credential', 'a request in bytes'));
  const head = /^[A-Z]+ \/.*?\r\n\r\n/s.exec(bytes)?.[0] ?? '';
  protect(textsIn(bytes.slice(head.length), 'a request in bytes'));
}

function noteHead(headers: readonly (readonly [string, string])[], path: string): void {
  const owner = `a request to ${pathOf(path)}`;
  protect(credentialsIn(headers, 'credential', owner));
  protect(credentialsInAddress(path, owner));
}

function noteCookies(headers: readonly (readonly [string, string])[], path: string): void {
  const cookies = headers.filter(([name]) => name === 'set-cookie');
  protect(credentialsIn(cookies, 'credential', `the response of ${pathOf(path)}`));
}

function pathOf(path: string): string {
  return path.split('?', 1)[0]!;
}

/** Returns the headers of HTTP/1.1, a list of names and values, or of HTTP/2 as pairs. */
function pairsOf(list: UndiciHeaders): readonly (readonly [string, string])[] {
  if (!Array.isArray(list)) {
    return Object.entries(list).map(([name, value]) => [name, String(value)]);
  }
  return list.flatMap((name, index) =>
    index % 2 === 0 ? [[String(name).toLowerCase(), String(list[index + 1])] as const] : [],
  );
}

/** Notes what the gateway proves its identity to a provider with. */
export function noteProviderCredentials(headers: Readonly<Record<string, string>>, path: string): void {
  protect(credentialsIn(Object.entries(headers), 'secret', `a request to the provider's ${pathOf(path)}`));
}

/** Notes the tokens that an issuer hands out. */
export function noteTokenResponse(response: ServerResponse): void {
  const end = response.end.bind(response) as (...args: readonly unknown[]) => ServerResponse;
  response.end = (...args: readonly unknown[]) => {
    for (const text of String(args[0]).match(/[\w.-]{20,}/g) ?? []) {
      protect([{ text, value: { kind: 'credential', name: 'a token of the issuer' } }]);
    }
    return end(...args);
  };
}

/** What the bytes of requests and responses have beside the texts in them. */
const FRAMES = [
  '"messages":[{"role"',
  '"object":"chat.completion.chunk"',
  '"type":"content_block_delta"',
  '"type":"response.output_text.delta"',
  'usageMetadata":{"',
];

/** Notes what the mock provider answers when a test asks for no text. */
export function noteAnswers(): void {
  for (const text of [wordsOf(20), ...FRAMES]) {
    protect([{ text, value: { kind: 'content', name: 'an answer of the mock provider' } }]);
  }
}

/** Of a successful response, as much as can quote a credential. */
const SEARCHED_CHARACTERS = 4_096;
const responses = new Output('a response to a client', ['credential', 'content']);

export function noteResponse(status: number, headers: IncomingHttpHeaders, body: string): void {
  responses.add(`${JSON.stringify(headers)}\n${status < 400 ? body.slice(0, SEARCHED_CHARACTERS) : body}\n`);
}

/** Notes what a provider in another process received. */
export function noteProviderRequests(requests: readonly Pick<Seen, 'headers' | 'path' | 'body'>[]): void {
  noteAnswers();
  for (const { headers, path, body } of requests) {
    noteProviderCredentials(headers, path);
    noteBody(body, path);
  }
}
