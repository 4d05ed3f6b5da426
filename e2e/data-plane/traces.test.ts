/**
 * Traces, metrics and usage by OTLP: every request of a mixed load arrives at a collector, with
 * parents from the client to the provider, and a collector that hangs holds nothing up.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, it } from 'node:test';
import type OpenAI from 'openai';
import { type PrometheusServer, skipWithoutPrometheus, startPrometheus } from '../../fixtures/prometheus-server.ts';
import { errorOf, mock, openaiClient, say } from './support/clients.ts';
import { type CollectedSpan, type Collector, startCollector } from './support/collector.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, quotaPolicy, route, teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { MODEL } from './support/world.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CLIENT_SPAN = 'b7ad6b7169203331';
const TRACE_PARENT = `00-${TRACE}-${CLIENT_SPAN}-01`;
const [INTERNAL, SERVER, CLIENT] = [1, 2, 3];

let collector: Collector;
let first: Provider;
let second: Provider;
let gateway: Gateway;
let openai: OpenAI;
let prometheus: PrometheusServer | undefined;

before(async () => {
  [collector, first, second] = await Promise.all([startCollector(), startProvider(), startProvider()]);
  const prices = { currency: 'USD', perMillionTokens: { input: '1', output: '2' } };
  const models = [{ name: '*', maxOutputTokens: 4096, prices }];
  const backendRefs = [
    { name: 'first', model: MODEL },
    { name: 'second', model: MODEL, priority: 1 },
  ];
  gateway = await startGateway(
    [
      backend('first', { port: first.port, models }),
      backend('second', { port: second.port, models }),
      route('traced', [
        { name: 'failing', models: ['failing'], backendRefs, more: { failover: { cooldown: '10ms' } } },
        { name: 'plain', models: ['plain'], backendRefs: [{ name: 'second', model: MODEL }] },
      ]),
      quotaPolicy('teams', 'traced', [teamQuota('tokens', 'TotalTokens', 2000)]),
    ],
    {
      environment: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
        OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
        OTEL_BSP_MAX_QUEUE_SIZE: '100',
        OTEL_BSP_SCHEDULE_DELAY: '50',
        OTEL_METRIC_EXPORT_INTERVAL: '500',
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
        TALLYGATE_OPENINFERENCE: 'on',
        TALLYGATE_USAGE_EXPORT: `otlp+${collector.url}/v1/logs`,
      },
    },
  );
  openai = openaiClient(gateway.url, { 'x-team': 'red' });
  if (skipWithoutPrometheus === false) {
    const job = { job_name: 'gateway', scrape_interval: '200ms', scrape_timeout: '200ms' };
    const targets = [{ targets: [new URL(gateway.metricsUrl).host] }];
    prometheus = await startPrometheus({ scrape_configs: [{ ...job, static_configs: targets }] });
  }
});
after(async () => {
  await gateway?.stop();
  for (const one of [collector, first, second, prometheus]) {
    await one?.stop();
  }
});
beforeEach(() => {
  first.forget();
  second.forget();
});

/** Returns the spans of the only new trace with this span of a request. */
async function traceOf(where: (root: CollectedSpan) => boolean): Promise<readonly CollectedSpan[]> {
  const root = () => collector.spans.filter((span) => span.kind === SERVER && where(span));
  await waitFor('the spans', () => root().length > 0, 5_000);
  assert.equal(root().length, 1);
  const { spanId } = root()[0]!;
  return [root()[0]!, ...collector.spans.filter(({ parentSpanId }) => parentSpanId === spanId)];
}

it('a stream has a span for the request, its admission and its call of the provider', async () => {
  const headers = { ...mock({ tokens: 20 }).headers, traceparent: TRACE_PARENT, tracestate: 'vendor=1' };
  const body = { model: 'plain', messages: say('Hello'), stream: true, max_tokens: 100 } as const;
  for await (const _ of await openai.chat.completions.create(body, { headers })) {
    // All of it.
  }
  const spans = await traceOf(({ traceId }) => traceId === TRACE);
  const [root, admission, attempt] = spans;
  assert.deepEqual(
    spans.map(({ name, kind }) => [name, kind]),
    [
      ['POST /v1/chat/completions', SERVER],
      ['admission', INTERNAL],
      ['chat plain', CLIENT],
    ],
  );
  assert.equal(root?.parentSpanId, CLIENT_SPAN);
  const received = second.seen[0]?.headers;
  assert.equal(received?.['traceparent'], `00-${TRACE}-${attempt?.spanId}-01`);
  assert.equal(received?.['tracestate'], 'vendor=1');
  assert.ok(admission!.startNanos === root!.startNanos && admission!.endNanos <= attempt!.startNanos);
  assert.ok(attempt!.endNanos <= root!.endNanos && attempt!.endNanos > attempt!.startNanos);
  assert.equal(attempt?.attributes['gen_ai.provider.name'], 'openai');
  assert.equal(attempt?.attributes['gen_ai.usage.output_tokens'], 20);
  assert.equal(attempt?.attributes['llm.token_count.completion'], 20);
  assert.ok((attempt?.attributes['gen_ai.response.time_to_first_chunk'] as number) > 0);
  assert.deepEqual(
    attempt?.events.map(({ name }) => name),
    ['tallygate.first_token'],
  );
  assert.equal(admission?.attributes['tallygate.held.output_tokens'] !== undefined, true);
  assert.equal(root?.attributes['tallygate.decision'], 'admitted');
  assert.ok((root?.attributes['tallygate.cost'] as number) > 0);
  assert.equal(root?.attributes['gen_ai.usage.output_tokens'], undefined);
  assert.equal(root?.service, 'tallygate');
});

it('each attempt of a failover has a span, and its backend continues that span', async () => {
  first.defaults = { status: 503 };
  second.defaults = { tokens: 5 };
  await openai.chat.completions.create({ model: 'failing', messages: say('Hello'), max_tokens: 50 });
  const spans = await traceOf(({ attributes }) => attributes['tallygate.rule'] === 'failing');
  const attempts = spans.filter(({ kind }) => kind === CLIENT);
  assert.deepEqual(
    attempts.map(({ status, attributes }) => [status, attributes['error.type'], attributes['tallygate.backend']]),
    [
      [2, '503', 'default/first'],
      [0, undefined, 'default/second'],
    ],
  );
  const told = [first, second].map(({ seen }) => seen[0]?.headers['traceparent']);
  assert.deepEqual(
    told,
    attempts.map(({ traceId, spanId }) => `00-${traceId}-${spanId}-01`),
  );
});

it('a refusal is recorded although the client does not sample its trace', async () => {
  const quiet = '1af7651916cd43dd8448eb211c80319c';
  const headers = { traceparent: `00-${quiet}-${CLIENT_SPAN}-00`, 'x-mock': JSON.stringify({ tokens: 1 }) };
  const body = { model: 'plain', messages: say('Hello') };
  await openai.chat.completions.create({ ...body, max_tokens: 5 }, { headers });
  assert.match(String(second.seen[0]?.headers['traceparent']), new RegExp(`^00-${quiet}-[0-9a-f]{16}-00$`));
  const tooMuch = { model: 'plain', messages: say('word '.repeat(3000)) };
  await errorOf(openai.chat.completions.create(tooMuch, { headers }));
  const [root, ...children] = await traceOf(({ traceId }) => traceId === quiet);
  assert.deepEqual(
    children.map(({ name }) => name),
    ['admission'],
  );
  const { status, attributes } = root!;
  assert.equal(status, 0);
  assert.equal(attributes['error.type'], 'quota_exceeded');
  assert.equal(attributes['tallygate.quota'], 'default/teams/tokens');
  assert.equal(attributes['gen_ai.request.model'], 'plain');
});

it('metrics and usage arrive at the same collector', async () => {
  await waitFor('metrics', () => collector.metrics.has('gen_ai.client.token.usage'), 5_000);
  await waitFor('usage', () => collector.logs.length >= 3, 8_000);
});

it('a collector that hangs holds nothing up, and what it misses is counted', async () => {
  collector.hang();
  const headers = { 'x-mock': JSON.stringify({ tokens: 1 }), 'x-team': 'blue' };
  const body = { model: 'plain', messages: say('Hello'), max_tokens: 5 };
  for (let i = 0; i < 60; i++) {
    await openai.chat.completions.create(body, { headers });
  }
  const dropped = async () => (await gateway.metrics()).sum('tallygate_spans_dropped_total');
  // Three spans a request, of which a hundred may wait.
  assert.ok((await dropped()) >= 60);
  collector.release();
});

it('Prometheus keeps the span of a request beside its histograms', { skip: skipWithoutPrometheus }, async () => {
  const now = Date.now() / 1000;
  const query = `query=gen_ai_client_token_usage_bucket&start=${now - 60}&end=${now + 60}`;
  // A server begins to scrape five seconds after its start.
  const found = await waitFor(
    'exemplars',
    async () => {
      const response = await fetch(`${prometheus?.url}/api/v1/query_exemplars?${query}`);
      const { data } = (await response.json()) as { data: readonly { exemplars: readonly { labels: object }[] }[] };
      return data.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels)).at(-1);
    },
    10_000,
  );
  assert.match(JSON.stringify(found), /^\{"span_id":"[0-9a-f]{16}","trace_id":"[0-9a-f]{32}"\}$/);
});
