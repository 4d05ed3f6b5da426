/**
 * Flow control, fairness and bounds, with a raw HTTP/2 peer that reads and sends credit as the test
 * demands.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as h2 from './frames.ts';
import { BACKPRESSURE_BYTES, DEFAULT_LIMITS } from './limits.ts';
import { echo } from './testing/echo.ts';
import { credit, halfClose, message, open, Peer, requestHeaders, reset, responseBody } from './testing/peer.ts';
import { record } from './testing/record.ts';

const BODY = Buffer.alloc(100_000, 'x');

test("answers wait for the peer's stream window, byte for byte", async (t) => {
  const { server, exchanges } = await record();
  t.after(() => server.close(0));
  const peer = new Peer(server.address, { windowBytes: 1000 });
  t.after(() => peer.destroy());
  peer.send(open(1), responseBody(1, BODY), open(3), requestHeaders(3));
  await peer.settle();
  assert.equal(peer.dataBytes(1), 1000);
  assert.equal(peer.answers(3).length, 1, 'another stream is not held up');
  const whole = server.unsentBytes + 1000;
  assert.ok(whole > BODY.length && whole < BODY.length + 300);
  assert.equal(exchanges[0]!.exchange.unsentBytes, whole - 1000);
  peer.send(credit(1, 1));
  await peer.until(() => peer.dataBytes(1) === 1001, 'one byte more');
  peer.send(credit(1, 40_000));
  await peer.until(() => peer.dataBytes(1) === 41_001, '40,000 more');
  assert.ok(peer.of(1, h2.DATA).every(({ payload }) => payload.length <= 16_384));
  // A larger initial window also applies to open streams.
  const settings = h2.settingsPayload([[h2.SETTINGS_INITIAL_WINDOW_SIZE, 31_000]]);
  peer.send(h2.frame(h2.SETTINGS, 0, 0, settings));
  await peer.until(() => peer.dataBytes(1) === 71_001, '30,000 more');
  peer.send(credit(1, 1_000_000), halfClose(1));
  await peer.until(() => peer.ended(1), 'the trailers');
  assert.equal(peer.dataBytes(1), whole);
  const sent = peer.answers(1).map(({ response }) => {
    assert.equal(response.case, 'responseBody');
    const { mutation } = response.value!.response!.bodyMutation!;
    assert.equal(mutation.case, 'streamedResponse');
    return mutation.value.body;
  });
  assert.deepEqual(Buffer.concat(sent), BODY);
  assert.equal(server.unsentBytes, 0);
});

test('a message that exceeds the window waits, and so do the messages after it', async (t) => {
  const { server, exchanges } = await record();
  t.after(() => server.close(0));
  const peer = new Peer(server.address, { windowBytes: 10 });
  t.after(() => peer.destroy());
  peer.send(open(1), responseBody(1, Buffer.alloc(20)), requestHeaders(1));
  await peer.settle();
  assert.equal(peer.dataBytes(1), 10);
  peer.send(halfClose(1));
  await peer.settle();
  assert.equal(peer.ended(1), false, 'the end comes after what is unsent');
  peer.send(reset(1));
  await peer.settle();
  assert.deepEqual(exchanges[0]!.calls, ['response-body', 'request-headers', 'closed true']);
  assert.equal(server.unsentBytes, 0);
  assert.equal(server.openStreams, 0);
});

test('small answers of one slice share frames, up to the largest that a peer accepts', async (t) => {
  const { server } = await record(echo, { limits: { sliceMs: 1000 } });
  t.after(() => server.close(0));
  const peer = new Peer(server.address);
  t.after(() => peer.destroy());
  const bodies = Array.from({ length: 400 }, (_, index) => responseBody(1, Buffer.alloc(100, String(index % 10))));
  peer.send(open(1), ...bodies);
  await peer.until(() => peer.answers(1).length === 400, 'all answers');
  const sizes = peer.of(1, h2.DATA).map(({ payload }) => payload.length);
  assert.ok(sizes.length < 10 && Math.max(...sizes) <= 16_384, sizes.join());
});

test('the connection window is credited for all input, so that no stream stops others', async (t) => {
  const limits = { connectionWindowBytes: 300_000 };
  const { server, exchanges } = await record(
    (exchange) => {
      exchange.pause();
      return {};
    },
    { limits },
  );
  t.after(() => server.close(0));
  const peer = new Peer(server.address);
  t.after(() => peer.destroy());
  for (let streamId = 1; streamId < 20; streamId += 2) {
    peer.send(open(streamId), responseBody(streamId, BODY));
  }
  await peer.settle();
  assert.equal(peer.goAwayCode, undefined);
  assert.ok(exchanges.every(({ bodies }) => Buffer.concat(bodies).length === BODY.length));
  const credited = peer.of(0, h2.WINDOW_UPDATE).reduce((sum, { payload }) => sum + payload.readUInt32BE(), 0);
  assert.ok(credited >= 1_000_000 - 150_000);
});

test("the connection's window is shared in turns, and ends need no window", async (t) => {
  const { server } = await record();
  t.after(() => server.close(0));
  const peer = new Peer(server.address, { closedForWriting: true });
  t.after(() => peer.destroy());
  const large = h2.settingsPayload([[h2.SETTINGS_INITIAL_WINDOW_SIZE, h2.MAX_WINDOW_BYTES]]);
  peer.send(h2.PREFACE, h2.frame(h2.SETTINGS, 0, 0, large));
  for (const streamId of [1, 3, 5]) {
    peer.send(open(streamId), responseBody(streamId, BODY));
  }
  peer.send(open(7), halfClose(7));
  await peer.settle();
  const received = (): number => [1, 3, 5].reduce((sum, streamId) => sum + peer.dataBytes(streamId), 0);
  assert.equal(received(), h2.DEFAULT_WINDOW_BYTES);
  assert.equal(peer.ended(7), true);
  peer.send(credit(0, 190_000));
  await peer.until(() => received() === h2.DEFAULT_WINDOW_BYTES + 190_000, 'what was credited');
  assert.ok(Math.min(peer.dataBytes(1), peer.dataBytes(3), peer.dataBytes(5)) >= 60_000);
  peer.send(credit(0, 1_000_000));
  await peer.until(() => received() > 300_000, 'the rest');
  assert.equal(server.unsentBytes, 0);
});

test('a handler is notified once when its queue has drained', async (t) => {
  const { server, exchanges } = await record();
  t.after(() => server.close(0));
  const peer = new Peer(server.address, { windowBytes: 0 });
  t.after(() => peer.destroy());
  peer.send(open(1), responseBody(1, BODY), open(3), responseBody(3, BODY.subarray(0, 60_000)));
  await peer.settle();
  peer.send(credit(1, 60_000));
  await peer.until(() => peer.dataBytes(1) === 60_000, 'a part');
  assert.equal(exchanges[0]!.calls.includes('drained'), false);
  peer.send(credit(1, 30_000), credit(3, 100_000));
  await peer.until(() => peer.dataBytes(1) === 90_000, 'nearly all');
  await peer.settle();
  peer.send(credit(1, 30_000));
  await peer.settle();
  assert.deepEqual(
    exchanges[0]!.calls.filter((call) => call !== 'response-body'),
    ['drained'],
  );
  assert.equal(exchanges[0]!.calls.at(-1), 'drained');
  assert.equal(exchanges[1]!.calls.includes('drained'), false, 'it never had much unsent');
});

test('a paused stream gets no credit beyond its window until it is resumed; others continue', async (t) => {
  const window = DEFAULT_LIMITS.streamWindowBytes;
  const { server, exchanges } = await record((exchange, index) => {
    if (index === 0) {
      exchange.pause();
    }
    return index === 0 ? {} : echo(exchange);
  });
  t.after(() => server.close(0));
  const peer = new Peer(server.address);
  t.after(() => peer.destroy());
  const credited = (streamId: number): number =>
    peer.of(streamId, h2.WINDOW_UPDATE).reduce((sum, { payload }) => sum + payload.readUInt32BE(), 0);
  const chunk = (streamId: number): Buffer => responseBody(streamId, Buffer.alloc(16_000));
  peer.send(open(1), open(3));
  for (let sent = 0; sent + 16_100 < window; sent += 16_100) {
    peer.send(chunk(1), chunk(3));
  }
  await peer.settle();
  assert.equal(credited(1), 0);
  assert.ok(credited(3) >= window / 2);
  assert.ok(exchanges[0]!.bodies.length > 5, 'what was credited is handed on');
  for (let index = 0; index < 4; index++) {
    peer.send(chunk(3));
  }
  await peer.settle();
  exchanges[0]!.exchange.resume();
  await peer.until(() => credited(1) > window / 2, 'credit');
  // Far more than the window: credit continues as messages are consumed, even within a message
  // larger than the window.
  const large = message(1, { case: 'responseBody', value: { body: Buffer.alloc(window * 8) } });
  let at = 0;
  let budget = 1000;
  while (at < large.length && budget-- > 0) {
    const bound = credited(1) + window - 100_000;
    const start = at;
    while (at < large.length && at - start < bound) {
      at += 9 + large.readUIntBE(at, 3);
    }
    peer.send(large.subarray(start, at));
    const before = credited(1);
    if (at < large.length) {
      await peer.until(() => credited(1) > before, 'credit within a message');
    }
  }
  await peer.settle();
  const handed = exchanges[0]!.bodies.reduce((sum, body) => sum + body.length, 0);
  assert.ok(handed > window * 8);
});

test('all output of a slice leaves together, after beforeFlush', async (t) => {
  const order: string[] = [];
  const { server } = await record(
    (exchange) => ({
      requestHeaders() {
        order.push('answer');
        exchange.requestHeaders({});
      },
    }),
    { beforeFlush: () => order.push('journal'), limits: { sliceMs: 1000 } },
  );
  t.after(() => server.close(0));
  const peer = new Peer(server.address);
  t.after(() => peer.destroy());
  await peer.settle();
  order.length = 0;
  const frames: Buffer[] = [];
  for (let streamId = 1; streamId < 100; streamId += 2) {
    frames.push(open(streamId), requestHeaders(streamId));
  }
  let reads = 0;
  peer.socket.on('data', () => {
    reads++;
  });
  peer.send(...frames);
  await peer.until(() => peer.answers(99).length === 1, 'the answers');
  assert.equal(order.filter((entry) => entry === 'answer').length, 50);
  assert.equal(order.indexOf('journal'), 50, 'no journal before the answers, one after them');
  assert.equal(reads, 1, 'one write');
});

test('nothing leaves when the journal fails', async (t) => {
  let fail = false;
  const { server, exchanges } = await record(echo, {
    beforeFlush: () => {
      if (fail) {
        throw new Error('disk full');
      }
    },
  });
  t.after(() => server.close(0));
  const peer = new Peer(server.address);
  await peer.settle();
  fail = true;
  const before = peer.frames.length;
  peer.send(open(1), requestHeaders(1));
  await peer.until(() => peer.closed, 'the end of the connection');
  assert.equal(peer.frames.length, before);
  assert.equal(exchanges[0]!.calls.at(-1), 'closed false');
  fail = false;
  const next = new Peer(server.address);
  t.after(() => next.destroy());
  next.send(open(1), requestHeaders(1));
  await next.settle();
  assert.equal(next.answers(1).length, 1);
});

test('past the bound of unsent bytes, the stream with the most is reset', async (t) => {
  const { server, exchanges } = await record(echo, { limits: { maxUnsentBytes: 350_000 } });
  t.after(() => server.close(0));
  const peer = new Peer(server.address, { windowBytes: 0 });
  const other = new Peer(server.address, { windowBytes: 0 });
  t.after(() => peer.destroy());
  t.after(() => other.destroy());
  peer.send(open(1), responseBody(1, BODY));
  await peer.settle();
  other.send(open(1), responseBody(1, BODY), responseBody(1, BODY));
  await other.settle();
  assert.equal(server.counters.streamsEvicted, 0);
  peer.send(open(3), responseBody(3, BODY));
  await peer.settle();
  await other.until(() => other.wasReset(1), 'the reset');
  assert.deepEqual(
    exchanges.map(({ calls }) => calls.at(-1)),
    ['response-body', 'closed false', 'response-body'],
  );
  assert.ok(server.unsentBytes < 250_000);
  peer.send(reset(1), reset(3));
  await peer.settle();
  assert.equal(server.unsentBytes, 0, 'what a peer resets is dropped');
});

test('a peer that stops reading its socket delays only itself, and takes little memory', async (t) => {
  const { server } = await record();
  t.after(() => server.close(0));
  const stuck = new Peer(server.address);
  t.after(() => stuck.destroy());
  await stuck.settle();
  stuck.socket.pause();
  let sent = 0;
  for (let streamId = 1; sent < BACKPRESSURE_BYTES * 3; streamId += 2) {
    stuck.send(open(streamId), responseBody(streamId, BODY));
    sent += BODY.length;
  }
  while (server.unsentBytes < BACKPRESSURE_BYTES) {
    await new Promise(setImmediate);
  }
  const peer = new Peer(server.address);
  t.after(() => peer.destroy());
  peer.send(open(1), requestHeaders(1));
  await peer.settle();
  assert.equal(peer.answers(1).length, 1);
  assert.ok(server.unsentBytes < BACKPRESSURE_BYTES + 1_000_000, `${server.unsentBytes} bytes: it is read no more`);
  const { bytesReceived } = server.counters;
  await peer.settle();
  assert.ok(server.counters.bytesReceived - bytesReceived < 1000);
  stuck.socket.resume();
  await stuck.until(() => server.unsentBytes === 0, 'everything');
});

test('work yields to the event loop, in the order of the messages', async (t) => {
  const busy = (ms: number): void => {
    const end = performance.now() + ms;
    while (performance.now() < end) {}
  };
  const { server, exchanges } = await record((exchange) => ({
    responseBody(bytes, endOfStream) {
      busy(1);
      exchange.responseBody(bytes, endOfStream);
    },
  }));
  t.after(() => server.close(0));
  const peer = new Peer(server.address);
  t.after(() => peer.destroy());
  await peer.settle();
  let passes = 0;
  let going = true;
  const pass = (): void => {
    passes++;
    if (going) {
      setImmediate(pass);
    }
  };
  setImmediate(pass);
  const frames: Buffer[] = [];
  for (let streamId = 1; streamId < 400; streamId += 2) {
    frames.push(open(streamId), responseBody(streamId, Buffer.from('a')), halfClose(streamId));
  }
  const large = Buffer.alloc(4_000_000, 'b');
  frames.push(
    open(401),
    message(401, { case: 'responseBody', value: { body: large, endOfStream: true } }),
    halfClose(401),
  );
  peer.send(...frames);
  await peer.until(() => peer.ended(401), 'the last answer');
  going = false;
  // 260 ms of work in total, in slices of 1 ms.
  assert.ok(passes > 50, `${passes} passes of the event loop`);
  const last401 = exchanges.at(-1)!;
  assert.equal(Buffer.concat(last401.bodies).length, large.length);
  assert.equal(last401.calls.at(-1), 'closed true');
  assert.equal(peer.answers(401).length, last401.bodies.length);
});
