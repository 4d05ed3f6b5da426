/**
 * A real OpenTelemetry Collector that is slow, gone or full: requests do not wait for it, what it
 * misses is counted, and the export goes on once it is back.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { call } from '../data-plane/support/client.ts';
import { type Gateway, startGateway } from '../data-plane/support/gateway.ts';
import { type Provider, startProvider } from '../data-plane/support/provider.ts';
import { backend, route } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { MODEL } from '../data-plane/support/world.ts';
import { type OtelCollector, startOtelCollector } from './support/otel-collector.ts';

const QUEUE_SPANS = 150;
/** Request, admission, attempt. */
const SPANS_A_REQUEST = 3;
const REQUESTS = 200;
const ALL_BUT_QUEUED = REQUESTS * SPANS_A_REQUEST - QUEUE_SPANS;
/** Until a message that nobody accepts is dropped. */
const TIMEOUT_MS = 3_000;

for (const protocol of ['http/protobuf', 'grpc'] as const) {
  describe(`over ${protocol}`, () => {
    let collector: OtelCollector;
    let provider: Provider;
    let gateway: Gateway;
    let requests = 0;

    before(async () => {
      [collector, provider] = await Promise.all([startOtelCollector({ queueSize: 10 }), startProvider({ tokens: 1 })]);
      gateway = await startGateway(
        [
          backend('openai', { port: provider.port }),
          route('chat', [{ name: 'chat', models: ['chat'], backendRefs: [{ name: 'openai', model: MODEL }] }]),
        ],
        {
          environment: {
            OTEL_EXPORTER_OTLP_ENDPOINT: protocol === 'grpc' ? collector.grpcUrl : collector.httpUrl,
            OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
            OTEL_EXPORTER_OTLP_TIMEOUT: String(TIMEOUT_MS),
            OTEL_BSP_MAX_QUEUE_SIZE: String(QUEUE_SPANS),
            OTEL_BSP_SCHEDULE_DELAY: '20',
            OTEL_METRIC_EXPORT_INTERVAL: '500',
          },
        },
      );
      await send(20);
      await allReceived();
    });
    after(async () => {
      collector?.exported.release();
      await gateway?.stop();
      await Promise.all([provider?.stop(), collector?.stop()]);
    });

    const counter = async (name: string) => (await gateway.metrics()).sum(name);
    const dropped = () => counter('tallygate_spans_dropped_total');
    const exported = () => counter('tallygate_spans_exported_total');
    const received = () => new Set(collector.exported.spans.map(({ spanId }) => spanId)).size;

    /** Sends requests one after the other, and returns the time that the middle one took. */
    async function send(count: number): Promise<number> {
      const times: number[] = [];
      for (let i = 0; i < count; i++) {
        const startMs = performance.now();
        const body = { model: 'chat', messages: [{ role: 'user', content: 'Hello' }] };
        const { status } = await call(`${gateway.url}/v1/chat/completions`, body);
        times.push(performance.now() - startMs);
        assert.equal(status, 200);
      }
      requests += count;
      return times.toSorted((a, b) => a - b)[count >> 1]!;
    }

    /** Waits until every span of all requests has left or is dropped. */
    async function allCounted(): Promise<void> {
      const total = requests * SPANS_A_REQUEST;
      await waitFor(
        'the count of all spans',
        async () => (await exported()) + (await dropped()) === total,
        20_000,
        () => `(${total})\n${gateway.log()}`,
      );
    }

    /** Waits until every span that the gateway counts as exported is there. */
    async function allReceived(): Promise<void> {
      await allCounted();
      const sent = await exported();
      await waitFor(
        'the exported spans',
        () => received() >= sent,
        20_000,
        () => `(${received()} of ${sent})`,
      );
    }

    /**
     * Asserts that requests do not wait during an outage, that at least so many spans are dropped,
     * and that the export goes on after it.
     */
    async function assertOutage(begin: () => unknown, end: () => unknown, least = ALL_BUT_QUEUED): Promise<void> {
      const before = { medianMs: await send(50), dropped: await dropped() };
      await allCounted();
      await begin();
      const medianMs = await send(REQUESTS);
      assert.ok(medianMs < 2 * before.medianMs + 5, `${medianMs} ms instead of ${before.medianMs} ms`);
      // Those that wait are dropped after the time limit.
      await allCounted();
      const missed = (await dropped()) - before.dropped;
      assert.ok(missed >= least, `${missed} of ${REQUESTS * SPANS_A_REQUEST}`);
      await end();
      const sent = await exported();
      await waitFor(
        'the export',
        async () => {
          await send(1);
          return (await exported()) > sent;
        },
        10_000,
      );
      await allReceived();
    }

    it('a Collector that stands still holds nothing up', async () => {
      await assertOutage(collector.pause, collector.resume);
    });

    it('a Collector that is gone holds nothing up, and the log names the reason', async () => {
      await assertOutage(collector.end, () => collector.start());
      assert.match(gateway.log(), /ECONNREFUSED[^\n]*trace collector does not accept spans/);
    });

    it('a Collector that has no memory left refuses spans, which are dropped', async () => {
      await assertOutage(
        () => collector.start('in receivers'),
        () => collector.start(),
      );
      await assertOutage(
        () => collector.start('in pipelines'),
        () => collector.start(),
      );
    });

    it('a Collector whose own queue is full refuses spans, which are dropped', async () => {
      await assertOutage(
        () => collector.exported.hang(),
        () => collector.exported.release(),
        // The Collector has room for some messages.
        100,
      );
    });

    it('spans wait for a Collector that returns within the time limit', async () => {
      const before = await dropped();
      // By gRPC, the receivers refuse with a status that must not be tried again.
      const refusals = protocol === 'grpc' ? (['in pipelines'] as const) : (['in receivers', 'in pipelines'] as const);
      for (const refusal of refusals) {
        await collector.start(refusal);
        await send(10);
        await collector.start();
        await allReceived();
      }
      await collector.end();
      await send(10);
      await collector.start();
      await allReceived();
      assert.equal(await dropped(), before);
    });
  });
}
