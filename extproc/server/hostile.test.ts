/**
 * Peers that break the protocol, on purpose or not: the process survives, other connections are not
 * affected, and every exchange is closed once.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import * as h2 from './frames.ts';
import { echo } from './testing/echo.ts';
import { credit, halfClose, open, Peer, requestHeaders, reset, responseBody } from './testing/peer.ts';
import { type Recorder, record } from './testing/record.ts';

function closedOnce({ exchanges }: Recorder): void {
  for (const { calls } of exchanges) {
    assert.equal(calls.filter((call) => call.startsWith('closed')).length, 1);
    assert.ok(calls.at(-1)?.startsWith('closed'));
  }
}

/** The witness is another connection that must keep working. */
async function works(peer: Peer, streamId: number): Promise<void> {
  peer.send(open(streamId), requestHeaders(streamId), halfClose(streamId));
  await peer.until(() => peer.ended(streamId), 'the witness');
  assert.equal(peer.answers(streamId).length, 1);
}

const hello = [h2.PREFACE, h2.frame(h2.SETTINGS, 0, 0, new Uint8Array())];
const headersFlags = h2.END_HEADERS;

const broken: Readonly<Record<string, readonly [code: number, ...frames: Uint8Array[]]>> = {
  'not HTTP/2': [h2.PROTOCOL_ERROR, Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n')],
  'no SETTINGS': [h2.PROTOCOL_ERROR, h2.PREFACE, open(1)],
  'DATA before SETTINGS': [h2.PROTOCOL_ERROR, h2.PREFACE, h2.frame(h2.DATA, 0, 1, Buffer.alloc(4))],
  'frame too large': [h2.FRAME_SIZE_ERROR, ...hello, Buffer.from([0, 0x40, 1, 0, 0, 0, 0, 0, 1])],
  'DATA of an idle stream': [h2.PROTOCOL_ERROR, ...hello, h2.frame(h2.DATA, 0, 5, Buffer.alloc(4))],
  'DATA of stream 0': [h2.PROTOCOL_ERROR, ...hello, h2.frame(h2.DATA, 0, 0, Buffer.alloc(4))],
  'reset of an idle stream': [h2.PROTOCOL_ERROR, ...hello, reset(9)],
  'credit of an idle stream': [h2.PROTOCOL_ERROR, ...hello, credit(9, 1)],
  'credit of nothing': [h2.PROTOCOL_ERROR, ...hello, credit(0, 0)],
  'too much credit': [h2.FLOW_CONTROL_ERROR, ...hello, credit(0, h2.MAX_WINDOW_BYTES)],
  'window too large': [
    h2.FLOW_CONTROL_ERROR,
    ...hello,
    h2.frame(h2.SETTINGS, 0, 0, h2.settingsPayload([[h2.SETTINGS_INITIAL_WINDOW_SIZE, 0x80000000]])),
  ],
  'SETTINGS on a stream': [h2.PROTOCOL_ERROR, ...hello, h2.frame(h2.SETTINGS, 0, 1, new Uint8Array())],
  'invalid SETTINGS length': [h2.FRAME_SIZE_ERROR, ...hello, h2.frame(h2.SETTINGS, 0, 0, new Uint8Array(5))],
  'acknowledgement with a payload': [
    h2.FRAME_SIZE_ERROR,
    ...hello,
    h2.frame(h2.SETTINGS, h2.ACK, 0, new Uint8Array(6)),
  ],
  'short PING': [h2.FRAME_SIZE_ERROR, ...hello, h2.frame(h2.PING, 0, 0, new Uint8Array(7))],
  'PING on a stream': [h2.PROTOCOL_ERROR, ...hello, h2.frame(h2.PING, 0, 1, new Uint8Array(8))],
  push: [h2.PROTOCOL_ERROR, ...hello, h2.frame(h2.PUSH_PROMISE, 0, 1, new Uint8Array(8))],
  "a server's stream": [h2.PROTOCOL_ERROR, ...hello, open(2)],
  'padding beyond a HEADERS frame': [
    h2.PROTOCOL_ERROR,
    ...hello,
    h2.frame(h2.HEADERS, headersFlags | h2.PADDED, 1, Buffer.from([9, 0x83])),
  ],
  'padding beyond a DATA frame': [
    h2.PROTOCOL_ERROR,
    ...hello,
    open(1),
    h2.frame(h2.DATA, h2.PADDED, 1, Buffer.from([9, 1])),
  ],
  'padding without its length': [
    h2.FRAME_SIZE_ERROR,
    ...hello,
    open(1),
    h2.frame(h2.DATA, h2.PADDED, 1, new Uint8Array()),
  ],
  'bad header block': [
    h2.COMPRESSION_ERROR,
    ...hello,
    h2.frame(h2.HEADERS, headersFlags, 1, Buffer.from([0xff, 0xff])),
  ],
  'unexpected CONTINUATION': [h2.PROTOCOL_ERROR, ...hello, h2.frame(h2.CONTINUATION, 0, 1, new Uint8Array())],
  'header block broken off': [
    h2.PROTOCOL_ERROR,
    ...hello,
    h2.frame(h2.HEADERS, 0, 1, Buffer.from([0x83])),
    h2.frame(h2.PING, 0, 0, new Uint8Array(8)),
  ],
  'header block without end': [
    h2.ENHANCE_YOUR_CALM,
    ...hello,
    h2.frame(h2.HEADERS, 0, 1, Buffer.from([0x83])),
    ...Array.from({ length: 100 }, () => h2.frame(h2.CONTINUATION, 0, 1, new Uint8Array())),
  ],
  'header block too large': [
    h2.ENHANCE_YOUR_CALM,
    ...hello,
    h2.frame(h2.HEADERS, 0, 1, Buffer.from([0x83])),
    ...Array.from({ length: 5 }, () => h2.frame(h2.CONTINUATION, 0, 1, new Uint8Array(16_000))),
  ],
};

test('a connection error is named in GOAWAY and ends only that connection', async (t) => {
  const recorder = await record();
  t.after(() => recorder.server.close(0));
  const witness = new Peer(recorder.server.address);
  t.after(() => witness.destroy());
  let streamId = 1;
  for (const [name, [code, ...frames]] of Object.entries(broken)) {
    const peer = new Peer(recorder.server.address, { closedForWriting: true });
    peer.send(...frames);
    await peer.until(() => peer.closed, `${name}: the end`);
    assert.equal(peer.goAwayCode, code, name);
    await works(witness, streamId);
    streamId += 2;
  }
  assert.equal(recorder.server.counters.connectionErrors, Object.keys(broken).length);
  assert.equal(recorder.server.openStreams, 0);
  closedOnce(recorder);
});

test('a stream error ends only that stream', async (t) => {
  const recorder = await record(echo, { limits: { maxConcurrentStreams: 3, streamWindowBytes: 40_000 } });
  t.after(() => recorder.server.close(0));
  const peer = new Peer(recorder.server.address);
  t.after(() => peer.destroy());
  peer.send(open(1), open(3), open(5), open(7), requestHeaders(7));
  await peer.settle();
  assert.equal(peer.of(7, h2.RST_STREAM)[0]?.payload.readUInt32BE(), h2.REFUSED_STREAM);
  peer.send(credit(1, 0), credit(3, h2.MAX_WINDOW_BYTES));
  await peer.settle();
  assert.equal(peer.of(1, h2.RST_STREAM)[0]?.payload.readUInt32BE(), h2.PROTOCOL_ERROR);
  assert.equal(peer.of(3, h2.RST_STREAM)[0]?.payload.readUInt32BE(), h2.FLOW_CONTROL_ERROR);
  // A message that never ends, beyond the window, gets no credit.
  recorder.exchanges[2]!.exchange.pause();
  const flood = Buffer.alloc(16_384);
  flood.writeUInt32BE(1_000_000, 1);
  peer.send(...Array.from({ length: 3 }, () => h2.frame(h2.DATA, 0, 5, flood)));
  await peer.settle();
  assert.equal(peer.of(5, h2.RST_STREAM)[0]?.payload.readUInt32BE(), h2.FLOW_CONTROL_ERROR);
  // Late frames for closed streams are no errors.
  peer.send(responseBody(5, Buffer.from('late')), credit(5, 1), reset(5), halfClose(1), open(3));
  peer.send(h2.frame(h2.PRIORITY, 0, 5, new Uint8Array(5)), h2.frame(0x77, 0xff, 9, new Uint8Array(3)));
  await peer.settle();
  assert.equal(peer.goAwayCode, undefined);
  await works(peer, 9);
  closedOnce(recorder);
});

/** A session with all kinds of legal oddities. */
function session(): Buffer {
  const padded = Buffer.concat([Buffer.from([7]), responseBody(1, Buffer.from('padded')).subarray(9), Buffer.alloc(7)]);
  const whole = open(3);
  return Buffer.concat([
    ...hello,
    h2.frame(h2.SETTINGS, h2.ACK, 0, new Uint8Array()),
    open(1),
    requestHeaders(1, '/one'),
    h2.frame(h2.DATA, h2.PADDED, 1, padded),
    h2.frame(h2.HEADERS, h2.HAS_PRIORITY, 3, Buffer.concat([Buffer.alloc(5), whole.subarray(9, 12)])),
    h2.frame(h2.CONTINUATION, 0, 3, whole.subarray(12, 30)),
    h2.frame(h2.CONTINUATION, h2.END_HEADERS, 3, whole.subarray(30)),
    h2.frame(h2.DATA, 0, 3, new Uint8Array()),
    responseBody(3, Buffer.alloc(300, 'y'), true),
    h2.frame(h2.PING, 0, 0, Buffer.from('12345678')),
    credit(3, 5),
    h2.frame(h2.DATA, h2.PADDED, 3, new Uint8Array(1)),
    halfClose(3),
    h2.frame(h2.DATA, h2.PADDED | h2.END_STREAM, 1, new Uint8Array([2, 0, 0])),
    open(5, '/no.such/Method', h2.END_STREAM),
  ]);
}

test('a session has the same meaning for every cut', async (t) => {
  const recorder = await record();
  t.after(() => recorder.server.close(0));
  const bytes = session();
  const run = async (cuts: readonly number[]): Promise<unknown> => {
    const peer = new Peer(recorder.server.address, { closedForWriting: true });
    let start = 0;
    for (const cut of [...cuts, bytes.length]) {
      peer.send(bytes.subarray(start, cut));
      start = cut;
      // Lets the server read the parts one by one.
      await new Promise(setImmediate);
      await new Promise(setImmediate);
    }
    await peer.until(() => peer.ended(1) && peer.ended(3) && peer.ended(5), `all ends, cut at ${cuts.join()}`);
    const result = [1, 3, 5].map((streamId) => [peer.answers(streamId), peer.grpcStatus(streamId)]);
    peer.destroy();
    return result;
  };
  const expected = await run([]);
  for (let cut = 1; cut < bytes.length; cut++) {
    assert.deepEqual(await run([cut]), expected);
  }
  const everywhere = Array.from({ length: bytes.length - 1 }, (_, index) => index + 1);
  assert.deepEqual(await run(everywhere), expected);
  closedOnce(recorder);
  assert.deepEqual(recorder.exchanges.at(-1)!.calls, ['response-body', 'closed true']);
});

test('random bytes, random frames and damaged sessions affect no other connection', async (t) => {
  const recorder = await record();
  t.after(() => recorder.server.close(0));
  const witness = new Peer(recorder.server.address);
  t.after(() => witness.destroy());
  const good = session();
  const frame = fc
    .tuple(fc.nat(10), fc.nat(255), fc.nat(8), fc.uint8Array({ maxLength: 60 }))
    .map(([type, flags, streamId, payload]) => h2.frame(type, flags, streamId, payload));
  const attack = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([...hello, bytes])),
    fc.array(frame, { maxLength: 30 }).map((frames) => Buffer.concat([...hello, ...frames])),
    fc
      .array(frame, { maxLength: 30 })
      .map((frames) => Buffer.concat([...hello, open(1), requestHeaders(1), ...frames])),
    fc.nat(good.length).map((cut) => good.subarray(0, cut)),
    fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }).map((changes) => {
      const damaged = Buffer.from(good);
      for (const [at, value] of changes) {
        damaged[at] = value;
      }
      return damaged;
    }),
  );
  let streamId = 1;
  await fc.assert(
    fc.asyncProperty(attack, async (bytes) => {
      const peer = new Peer(recorder.server.address, { closedForWriting: true });
      peer.send(bytes);
      peer.socket.end();
      await peer.until(() => peer.closed, 'the end of an attack');
      await works(witness, streamId);
      streamId += 2;
    }),
    fuzzRuns(600),
  );
  // The server may notice a closed connection later than the attacker.
  for (const from = performance.now(); recorder.server.openStreams > 0 && performance.now() - from < 5_000; ) {
    await new Promise(setImmediate);
  }
  assert.equal(recorder.server.openStreams, 0);
  assert.equal(recorder.server.counters.handlerErrors, 0);
  assert.equal(recorder.server.unsentBytes, 0);
  assert.equal(recorder.logged.includes('ext_proc connection failed'), false);
  closedOnce(recorder);
});

test('10,000 resets cause no GOAWAY, and a concurrent call is served', async (t) => {
  const recorder = await record();
  t.after(() => recorder.server.close(0));
  const peer = new Peer(recorder.server.address);
  t.after(() => peer.destroy());
  peer.send(open(1), requestHeaders(1));
  for (let index = 0; index < 10_000; index++) {
    const streamId = 3 + index * 2;
    peer.send(open(streamId), requestHeaders(streamId), reset(streamId));
  }
  peer.send(responseBody(1, Buffer.from('still here')), halfClose(1));
  await peer.until(() => peer.ended(1), 'the call');
  assert.equal(peer.goAwayCode, undefined);
  assert.equal(peer.answers(1).length, 2);
  assert.equal(recorder.server.counters.streamsReset, 10_000);
  assert.equal(recorder.server.openStreams, 0);
  closedOnce(recorder);
});

test('a peer that sends PINGs and never reads is disconnected', async (t) => {
  const recorder = await record();
  t.after(() => recorder.server.close(0));
  const peer = new Peer(recorder.server.address);
  await peer.settle();
  peer.socket.pause();
  const pings = Buffer.concat(Array.from({ length: 5000 }, () => h2.frame(h2.PING, 0, 0, new Uint8Array(8))));
  const flood = (): void => {
    while (!peer.closed && peer.socket.writable && peer.socket.writableLength < 1_000_000) {
      peer.send(pings);
    }
  };
  peer.socket.on('drain', flood);
  flood();
  const { server } = recorder;
  while (recorder.logged.length === 0) {
    await new Promise(setImmediate);
  }
  assert.deepEqual(recorder.logged, ['ext_proc peer too slow, closing connection']);
  assert.ok(server.unsentBytes < 3_000_000);
  peer.destroy();
});
