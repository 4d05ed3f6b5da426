/** The server as seen by an independent gRPC client: grpc-js with proto-loader. */

import assert from 'node:assert/strict';
import { linkSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { ACK, frame, PING } from './frames.ts';
import { type Server, startServer } from './server.ts';
import { echo } from './testing/echo.ts';
import { grpcClient, type Message, receive, status } from './testing/grpc.ts';
import { grpcBytes, halfClose, open, Peer, requestHeaders, responseBody } from './testing/peer.ts';
import { record } from './testing/record.ts';

function headers(list: Readonly<Record<string, string>>): object {
  return { headers: { headers: Object.entries(list).map(([key, value]) => ({ key, raw_value: Buffer.from(value) })) } };
}

/** Returns the `request_body` of an answer. */
function body(message: Message, kind: 'request_body' | 'response_body'): { body?: Buffer; end_of_stream?: boolean } {
  const answer = message[kind] as { response: { body_mutation: { streamed_response: { body?: Buffer } } } };
  return answer.response.body_mutation.streamed_response;
}

test('a whole exchange arrives in order, and every kind of answer is understood', async (t) => {
  const seen: unknown[] = [];
  const server = await startServer({
    host: '127.0.0.1',
    port: 0,
    beforeFlush: () => {},
    handler: (exchange) => ({
      ...echo(exchange),
      requestHeaders(list, endOfStream, attributes) {
        seen.push(list, endOfStream, attributes.get('xds.route_name'));
        exchange.requestHeaders({ set: [['x-tallygate-route', 'é']], remove: ['cookie'], clearRouteCache: true });
      },
      responseTrailers() {
        exchange.responseTrailers();
        exchange.immediateResponse({ status: 429, headers: [['a', 'b']], body: Buffer.from('no'), details: 'why' });
      },
    }),
  });
  t.after(() => server.close(0));
  const client = grpcClient(server.address);
  t.after(() => client.close());
  const call = client.process();
  const answers = receive(call, 7);
  const attributes = { 'envoy.filters.http.ext_proc': { fields: { 'xds.route_name': { stringValue: 'entry' } } } };
  call.write({ request_headers: headers({ ':path': '/v1', cookie: 'a=b' }), attributes });
  call.write({ request_body: { body: Buffer.from('{}') } });
  call.write({ request_trailers: {} });
  call.write({ response_headers: headers({ ':status': '200' }) });
  call.write({ response_body: { end_of_stream: true } });
  call.write({ response_trailers: {} });
  const [first, second, third, fourth, fifth, sixth, seventh] = await answers;
  assert.deepEqual(seen, [
    [
      [':path', '/v1'],
      ['cookie', 'a=b'],
    ],
    false,
    'entry',
  ]);
  assert.deepEqual(first!['request_headers'], {
    response: {
      header_mutation: {
        set_headers: [
          {
            header: { key: 'x-tallygate-route', raw_value: Buffer.from('é', 'latin1') },
            append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
          },
        ],
        remove_headers: ['cookie'],
      },
      clear_route_cache: true,
    },
  });
  assert.equal(String(body(second!, 'request_body').body), '{}');
  assert.deepEqual(third!['request_trailers'], {});
  assert.deepEqual(fourth!['response_headers'], { response: {} });
  assert.deepEqual(body(fifth!, 'response_body'), { end_of_stream: true });
  assert.deepEqual(sixth!['response_trailers'], {});
  assert.deepEqual(seventh!['immediate_response'], {
    status: { code: 429 },
    headers: {
      set_headers: [{ header: { key: 'a', raw_value: Buffer.from('b') }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }],
    },
    body: Buffer.from('no'),
    details: 'why',
  });
  const ended = status(call);
  call.end();
  assert.equal((await ended).code, grpc.status.OK);
});

test('large bodies arrive in pieces of at most 64 KB, in order, and return whole', async (t) => {
  const { server, exchanges } = await record();
  t.after(() => server.close(0));
  const client = grpcClient(server.address);
  t.after(() => client.close());
  const sent = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 31 + (index >> 8)) & 0xff));
  const call = client.process();
  const chunks: Buffer[] = [];
  const done = new Promise<void>((resolve) => {
    call.on('data', (message: Message) => {
      const { body: chunk, end_of_stream: end } = body(message, 'response_body');
      if (chunk !== undefined) {
        chunks.push(chunk);
      }
      if (end === true) {
        resolve();
      }
    });
  });
  for (let at = 0; at < sent.length; at += 1_000_000) {
    call.write({ response_body: { body: sent.subarray(at, at + 1_000_000), end_of_stream: at === 2_000_000 } });
  }
  await done;
  assert.deepEqual(Buffer.concat(chunks), sent);
  const sizes = exchanges[0]!.bodies.map((piece) => piece.length);
  assert.ok(Math.max(...sizes) <= 65_536);
  assert.equal(server.unsentBytes, 0);
  const ended = status(call);
  call.end();
  assert.equal((await ended).code, grpc.status.OK);
});

test('500 concurrent calls each get their own answers', async (t) => {
  const { server, exchanges } = await record();
  t.after(() => server.close(0));
  const client = grpcClient(server.address);
  t.after(() => client.close());
  const calls = Array.from({ length: 500 }, () => client.process());
  const answers = await Promise.all(
    calls.map((call, index) => {
      const two = receive(call, 2);
      call.write({ request_headers: headers({ ':path': `/${index}` }) });
      call.write({ request_body: { body: Buffer.from(`body ${index}`), end_of_stream: true } });
      return two;
    }),
  );
  answers.forEach(([, second], index) => {
    assert.equal(String(body(second!, 'request_body').body), `body ${index}`);
  });
  assert.equal(server.openStreams, 500);
  const codes = await Promise.all(
    calls.map((call) => {
      const ended = status(call);
      call.end();
      return ended;
    }),
  );
  assert.ok(codes.every(({ code }) => code === grpc.status.OK));
  assert.equal(server.openStreams, 0);
  assert.ok(exchanges.every(({ calls: each }) => each.filter((call) => call.startsWith('closed')).length === 1));
  assert.ok(exchanges.every(({ calls: each }) => each.at(-1) === 'closed true'));
});

test('other methods are unimplemented, and the health check reports readiness', async (t) => {
  let serving = true;
  const { server } = await record(echo, { serving: () => serving });
  t.after(() => server.close(0));
  const client = new grpc.Client(`unix:${server.address}`, grpc.credentials.createInsecure());
  t.after(() => client.close());
  const call = (path: string): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const bytes = (value: Buffer): Buffer => value;
      client.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(0), (error, value) => {
        if (error !== null) {
          reject(error);
        } else {
          resolve(value!);
        }
      });
    });
  assert.deepEqual([...(await call('/grpc.health.v1.Health/Check'))], [8, 1]);
  serving = false;
  assert.deepEqual([...(await call('/grpc.health.v1.Health/Check'))], [8, 2]);
  await assert.rejects(call('/envoy.service.ext_proc.v3.ExternalProcessor/Other'), { code: grpc.status.UNIMPLEMENTED });
  assert.equal(server.openStreams, 0);
});

test('a handler that has ended receives nothing, and its later output is dropped', async (t) => {
  const { server, exchanges } = await record((exchange) => ({
    requestHeaders() {
      exchange.requestHeaders({});
      exchange.end();
      exchange.end();
      exchange.requestTrailers();
    },
  }));
  t.after(() => server.close(0));
  const client = grpcClient(server.address);
  t.after(() => client.close());
  const call = client.process();
  const answers: Message[] = [];
  call.on('data', (message: Message) => answers.push(message));
  const ended = status(call);
  call.write({ request_headers: headers({}) });
  assert.equal((await ended).code, grpc.status.OK);
  assert.equal(answers.length, 1);
  assert.deepEqual(exchanges[0]!.calls.slice(0, 1), ['request-headers']);
});

test('errors of handler and peer end one call with a status, and others continue', async (t) => {
  const { server, exchanges, logged } = await record((exchange, index) => ({
    ...echo(exchange),
    requestBody(bytes, endOfStream) {
      if (index === 1) {
        throw new Error('fault');
      }
      if (index === 2) {
        exchange.abort();
      }
      if (index === 3) {
        exchange.abort();
      }
      if (index === 3) {
        throw new Error('fault');
      }
      exchange.requestBody(bytes, endOfStream);
    },
    closed() {
      if (index === 1) {
        throw new Error('fault in closed');
      }
    },
  }));
  t.after(() => server.close(0));
  const client = grpcClient(server.address);
  t.after(() => client.close());
  const good = client.process();
  const answer = receive(good, 1);
  for (const index of [1, 2, 3]) {
    const call = client.process();
    const ended = status(call);
    call.write({ request_headers: headers({}) });
    call.write({ request_body: {} });
    assert.equal((await ended).code, grpc.status.INTERNAL);
    assert.deepEqual(exchanges[index]!.calls, ['request-headers', 'request-body', 'closed false']);
  }
  good.write({ request_body: { body: Buffer.from('fine') } });
  assert.equal(String(body((await answer)[0]!, 'request_body').body), 'fine');
  assert.equal(server.counters.handlerErrors, 3);
  assert.ok(logged.includes('exchange failed') && logged.includes('exchange failed while closing'));
  assert.equal(server.openStreams, 1);
});

test('an exception while a handler is created fails only its call', async (t) => {
  let made = 0;
  const { server } = await record((exchange) => {
    if (made++ === 0) {
      throw new Error('no');
    }
    return echo(exchange);
  });
  t.after(() => server.close(0));
  const peer = new Peer(server.address);
  t.after(() => peer.destroy());
  peer.send(open(1), requestHeaders(1), open(3), requestHeaders(3));
  await peer.settle();
  assert.equal(peer.grpcStatus(1), grpc.status.INTERNAL);
  assert.equal(peer.answers(3).length, 1);
  assert.equal(server.openStreams, 1);
});

test('malformed messages end their call with an error', async (t) => {
  const { server, exchanges } = await record(echo, { limits: { maxMessageBytes: 1000 } });
  t.after(() => server.close(0));
  const peer = new Peer(server.address);
  t.after(() => peer.destroy());
  const bad = [grpcBytes(Buffer.from([0x2a, 0x7f])), grpcBytes(Buffer.alloc(0)), Buffer.from([1, 0, 0, 0, 0])];
  bad.push(Buffer.from([0, 0, 0, 4, 0]), grpcBytes(Buffer.alloc(1001)));
  bad.forEach((bytes, index) => {
    peer.send(open(index * 2 + 1), frame(0, 0, index * 2 + 1, bytes), responseBody(index * 2 + 1, Buffer.from('late')));
  });
  peer.send(open(101), frame(0, 0, 101, grpcBytes(Buffer.alloc(10)).subarray(0, 8)), halfClose(101));
  await peer.settle();
  for (const [index, recorded] of exchanges.entries()) {
    const streamId = index === bad.length ? 101 : index * 2 + 1;
    assert.deepEqual(recorded.calls, ['closed false'], `case ${index}`);
    assert.equal(peer.grpcStatus(streamId), grpc.status.INVALID_ARGUMENT, `case ${index}`);
  }
  assert.equal(exchanges.length, 6);
  assert.equal(server.counters.streamsMalformed, 6);
  assert.equal(server.openStreams, 0);
});

test('a lost connection closes every exchange once, not cleanly', async (t) => {
  const { server, exchanges } = await record();
  t.after(() => server.close(0));
  const peer = new Peer(server.address);
  for (let streamId = 1; streamId < 2000; streamId += 2) {
    peer.send(open(streamId), requestHeaders(streamId));
  }
  await peer.settle();
  assert.equal(server.openStreams, 1000);
  peer.destroy();
  while (server.openStreams > 0) {
    await new Promise(setImmediate);
  }
  assert.ok(exchanges.every(({ calls }) => calls.join() === 'request-headers,closed false'));
});

test('closing waits for open calls, and ends the rest at the deadline', async () => {
  const { server, exchanges } = await record();
  const peer = new Peer(server.address);
  peer.send(open(1), requestHeaders(1), open(3), requestHeaders(3));
  await peer.settle();
  const closing = server.close(60_000);
  await peer.until(() => peer.goAwayCode === 0, 'GOAWAY');
  // The client has noticed the end only now: earlier calls are served.
  peer.send(open(5), requestHeaders(5));
  const ping = peer.frames.find(({ type, flags }) => type === PING && flags === 0)!;
  peer.send(frame(PING, ACK, 0, ping.payload), halfClose(1), halfClose(3));
  await peer.settle();
  assert.equal(peer.answers(5).length, 1);
  assert.equal(peer.closed, false);
  peer.send(halfClose(5));
  await closing;
  assert.equal(peer.ended(5), true);
  assert.ok(exchanges.every(({ calls }) => calls.at(-1) === 'closed true'));

  const again = await record();
  const stubborn = new Peer(again.server.address);
  stubborn.send(open(1), requestHeaders(1));
  await stubborn.settle();
  await again.server.close(10);
  assert.deepEqual(again.exchanges[0]!.calls, ['request-headers', 'closed false']);
});

test('the socket file of a killed process is replaced, that of a running one is not', async () => {
  const first = await record();
  const path = first.server.address;
  await assert.rejects(startServer({ path, handler: echo, beforeFlush: () => {} }), { code: 'EADDRINUSE' });
  await first.server.close(0);
  // A killed process leaves its file behind. Closing would remove the file, so the test creates one
  // that nobody listens on.
  const stale = createServer();
  await new Promise<void>((resolve) => stale.listen(path, resolve));
  linkSync(path, `${path}.kept`);
  await new Promise((resolve) => stale.close(resolve));
  renameSync(`${path}.kept`, path);
  const second: Server = await startServer({ path, handler: echo, beforeFlush: () => {} });
  await second.close(0);
  writeFileSync(path, 'a file of someone');
  await assert.rejects(startServer({ path, handler: echo, beforeFlush: () => {} }), { code: 'EADDRINUSE' });
});
