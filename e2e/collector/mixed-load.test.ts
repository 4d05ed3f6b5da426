/**
 * A real OpenTelemetry Collector receives every span, metric and log of a mixed load, by each
 * protocol, and what it receives follows the conventions.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type CollectedSpan, type KeyValues, valuesOf } from '../data-plane/support/collector.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { attributeFaults, metricFaults, readConventions } from './support/conventions.ts';
import { MASKED_TEXT, type MixedWorld, requestKinds, type SentRequest, startMixedWorld } from './support/mixed-load.ts';
import { type OtelCollector, startOtelCollector } from './support/otel-collector.ts';

const ROUNDS = 5;
const SERVER = 2;
const CONTENT_EVENT = 'gen_ai.client.inference.operation.details';
const USAGE_EVENT = 'tallygate.usage';

/** Metrics of the conventions that this load records. */
const METRICS = [
  'gen_ai.client.operation.duration',
  'gen_ai.client.operation.time_to_first_chunk',
  'gen_ai.client.token.usage',
  'gen_ai.server.request.duration',
  'gen_ai.server.time_per_output_token',
  'gen_ai.server.time_to_first_token',
];

for (const protocol of ['http/protobuf', 'http/json', 'grpc'] as const) {
  describe(`over ${protocol}`, () => {
    let collector: OtelCollector;
    let world: MixedWorld;
    let sent: readonly SentRequest[];

    before(async () => {
      collector = await startOtelCollector({ receivesContent: true });
      world = await startMixedWorld({
        OTEL_EXPORTER_OTLP_ENDPOINT: protocol === 'grpc' ? collector.grpcUrl : collector.httpUrl,
        OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
        OTEL_METRIC_EXPORT_INTERVAL: '500',
        OTEL_BSP_SCHEDULE_DELAY: '50',
        TALLYGATE_USAGE_EXPORT: `otlp+${collector.httpUrl}/v1/logs`,
        TALLYGATE_CONTENT_EXPORT: `otlp+${collector.httpUrl}/v1/logs`,
      });
      sent = await world.send(ROUNDS);
    });
    after(async () => {
      await world?.stop();
      await collector?.stop();
    });

    const spansIn = ({ traceId }: SentRequest) => collector.exported.spans.filter((span) => span.traceId === traceId);
    const logsOf = (event: string) => collector.exported.logs.filter(({ eventName }) => eventName === event);

    it('every request is one tree, below the span of the client', async () => {
      const expected = sent.reduce((sum, { kind }) => sum + 1 + requestKinds[kind]!.spans.length, 0);
      await waitFor(
        'all spans',
        () => collector.exported.spans.length >= expected,
        20_000,
        () => `(${collector.exported.spans.length} of ${expected})`,
      );
      for (const request of sent) {
        assertTree(request, spansIn(request));
      }
      assert.equal(collector.exported.spans.length, expected);
      const count = async (name: string) => (await world.gateway.metrics()).sum(name);
      await waitFor('the count', async () => (await count('tallygate_spans_exported_total')) === expected);
      assert.equal(await count('tallygate_spans_dropped_total'), 0);
    });

    it('the provider continues the span of the attempt', () => {
      const { seen } = world.provider;
      assert.ok(seen.length >= ROUNDS * 8);
      for (const { headers } of seen) {
        const [, traceId, spanId] = headers['traceparent']!.split('-');
        const [attempt, ...others] = collector.exported.spans.filter((span) => span.spanId === spanId);
        assert.ok(attempt !== undefined && others.length === 0);
        assert.equal(attempt.traceId, traceId);
        assert.match(attempt.name, /^(chat|embeddings) /);
      }
    });

    it('attributes of spans and events are those of the conventions', () => {
      const conventions = readConventions();
      const faults = collector.exported.spans.flatMap(({ attributes, events }) => [
        ...attributeFaults(conventions, attributes),
        ...events.flatMap((event) => attributeFaults(conventions, event.attributes)),
      ]);
      assert.deepEqual([...new Set(faults)], []);
    });

    it('metrics have the names, types, units and attributes of the conventions', async () => {
      const { metrics } = collector.exported;
      await waitFor('all metrics', () => METRICS.every((name) => metrics.has(name)), 5_000);
      const conventions = readConventions();
      const named = [...metrics].filter(([name]) => name.startsWith('gen_ai.'));
      assert.deepEqual(named.map(([name]) => name).toSorted(), METRICS);
      assert.deepEqual(
        named.flatMap(([name, metric]) => metricFaults(conventions, name, metric)),
        [],
      );
      for (const name of ['tallygate.tokens', 'tallygate.quota.decisions', 'tallygate.guardrail.findings']) {
        assert.equal(metrics.get(name)?.type, 'sum', name);
      }
    });

    it('usage of every request that a backend got arrives once', async () => {
      const forwarded = sent.filter(({ kind }) => requestKinds[kind]!.spans.length > 1);
      await waitFor('usage', () => logsOf(USAGE_EVENT).length >= forwarded.length, 15_000);
      const ids = logsOf(USAGE_EVENT).map(({ attributes }) => valuesOf(attributes as KeyValues)['tallygate.usage.id']);
      assert.equal(new Set(ids).size, forwarded.length);
      assert.equal(ids.length, forwarded.length);
    });

    it('content arrives redacted, with the ids of its span', async () => {
      const masked = sent.filter(({ kind }) => kind === 'masked');
      await waitFor('content', () => logsOf(CONTENT_EVENT).length >= masked.length, 10_000);
      const logs = logsOf(CONTENT_EVENT);
      assert.deepEqual(logs.map((log) => log['traceId']).toSorted(), masked.map(({ traceId }) => traceId).toSorted());
      const conventions = readConventions();
      for (const log of logs) {
        const request = masked.find(({ traceId }) => traceId === log['traceId']);
        const root = spansIn(request!).find(({ kind }) => kind === SERVER);
        assert.equal(log['spanId'], root?.spanId);
        const attributes = valuesOf(log['attributes'] as KeyValues);
        assert.deepEqual(attributeFaults(conventions, attributes), []);
        const prompt = JSON.stringify(attributes['gen_ai.input.messages']);
        assert.ok(prompt.includes('kept words of <Email-1>') && !prompt.includes(MASKED_TEXT), prompt);
      }
    });
  });
}

function assertTree(request: SentRequest, spans: readonly CollectedSpan[]): void {
  const { spans: children, error, status } = requestKinds[request.kind]!;
  const roots = spans.filter(({ parentSpanId }) => parentSpanId === request.parentSpanId);
  assert.equal(roots.length, 1, `${request.kind}: ${JSON.stringify(spans.map(({ name }) => name))}`);
  const root = roots[0]!;
  assert.equal(root.kind, SERVER);
  const others = spans.filter((span) => span !== root);
  assert.deepEqual(others.map(({ name }) => name.split(' ')[0]).toSorted(), children, request.kind);
  assert.ok(others.every(({ parentSpanId }) => parentSpanId === root.spanId));
  assert.equal(root.attributes['error.type'], error, request.kind);
  assert.equal(Number(root.attributes['http.response.status_code']), status, request.kind);
  for (const { startNanos, endNanos } of others) {
    assert.ok(startNanos >= root.startNanos && startNanos <= endNanos && endNanos <= root.endNanos, request.kind);
  }
}
