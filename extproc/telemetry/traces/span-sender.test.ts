import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { SpanKind } from '@opentelemetry/api';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { OtlpProtocol } from '../../../runtime/otlp-protocols.ts';
import { readableSpan } from './readable-span.ts';
import { newSpanSender } from './span-sender.ts';
import type { FinishedSpan } from './spans.ts';

const resource = resourceFromAttributes({ 'service.name': 'tallygate' });
const scope = { name: 'tallygate' };
const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';

const span: FinishedSpan = {
  trace: { traceId, spanId, parentSpanId: undefined, traceState: undefined, sampled: true, attempts: [] },
  name: 'admission',
  kind: SpanKind.INTERNAL,
  spanId,
  parentSpanId: undefined,
  isRemoteParent: false,
  startMs: 1_700_000_000_000,
  endMs: 1_700_000_000_020,
  attributes: (put) => put('tallygate.decision', 'admitted'),
  failed: false,
  events: [],
};
const expected = Buffer.from(ProtobufTraceSerializer.serializeRequest([readableSpan(span, resource, scope)])!);

/** An `ExportTraceServiceResponse` that rejects one span. */
const REJECTED_ONE = Buffer.from([0x0a, 0x02, 0x08, 0x01]);

async function httpCollector(responses: readonly (Buffer | number)[]) {
  const bodies: Buffer[] = [];
  const server = http.createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const next = responses[bodies.length] ?? Buffer.alloc(0);
      bodies.push(Buffer.concat(parts));
      response.writeHead(typeof next === 'number' ? next : 200).end(typeof next === 'number' ? '' : next);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { bodies, url, close: () => void server.close() };
}

function senderTo(url: string, protocol: OtlpProtocol) {
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = url;
  return newSpanSender(protocol, resource, scope);
}

test('spans reach a collector by HTTP, and those that it rejects are dropped', async () => {
  const collector = await httpCollector([Buffer.alloc(0), REJECTED_ONE, 400, Buffer.alloc(0)]);
  const sender = await senderTo(collector.url, 'http/protobuf');
  const results: unknown[] = [];
  for (const count of [1, 2, 2, 1]) {
    for (let i = 0; i < count; i++) {
      sender.add(span);
    }
    results.push((await sender.send()).dropped);
  }
  assert.deepEqual(results, [0, 1, 2, 0]);
  assert.deepEqual([collector.bodies[0], collector.bodies[3]], [expected, expected]);
  collector.close();
});

test('spans reach a collector as JSON, and those that it rejects are dropped', async () => {
  const responses = ['{}', '{"partialSuccess":{"rejectedSpans":"1"}}', '{"partialSuccess":{"rejectedSpans":"x"}}'];
  const collector = await httpCollector(responses.map((text) => Buffer.from(text)));
  const sender = await senderTo(collector.url, 'http/json');
  sender.add(span);
  assert.deepEqual(await sender.send(), { dropped: 0, failure: undefined });
  const sent = JSON.parse(collector.bodies[0]!.toString());
  assert.equal(sent.resourceSpans[0].scopeSpans[0].spans[0].traceId, traceId);
  const dropped: number[] = [];
  for (let i = 1; i < 4; i++) {
    sender.add(span);
    sender.add(span);
    dropped.push((await sender.send()).dropped);
  }
  assert.deepEqual(dropped, [1, 0, 0]);
  collector.close();
});

/** Answers with the failures first, by their status codes. */
async function grpcCollector(failures: readonly number[], response: Buffer) {
  const requests: Buffer[] = [];
  const server = new Server();
  server.register(
    '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
    (call: { request: Buffer }, reply: (error: { code: number } | null, response?: Buffer) => void) => {
      const code = failures[requests.length];
      requests.push(call.request);
      reply(code === undefined || code === status.OK ? null : { code }, response);
    },
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
    'unary',
  );
  const bind = promisify(server.bindAsync.bind(server));
  const port = await bind('127.0.0.1:0', ServerCredentials.createInsecure());
  return { requests, url: `http://127.0.0.1:${port}`, close: () => server.forceShutdown() };
}

test('spans reach a collector by gRPC', async () => {
  const collector = await grpcCollector([], REJECTED_ONE);
  const sender = await senderTo(collector.url, 'grpc');
  sender.add(span);
  assert.equal((await sender.send()).dropped, 1);
  assert.deepEqual(collector.requests, [expected]);
  collector.close();
});

test('spans are sent again by gRPC to a collector that is unavailable, but not to one that refuses them', async () => {
  const collector = await grpcCollector([status.UNAVAILABLE, status.OK, status.INVALID_ARGUMENT], Buffer.alloc(0));
  const sender = await senderTo(collector.url, 'grpc');
  sender.add(span);
  assert.deepEqual(await sender.send(), { dropped: 0, failure: undefined });
  assert.deepEqual(collector.requests, [expected, expected]);
  sender.add(span);
  assert.equal((await sender.send()).dropped, 1);
  assert.equal(collector.requests.length, 3);
  collector.close();
});
