import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { newMetricTable } from './metric-table.ts';
import { startOpenTelemetry } from './open-telemetry.ts';

test('with an endpoint, metrics are also exported by OTLP, at the latest at the shutdown', {
  timeout: 15_000,
}, async () => {
  const received: { readonly url: string | undefined; readonly body: string }[] = [];
  const collector = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString('latin1');
    received.push({ url: request.url, body });
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  const table = newMetricTable(Date.now());
  table.histogram({ name: 'hot.size', unit: 'By', description: 'Sizes' }, [10]).cell({ kind: 'hot-kind' }).record(3);
  const service = { serviceName: 'otlp-test', serviceVersion: '1', instanceId: 'one' };
  const otlp = { service, protocol: 'http/protobuf', intervalMs: 60_000, timeoutMs: 1000 } as const;
  const telemetry = await startOpenTelemetry({ serviceName: 'otlp-test', otlp, tables: [table] });
  telemetry.meterProvider.getMeter('test').createCounter('cold.count').add(1);
  assert.match(await telemetry.prometheusText(), /^hot_size_count\{kind="hot-kind"\} 1$/m);
  await telemetry.shutdown(5000);
  const metrics = received.filter(({ url }) => url === '/v1/metrics');
  assert.equal(metrics.length, 1);
  for (const text of ['otlp-test', 'hot.size', 'hot-kind', 'cold.count']) {
    assert.ok(metrics[0]?.body.includes(text), text);
  }
  collector.close();
  collector.closeAllConnections();
});
