/**
 * A small HTTP server that reports the state of the process: `/healthz` (alive), `/readyz` (accepts
 * work) and `/metrics` (Prometheus text).
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Address } from './environment.ts';
import { type HttpServer, startHttpServer } from './http-server.ts';
import { METRICS_TYPES, type MetricsFormat } from './metrics-format.ts';

export interface Readiness {
  readonly ready: boolean;
  /** The body of `/readyz`: what is ready and what is missing. */
  readonly details: Readonly<Record<string, string | number | boolean>>;
}

export interface HealthOptions {
  readonly address: Address;
  readonly readiness: () => Readiness | Promise<Readiness>;
  readonly metrics: (format: MetricsFormat) => Promise<string>;
  /** Answers other paths. Returns false for a request that it does not answer. */
  readonly pages?: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
}

/** Of probes, scrapers and, on one machine, browsers; a page opens up to six. */
const MAX_CONNECTIONS = 64;

/** Rejects with the system's error if the address cannot be bound. */
export async function startHealthServer({ address, readiness, metrics, pages }: HealthOptions): Promise<HttpServer> {
  const answer = async (path: string, accept = ''): Promise<readonly [status: number, type: string, body: string]> => {
    switch (path) {
      case '/healthz':
        return [200, 'application/json', '{"alive":true}\n'];
      case '/readyz': {
        const { ready, details } = await readiness();
        return [ready ? 200 : 503, 'application/json', `${JSON.stringify({ ready, ...details })}\n`];
      }
      case '/metrics': {
        const format = metricsFormat(accept);
        return [200, METRICS_TYPES[format], await metrics(format)];
      }
      default:
        return [404, 'text/plain', 'Here are /healthz, /readyz and /metrics.\n'];
    }
  };
  const handle: RequestListener = (request, response) => {
    if (pages?.(request, response)) {
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
      return;
    }
    const [path = ''] = (request.url ?? '').split('?');
    answer(path, request.headers.accept).then(
      ([status, type, body]) => response.writeHead(status, { 'content-type': type }).end(body),
      () => response.writeHead(503, { 'content-type': 'text/plain' }).end('Not available now; ask again.\n'),
    );
  };
  return await startHttpServer({ address, maxConnections: MAX_CONNECTIONS, handle });
}

/** Returns the format that the header `accept` prefers. */
function metricsFormat(accept: string): MetricsFormat {
  let found: MetricsFormat = 'prometheus';
  let best = 0;
  for (const range of accept.toLowerCase().split(',')) {
    const [type, ...parameters] = range.split(';').map((part) => part.trim());
    const quality = Number(parameters.find((part) => part.startsWith('q='))?.slice(2) ?? 1);
    const isOpenMetrics = type === 'application/openmetrics-text';
    if (quality > best && (isOpenMetrics || type === 'text/plain')) {
      best = quality;
      found = isOpenMetrics ? 'openmetrics' : 'prometheus';
    }
  }
  return found;
}
