/**
 * Envoy traces requests, too: how its spans and Tallygate's stand to each other, and whose span the
 * provider continues.
 */
import assert from 'node:assert/strict';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { call } from '../data-plane/support/client.ts';
import type { CollectedSpan } from '../data-plane/support/collector.ts';
import { type Gateway, startGateway } from '../data-plane/support/gateway.ts';
import { type Provider, startProvider } from '../data-plane/support/provider.ts';
import { backend, type Document, route } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { type OtelCollector, startOtelCollector } from './support/otel-collector.ts';

const CLIENT_SPAN = 'b7ad6b7169203331';
const SERVER = 2;
/** Envoy sends its spans every 5 seconds. */
const ENVOY_MS = 15_000;

let collector: OtelCollector;
let first: Provider;
let second: Provider;
let gateway: Gateway;

before(async () => {
  [collector, first, second] = await Promise.all([startOtelCollector(), startProvider(), startProvider()]);
  first.defaults = { status: 503 };
  const backendRefs = [{ name: 'first' }, { name: 'second', priority: 1 }];
  gateway = await startGateway(
    [
      backend('first', { port: first.port }),
      backend('second', { port: second.port }),
      route('traced', [
        { name: 'plain', models: ['plain'], backendRefs: [{ name: 'second' }] },
        { name: 'failing', models: ['failing'], backendRefs, more: { failover: { cooldown: '1ms' } } },
      ]),
    ],
    { environment: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.httpUrl, OTEL_BSP_SCHEDULE_DELAY: '50' } },
  );
  traceInEnvoy();
  await waitFor('a span of Envoy', async () => (await ask('plain')) && spansOf('envoy').length > 0, ENVOY_MS);
});
after(async () => {
  await gateway?.stop();
  await Promise.all([first, second, collector].map((one) => one?.stop()));
});

const spansOf = (service: string) => collector.exported.spans.filter((span) => span.service === service);

/** Sends a request. Returns what the last provider that got it was told. */
async function ask(model: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const body = { model, messages: [{ role: 'user', content: 'Hello' }] };
  const { status } = await call(`${gateway.url}/v1/chat/completions`, body, { headers });
  assert.equal(status, 200);
  return second.seen.at(-1)!.headers['traceparent']!;
}

interface JoinedSpans {
  /** Envoy's spans of the request and of its call to extproc. */
  readonly envoy: CollectedSpan;
  readonly call: CollectedSpan;
  readonly tallygate: CollectedSpan;
}

/** Waits until a trace has Envoy's spans and Tallygate's below them. */
async function spansIn(traceId: string): Promise<JoinedSpans> {
  const find = (service: string, is: (span: CollectedSpan) => boolean) =>
    spansOf(service).find((span) => span.traceId === traceId && is(span));
  return waitFor(
    'joined spans',
    () => {
      const tallygate = find('tallygate', ({ kind }) => kind === SERVER);
      const call = find('envoy', ({ spanId }) => spanId === tallygate?.parentSpanId);
      const envoy = find('envoy', ({ spanId }) => spanId === call?.parentSpanId);
      return tallygate && call && envoy && { envoy, call, tallygate };
    },
    ENVOY_MS,
  );
}

it('the span of a request is a child of Envoy’s call, and the provider continues that of Envoy', async () => {
  const traceId = '1af7651916cd43dd8448eb211c80319c';
  const told = await ask('plain', { traceparent: `00-${traceId}-${CLIENT_SPAN}-01` });
  const { envoy, call } = await spansIn(traceId);
  assert.deepEqual([envoy.kind, envoy.parentSpanId], [SERVER, CLIENT_SPAN]);
  assert.match(call.name, /ExternalProcessor/);
  assert.equal(told, `00-${traceId}-${envoy.spanId}-01`);
});

it('with failover, each provider continues the span of its attempt', async () => {
  const traceId = '2af7651916cd43dd8448eb211c80319c';
  const told = await ask('failing', { traceparent: `00-${traceId}-${CLIENT_SPAN}-01` });
  const { tallygate } = await spansIn(traceId);
  const attempts = spansOf('tallygate').filter(
    ({ parentSpanId, name }) => parentSpanId === tallygate.spanId && name === 'chat failing',
  );
  assert.deepEqual(
    [first.seen.at(-1)?.headers['traceparent'], told],
    attempts.map(({ spanId }) => `00-${traceId}-${spanId}-01`),
  );
});

it('without a context of the client, both are in the trace that Envoy begins', async () => {
  const [, traceId = ''] = (await ask('plain')).split('-');
  const { envoy } = await spansIn(traceId);
  assert.deepEqual([envoy.kind, envoy.parentSpanId], [SERVER, undefined]);
});

/** Changes what the gateway has written for Envoy, as `telemetry.tracing` of an EnvoyProxy does. */
function traceInEnvoy(): void {
  const type = (name: string) => `type.googleapis.com/envoy.${name}`;
  const address = { socket_address: { address: '127.0.0.1', port_value: Number(new URL(collector.grpcUrl).port) } };
  const options = 'extensions.upstreams.http.v3.HttpProtocolOptions';
  edit('clusters.json', (clusters) => [
    ...clusters,
    {
      '@type': type('config.cluster.v3.Cluster'),
      name: 'collector',
      type: 'STATIC',
      typed_extension_protocol_options: {
        [`envoy.${options}`]: { '@type': type(options), explicit_http_config: { http2_protocol_options: {} } },
      },
      load_assignment: {
        cluster_name: 'collector',
        endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
      },
    },
  ]);
  const provider = {
    name: 'envoy.tracers.opentelemetry',
    typed_config: {
      '@type': type('config.trace.v3.OpenTelemetryConfig'),
      service_name: 'envoy',
      grpc_service: { envoy_grpc: { cluster_name: 'collector' } },
    },
  };
  const manager = `"@type":"${type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager')}"`;
  edit('listeners.json', (listeners) =>
    JSON.parse(JSON.stringify(listeners).replaceAll(manager, `${manager},"tracing":${JSON.stringify({ provider })}`)),
  );
}

/** Renames the new file, because Envoy only notices renames. */
function edit(name: string, change: (resources: readonly Document[]) => readonly Document[]): void {
  const file = path.join(gateway.folder, 'state/tallygate/default/envoy', name);
  const { resources } = JSON.parse(readFileSync(file, 'utf8')) as { readonly resources: readonly Document[] };
  writeFileSync(`${file}.new`, JSON.stringify({ resources: change(resources) }));
  renameSync(`${file}.new`, file);
}
