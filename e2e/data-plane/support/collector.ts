/** Receives traces, metrics and logs by OTLP over HTTP with JSON, as a collector does. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { Output } from './leaks/outputs.ts';
import type { Document } from './resources.ts';

export interface CollectedSpan {
  readonly name: string;
  /** 2: server, 3: client, 1: internal. */
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  /** 2: error. */
  readonly status: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly { readonly name: string; readonly attributes: Readonly<Record<string, unknown>> }[];
  readonly service: unknown;
}

export interface CollectedMetric {
  readonly unit: string;
  /** The member of the message that has the data points. */
  readonly type: 'sum' | 'gauge' | 'histogram';
  /** The attributes of each data point of the last export. */
  readonly points: readonly Readonly<Record<string, unknown>>[];
}

export interface Collector {
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
  /** By name. */
  readonly metrics: ReadonlyMap<string, CollectedMetric>;
  readonly logs: readonly Document[];
  /** Of the last message with logs. */
  readonly logHeaders: http.IncomingHttpHeaders;
  /** Stops responding. */
  hang(): void;
  /** Breaks off what it has not responded to, and responds again. */
  release(): void;
  stop(): void;
}

export interface CollectorOptions {
  /** A content policy sends content to this collector. */
  readonly receivesContent?: boolean;
  readonly port?: number;
  readonly host?: string;
}

export async function startCollector({
  receivesContent = false,
  port: wantedPort = 0,
  host = '127.0.0.1',
}: CollectorOptions = {}): Promise<Collector> {
  const output = new Output('what the collector received', receivesContent ? ['content'] : []);
  const spans: CollectedSpan[] = [];
  const metrics = new Map<string, CollectedMetric>();
  const logs: Document[] = [];
  let logHeaders: http.IncomingHttpHeaders = {};
  let hangs = false;
  const server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      chunks.push(chunk as Buffer);
    }
    if (hangs) {
      return;
    }
    const body = Buffer.concat(chunks);
    const json = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
    output.add(json);
    const message = JSON.parse(json.toString()) as OtlpMessage;
    spans.push(...spansIn(message));
    for (const metric of inScopes(message.resourceMetrics, 'scopeMetrics', 'metrics')) {
      metrics.set(metric['name'] as string, collectedMetric(metric));
    }
    if (message.resourceLogs !== undefined) {
      logHeaders = request.headers;
    }
    logs.push(...inScopes(message.resourceLogs, 'scopeLogs', 'logRecords'));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(wantedPort, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    metrics,
    logs,
    get logHeaders() {
      return logHeaders;
    },
    hang() {
      hangs = true;
    },
    release() {
      hangs = false;
      server.closeAllConnections();
    },
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

type Scopes = readonly Readonly<Record<string, readonly Readonly<Record<string, readonly Document[]>>[]>>[];

interface OtlpMessage {
  readonly resourceSpans?: readonly (Scopes[number] & { readonly resource: { readonly attributes: KeyValues } })[];
  readonly resourceMetrics?: Scopes;
  readonly resourceLogs?: Scopes;
}

export type KeyValues = readonly { readonly key: string; readonly value: OtlpValue }[];
type OtlpValue = Readonly<Record<string, unknown>>;

function inScopes(resources: Scopes | undefined, scopes: string, items: string): readonly Document[] {
  return (resources ?? []).flatMap((resource) => resource[scopes] ?? []).flatMap((scope) => scope[items] ?? []);
}

function spansIn({ resourceSpans = [] }: OtlpMessage): readonly CollectedSpan[] {
  return resourceSpans.flatMap((resource) => {
    const service = valuesOf(resource.resource.attributes)['service.name'];
    return inScopes([resource], 'scopeSpans', 'spans').map((span) => ({
      name: span['name'] as string,
      kind: span['kind'] as number,
      traceId: span['traceId'] as string,
      spanId: span['spanId'] as string,
      parentSpanId: (span['parentSpanId'] as string | undefined) || undefined,
      startNanos: BigInt(span['startTimeUnixNano'] as string),
      endNanos: BigInt(span['endTimeUnixNano'] as string),
      status: (span['status'] as { readonly code?: number } | undefined)?.code ?? 0,
      attributes: valuesOf((span['attributes'] ?? []) as KeyValues),
      events: ((span['events'] ?? []) as { readonly name: string; readonly attributes?: KeyValues }[]).map((event) => ({
        name: event.name,
        attributes: valuesOf(event.attributes ?? []),
      })),
      service,
    }));
  });
}

function collectedMetric(metric: Document): CollectedMetric {
  const type = (['sum', 'gauge', 'histogram'] as const).find((name) => metric[name] !== undefined);
  if (type === undefined) {
    throw new Error(`unknown type of metric: ${JSON.stringify(metric).slice(0, 200)}`);
  }
  const { dataPoints } = metric[type] as { readonly dataPoints: readonly { readonly attributes?: KeyValues }[] };
  return {
    unit: metric['unit'] as string,
    type,
    points: dataPoints.map(({ attributes = [] }) => valuesOf(attributes)),
  };
}

/** Returns attributes by their names. */
export function valuesOf(list: KeyValues): Readonly<Record<string, unknown>> {
  return Object.fromEntries(list.map(({ key, value }) => [key, plain(value)]));
}

function plain(value: OtlpValue): unknown {
  const { arrayValue, ...one } = value as { readonly arrayValue?: { readonly values: readonly OtlpValue[] } };
  return arrayValue === undefined ? Object.values(one)[0] : arrayValue.values.map(plain);
}
