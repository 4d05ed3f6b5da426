/** HTTP requests over Unix sockets. */
import { type IncomingMessage, request } from 'node:http';

export interface UnixHttpResponse {
  readonly status: number;
  readonly body: string;
}

/** Rejects if there is no response before the deadline. */
export function ask(
  socketPath: string,
  method: 'GET' | 'POST',
  path: string,
  deadlineMs: number,
  headers: Readonly<Record<string, string>> = {},
): Promise<UnixHttpResponse> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(deadlineMs);
    const asked = request({ socketPath, method, path, headers, signal, agent: false }, (response) => {
      const parts: string[] = [];
      response.setEncoding('utf8');
      response.on('data', (part: string) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: parts.join('') }));
      response.on('error', reject);
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** A response that is read while it arrives. */
export interface UnixHttpStream {
  readonly status: number;
  /** The lines of the body. Throws if the response breaks off, or nothing arrives for too long. */
  lines(): AsyncGenerator<string>;
}

/** Rejects if there is no response before `idleMs`. */
export function askForStream(socketPath: string, path: string, idleMs: number): Promise<UnixHttpStream> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, timeout: idleMs, agent: false }, (response) =>
      resolve({ status: response.statusCode ?? 0, lines: () => linesOf(response) }),
    );
    asked.on('timeout', () => asked.destroy(new Error(`nothing has arrived from ${socketPath} for ${idleMs} ms`)));
    asked.on('error', reject);
    asked.end();
  });
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  response.setEncoding('utf8');
  let rest = '';
  for await (const part of response) {
    const lines = (rest + part).split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== '') {
    yield rest;
  }
}
