/** All sockets share one read buffer, and bytes that must outlive a read are copied. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { readSocket } from './read-socket.ts';
import { credit, halfClose, message, open, Peer, responseBody } from './testing/peer.ts';
import { record } from './testing/record.ts';

const requestBody = (streamId: number, body: Buffer) =>
  message(streamId, { case: 'requestBody', value: { body, endOfStream: false } });

test('responses are read into the same memory, and request bodies may be retained', async (t) => {
  const memory = new Set<ArrayBufferLike>();
  const { server, exchanges } = await record(() => ({ responseBody: (bytes) => memory.add(bytes.buffer) }));
  t.after(() => server.close(0));
  const bodies = [Buffer.alloc(100, 'a'), Buffer.alloc(9_000, 'b'), Buffer.alloc(15_000, 'c')];
  for (let round = 0; round < 3; round++) {
    const peer = new Peer(server.address);
    t.after(() => peer.destroy());
    peer.send(open(1));
    for (const body of bodies) {
      peer.send(requestBody(1, body));
      await peer.settle();
      peer.send(responseBody(1, body));
      await peer.settle();
    }
  }
  assert.equal(memory.size, 1);
  for (const { bodies: kept } of exchanges) {
    const requests = kept.filter((_, index) => index % 2 === 0);
    assert.deepEqual(
      requests.map((bytes) => Buffer.from(bytes)),
      bodies,
    );
  }
});

test('input that a slice had no time for is read in the next one, although more arrived meanwhile', async (t) => {
  // Each slice ends after its first messages.
  const { server } = await record(undefined, { limits: { sliceMs: 0 } });
  t.after(() => server.close(0));
  const peers = [new Peer(server.address), new Peer(server.address)];
  t.after(() => peers.forEach((peer) => void peer.destroy()));
  const parts = peers.map((_, nth) => Array.from({ length: 200 }, (_, at) => Buffer.alloc(300, at + nth)));
  for (const [nth, peer] of peers.entries()) {
    peer.send(open(1), ...parts[nth]!.map((part) => responseBody(1, part)), halfClose(1));
  }
  for (const [nth, peer] of peers.entries()) {
    await peer.until(() => peer.ended(1), 'the trailers');
    assert.deepEqual(answered(peer), Buffer.concat(parts[nth]!));
  }
});

test('an answer that waits for its client does not change while others are read', async (t) => {
  const { server } = await record();
  t.after(() => server.close(0));
  const peer = new Peer(server.address, { windowBytes: 100 });
  t.after(() => peer.destroy());
  const body = randomBytes(50_000);
  peer.send(open(1), responseBody(1, body));
  await peer.settle();
  peer.send(open(3), responseBody(3, randomBytes(60_000)));
  await peer.settle();
  peer.send(credit(1, 100_000), halfClose(1));
  await peer.until(() => peer.ended(1), 'the trailers');
  assert.deepEqual(answered(peer), body);
});

function answered(peer: Peer): Buffer {
  const bodies = peer.answers(1).map(({ response }) => {
    assert.equal(response.case, 'responseBody');
    const { mutation } = response.value!.response!.bodyMutation!;
    assert.equal(mutation.case, 'streamedResponse');
    return mutation.value.body;
  });
  return Buffer.concat(bodies);
}

test('such a socket can be paused, sees the end, and is removed from the server’s count', async (t) => {
  let socket: Socket | undefined;
  const got: string[] = [];
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    socket = readSocket(accepted, (bytes) => got.push(bytes.toString()));
    socket.pause();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const accepted = new Promise((done) => server.once('connection', done));
  const client = connect(port, '127.0.0.1');
  await accepted;
  client.end('hello');
  await new Promise((done) => client.once('finish', done));
  assert.deepEqual(got, []);
  const closed = new Promise((done) => socket!.once('close', done));
  socket!.resume();
  await closed;
  assert.deepEqual(got, ['hello']);
  await new Promise((done) => server.close(done));
});
