import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import { newMetricExporter } from './metric-exporter.ts';
import { metricProducer } from './metric-producer.ts';
import { newMetricTable } from './metric-table.ts';
import { metricsMessage } from './metrics-message.ts';

const span = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', timeMs: 1_700_000_000_250 };

async function collected(withExemplar: boolean): Promise<ResourceMetrics> {
  const table = newMetricTable(1_700_000_000_000);
  const size = table.histogram({ name: 'size', unit: 'By', description: 'Sizes' }, [-1, 0.5, 100]);
  const cell = size.cell({ model: 'größe', stream: true });
  cell.record(7.5, withExemplar ? span : undefined);
  cell.record(1e9);
  size.cell({ model: 'unused' });
  table.sum({ name: 'things', unit: '{thing}', description: 'Things' }).cell({ n: 3 }).value += 2 ** 40;
  table.gauge({ name: 'now', unit: '', description: '' }, () => [{ attributes: {}, value: -0.5 }]);
  const { resourceMetrics } = await metricProducer(table, 'test', () => 1_700_000_001_000).collect();
  return { ...resourceMetrics, resource: resourceFromAttributes({ 'service.name': 'test' }) };
}

test('without exemplars, a message has the bytes that the serializer of OpenTelemetry writes', async () => {
  const metrics = await collected(false);
  assert.deepEqual(
    Buffer.from(metricsMessage(metrics)),
    Buffer.from(ProtobufMetricsSerializer.serializeRequest(metrics)!),
  );
});

test('an exemplar is a field of its point', async () => {
  const [without, withOne] = [metricsMessage(await collected(false)), metricsMessage(await collected(true))];
  const value = Buffer.alloc(8);
  value.writeDoubleLE(7.5);
  const time = Buffer.alloc(8);
  time.writeBigUInt64LE(1_700_000_000_250_000_000n);
  const exemplar = Buffer.concat([
    Buffer.from([8 * 8 + 2, 46, 2 * 8 + 1]),
    time,
    Buffer.from([3 * 8 + 1]),
    value,
    Buffer.from([4 * 8 + 2, 8]),
    Buffer.from(span.spanId, 'hex'),
    Buffer.from([5 * 8 + 2, 16]),
    Buffer.from(span.traceId, 'hex'),
  ]);
  assert.ok(Buffer.from(withOne).includes(exemplar));
  assert.ok(!Buffer.from(without).includes(exemplar));
});

test('a collector gets exemplars as JSON', async () => {
  const bodies: Buffer[] = [];
  const server = http.createServer(async (request, response) => {
    bodies.push(Buffer.concat(await request.toArray()));
    response.writeHead(200).end('{}');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const exporter = await newMetricExporter('http/json');
  const metrics = await collected(true);
  await new Promise((resolve) => exporter.export(metrics, resolve));
  const json = JSON.parse(bodies[0]!.toString());
  const [size] = json.resourceMetrics[0].scopeMetrics[0].metrics;
  const { traceId, spanId } = span;
  const expected = { timeUnixNano: '1700000000250000000', asDouble: 7.5, traceId, spanId };
  assert.deepEqual(size.histogram.dataPoints[0].exemplars, [expected]);
  assert.equal(size.histogram.dataPoints[1].exemplars, undefined);
  server.close();
});
