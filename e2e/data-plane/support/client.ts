/** A client that shows what was on the wire: status, headers, bytes, and how the transfer ended. */
import http from 'node:http';
import type { Behaviour } from './behaviour.ts';
import { noteBody, noteResponse } from './leaks/requests.ts';

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Instructions for the mock provider. */
  readonly mock?: Behaviour;
  readonly agent?: http.Agent;
  readonly timeoutMs?: number;
}

export interface Answered {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** False if the transfer broke off. */
  readonly complete: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of many shapes.
  readonly json: any;
}

export interface OpenCall {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** Returns what has arrived. */
  text(): string;
  /** Resolves with the whole response once it has ended, in any way. */
  readonly done: Promise<Answered>;
  readonly response: http.IncomingMessage;
  /** Leaves before the end. */
  abort(): void;
}

export const keepAlive: http.Agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });

/** Sends a request and returns the response once its headers have arrived. */
export function open(url: string, body: unknown, options: CallOptions = {}): Promise<OpenCall> {
  return new Promise((resolve, reject) => {
    const payload =
      body === undefined || Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body);
    if (payload !== undefined) {
      noteBody(payload.toString(), url);
    }
    const request = http.request(url, {
      method: options.method ?? (body === undefined ? 'GET' : 'POST'),
      agent: options.agent ?? keepAlive,
      headers: {
        ...(payload !== undefined && {
          'content-type': 'application/json',
          'content-length': String(Buffer.byteLength(payload)),
        }),
        ...(options.mock && { 'x-mock': JSON.stringify(options.mock) }),
        ...options.headers,
      },
    });
    const timeoutMs = options.timeoutMs ?? 30_000;
    const timer = setTimeout(() => request.destroy(new Error(`no end of ${url} within ${timeoutMs} ms`)), timeoutMs);
    request.on('error', reject);
    request.on('close', () => clearTimeout(timer));
    request.on('response', (response) => resolve(opened(request, response)));
    request.end(payload);
  });
}

/** Sends a request and waits for the whole response. */
export async function call(url: string, body?: unknown, options: CallOptions = {}): Promise<Answered> {
  return (await open(url, body, options)).done;
}

function opened(request: http.ClientRequest, response: http.IncomingMessage): OpenCall {
  const pieces: Buffer[] = [];
  const status = response.statusCode ?? 0;
  const done = new Promise<Answered>((resolve) => {
    response.on('data', (piece: Buffer) => pieces.push(piece));
    response.on('error', () => {});
    response.on('close', () => resolve(answered(status, response.headers, Buffer.concat(pieces), response.complete)));
  });
  return {
    status,
    headers: response.headers,
    text: () => Buffer.concat(pieces).toString(),
    done,
    response,
    abort: () => request.destroy(),
  };
}

function answered(status: number, headers: http.IncomingHttpHeaders, bytes: Buffer, complete: boolean): Answered {
  const text = bytes.toString();
  noteResponse(status, headers, text);
  return {
    status,
    headers,
    bytes,
    text,
    complete,
    get json() {
      try {
        return JSON.parse(text);
      } catch {
        throw new Error(`${status}, and the answer is not JSON: ${text.slice(0, 500)}`);
      }
    },
  };
}
