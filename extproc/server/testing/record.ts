/** A server whose handlers record their calls. */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Exchange, ExchangeHandler } from '../../exchange.ts';
import { type Server, type ServerOptions, startServer } from '../server.ts';
import { echo } from './echo.ts';

export interface Recorded {
  readonly exchange: Exchange;
  /** Names of the calls, in order; `closed` with its argument. */
  readonly calls: string[];
  readonly bodies: Uint8Array[];
}

export interface Recorder {
  readonly server: Server;
  readonly exchanges: Recorded[];
  /** Log entries of the server. */
  readonly logged: string[];
}

type Handlers = (exchange: Exchange, index: number) => Partial<ExchangeHandler>;

/** Echoes, unless `handlers` overrides a call. */
export async function record(handlers: Handlers = echo, options: Partial<ServerOptions> = {}): Promise<Recorder> {
  const exchanges: Recorded[] = [];
  const logged: string[] = [];
  const note = (_data: object, text: string): void => {
    logged.push(text);
  };
  const server = await startServer({
    path: join(mkdtempSync(join(tmpdir(), 'extproc-')), 'socket'),
    beforeFlush: () => {},
    log: { warn: note, error: note },
    ...options,
    handler: (exchange) => {
      const calls: string[] = [];
      const bodies: Uint8Array[] = [];
      const inner = handlers(exchange, exchanges.length);
      exchanges.push({ exchange, calls, bodies });
      return {
        requestHeaders(headers, endOfStream, attributes) {
          calls.push('request-headers');
          inner.requestHeaders?.(headers, endOfStream, attributes);
        },
        requestBody(bytes, endOfStream) {
          calls.push('request-body');
          bodies.push(bytes);
          inner.requestBody?.(bytes, endOfStream);
        },
        requestTrailers() {
          calls.push('request-trailers');
          inner.requestTrailers?.();
        },
        responseHeaders(headers, endOfStream, attributes) {
          calls.push('response-headers');
          inner.responseHeaders?.(headers, endOfStream, attributes);
        },
        responseBody(bytes, endOfStream) {
          calls.push('response-body');
          bodies.push(bytes);
          inner.responseBody?.(bytes, endOfStream);
        },
        responseTrailers() {
          calls.push('response-trailers');
          inner.responseTrailers?.();
        },
        drained() {
          calls.push('drained');
          inner.drained?.();
        },
        closed(clean) {
          calls.push(`closed ${clean}`);
          inner.closed?.(clean);
        },
      };
    },
  });
  return { server, exchanges, logged };
}
