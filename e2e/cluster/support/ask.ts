/** Plain requests to a Gateway, with any host name and credential. */
import http from 'node:http';
import { noteBody } from '../../data-plane/support/leaks/requests.ts';

const TIMEOUT_MS = 15_000;

export interface ChatRequest {
  readonly model: string;
  /** `host`, `authorization` and others. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly maxOutputTokens?: number;
}

export interface ChatAnswer {
  readonly status: number;
  readonly body: string;
}

export function askChat(url: string, { model, headers = {}, maxOutputTokens = 20 }: ChatRequest): Promise<ChatAnswer> {
  const content = [{ role: 'user', content: 'Hello' }];
  const body = JSON.stringify({ model, messages: content, max_completion_tokens: maxOutputTokens });
  noteBody(body, url);
  return new Promise((resolve, reject) => {
    const request = http.request(`${url}/v1/chat/completions`, {
      method: 'POST',
      agent: false,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers },
    });
    request.on('error', reject).on('response', (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece)).on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces).toString() }));
    });
    request.end(body);
  });
}
