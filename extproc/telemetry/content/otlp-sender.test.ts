import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Server, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js';
import type { OtlpProtocol } from '../../../runtime/otlp-protocols.ts';
import { outcomeOfStream } from '../testing.ts';
import { type ContentEntry, contentEntry, contentFacts } from './entry.ts';
import { otlpContentSender } from './otlp-sender.ts';

const kept = {
  policy: 'default/reviews',
  destinations: ['OTLPLogs'],
  prompt: undefined,
  response: undefined,
  drops: [],
} as const;
const entry: ContentEntry = {
  ...contentEntry(contentFacts(outcomeOfStream, false), kept, '0000-1'),
  input: [{ role: 'user', parts: [{ type: 'text', content: 'kept-words' }] }],
};
const headers = { authorization: 'Bearer content' };

interface SeenMessage {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

async function httpCollector(t: TestContext, answer: number, body = Buffer.alloc(0)) {
  const messages: SeenMessage[] = [];
  const server = createServer(async (request, response) => {
    messages.push({ headers: request.headers, body: Buffer.concat(await request.toArray()) });
    response.writeHead(answer).end(body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { messages, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/logs` };
}

const logsService: ServiceDefinition = {
  Export: {
    path: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
    requestStream: false,
    responseStream: false,
    requestSerialize: (value: Buffer) => value,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (value: Buffer) => value,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
};

async function grpcCollector(t: TestContext, code: status | undefined) {
  const messages: { readonly authorization: unknown; readonly body: Buffer }[] = [];
  const server = new Server();
  server.addService(logsService, {
    Export: (
      call: { readonly request: Buffer; readonly metadata: { get(name: string): unknown[] } },
      reply: (error: { readonly code: status } | null, value?: Buffer) => void,
    ) => {
      messages.push({ authorization: call.metadata.get('authorization')[0], body: call.request });
      reply(code === undefined ? null : { code }, Buffer.alloc(0));
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.after(() => server.forceShutdown());
  return { messages, url: `http://127.0.0.1:${port}` };
}

for (const [protocol, type] of [
  ['http/json', 'application/json'],
  ['http/protobuf', 'application/x-protobuf'],
] as const) {
  test(`log records arrive by ${protocol}, compressed as for traces`, async (t) => {
    const { messages, url } = await httpCollector(t, 200);
    process.env['OTEL_EXPORTER_OTLP_COMPRESSION'] = 'gzip';
    t.after(() => delete process.env['OTEL_EXPORTER_OTLP_COMPRESSION']);
    const sender = await otlpContentSender({ type: 'otlp', url, protocol }, headers);
    assert.deepEqual(await sender.send([entry, entry]), { accepted: 2, failure: undefined });
    const [{ headers: seen, body } = assert.fail()] = messages;
    assert.deepEqual(
      [seen['content-type'], seen['content-encoding'], seen.authorization],
      [type, 'gzip', headers.authorization],
    );
    assert.match(gunzipSync(body).toString(), /kept-words.*kept-words/s);
  });
}

test('log records arrive by gRPC, with the headers', async (t) => {
  const { messages, url } = await grpcCollector(t, undefined);
  const sender = await otlpContentSender({ type: 'otlp', url, protocol: 'grpc' }, headers);
  assert.deepEqual(await sender.send([entry]), { accepted: 1, failure: undefined });
  const [{ authorization, body } = assert.fail()] = messages;
  assert.equal(authorization, headers.authorization);
  assert.match(body.toString(), /kept-words/);
});

test('a message may follow at once on one that is through, and rejected log records are told', async (t) => {
  // An `ExportLogsServiceResponse` that rejects one log record.
  const { url } = await httpCollector(t, 200, Buffer.from([0x0a, 0x02, 0x08, 0x01]));
  const sender = await otlpContentSender({ type: 'otlp', url, protocol: 'http/protobuf' }, headers);
  const outcomes: unknown[] = [];
  const run = async () => {
    for (let i = 0; i < 10; i++) {
      const { accepted, failure } = await sender.send([entry, entry, entry]);
      outcomes.push([accepted, failure?.reason]);
    }
  };
  await Promise.all(Array.from({ length: sender.maxOpen }, run));
  assert.deepEqual(outcomes, Array(20).fill([2, 'export_refused']));
});

async function failureFrom(url: string, protocol: OtlpProtocol) {
  const sender = await otlpContentSender({ type: 'otlp', url, protocol }, headers, 300);
  const { accepted, failure } = await sender.send([entry]);
  assert.equal(accepted, 0);
  return [failure?.reason, failure?.text];
}

test('a collector that refuses is told from one that fails, with what to do', async (t) => {
  const refused = await httpCollector(t, 401);
  assert.deepEqual(await failureFrom(refused.url, 'http/protobuf'), [
    'export_refused',
    'the collector answered 401: check TALLYGATE_CONTENT_EXPORT_HEADERS',
  ]);
  const failing = await httpCollector(t, 503);
  assert.equal((await failureFrom(failing.url, 'http/protobuf'))[0], 'export_failed');
  const without = await grpcCollector(t, status.UNIMPLEMENTED);
  assert.deepEqual(await failureFrom(without.url, 'grpc'), [
    'export_refused',
    'the collector answered 12: check the URL and protocol in TALLYGATE_CONTENT_EXPORT',
  ]);
  assert.equal((await failureFrom('http://127.0.0.1:1', 'grpc'))[0], 'export_failed');
  assert.equal((await failureFrom('http://127.0.0.1:1', 'http/protobuf'))[0], 'export_failed');
});
