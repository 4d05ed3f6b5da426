/** HTTP requests over the Unix sockets of the child processes. */
import { request } from 'node:http';

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
): Promise<UnixHttpResponse> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(deadlineMs);
    const asked = request({ socketPath, method, path, signal, agent: false }, (response) => {
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
