/** The memory of request bodies is used again, and never while somebody may still read it. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { newRandom } from '../../tools/fuzz/random.ts';
import type { Exchange, ExchangeHandler } from '../exchange.ts';
import { BLOCK_BYTES } from './body-blocks.ts';
import { credit, message, open, Peer, reset } from './testing/peer.ts';
import { record } from './testing/record.ts';

/** Sends the body back when it is complete, and releases it, as a session does. */
function collect(exchange: Exchange): Partial<ExchangeHandler> {
  const pieces: Uint8Array[] = [];
  return {
    requestBody(bytes, endOfStream) {
      pieces.push(bytes);
      if (!endOfStream) {
        return;
      }
      for (const [index, piece] of pieces.entries()) {
        exchange.requestBody(piece, index === pieces.length - 1);
      }
      exchange.releaseRequestBody();
    },
  };
}

async function collecting(t: TestContext, handlers = collect) {
  const recorder = await record(handlers);
  t.after(() => recorder.server.close(0));
  return {
    ...recorder,
    peer: (windowBytes?: number) => {
      const peer = new Peer(recorder.server.address, windowBytes === undefined ? {} : { windowBytes });
      t.after(() => peer.destroy());
      return peer;
    },
    blocks: () => new Set(recorder.exchanges.flatMap(({ bodies }) => bodies.map(({ buffer }) => buffer))),
  };
}

/** Bytes that tell of which stream they are, and where. */
function bodyOf(seed: number, length: number): Buffer {
  return Buffer.alloc(length, newRandom(seed).bytes(251));
}

function upload(streamId: number, body: Buffer): Buffer {
  return message(streamId, { case: 'requestBody', value: { body, endOfStream: true } });
}

function returned(peer: Peer, streamId: number): Buffer {
  const pieces = peer.answers(streamId).map(({ response }) => {
    assert.equal(response.case, 'requestBody');
    const { mutation } = response.value!.response!.bodyMutation!;
    assert.equal(mutation.case, 'streamedResponse');
    return mutation.value.body;
  });
  return Buffer.concat(pieces);
}

const hasReturned = (peer: Peer, streamId: number, body: Buffer) => peer.dataBytes(streamId) > body.length;

test('bodies that come one after the other share their blocks', async (t) => {
  const { peer: connect, blocks } = await collecting(t);
  const peer = connect();
  for (let index = 0; index < 10; index++) {
    const body = bodyOf(index, 4 * BLOCK_BYTES);
    const id = 2 * index + 1;
    peer.send(open(id), upload(id, body));
    await peer.until(() => hasReturned(peer, id, body), 'the body');
    await peer.settle();
    assert.ok(returned(peer, id).equals(body));
  }
  assert.ok(blocks().size <= 6, `${blocks().size} blocks`);
});

test('a body that nobody releases keeps its blocks', async (t) => {
  const kept: Uint8Array[] = [];
  const { peer: connect } = await collecting(t, () => ({ requestBody: (bytes) => kept.push(bytes) }));
  const peer = connect();
  const bodies = [bodyOf(1, 3 * BLOCK_BYTES), bodyOf(2, 3 * BLOCK_BYTES)];
  for (const [index, body] of bodies.entries()) {
    peer.send(open(2 * index + 1), upload(2 * index + 1, body));
    await peer.settle();
    peer.send(reset(2 * index + 1));
    await peer.settle();
  }
  assert.ok(Buffer.concat(kept).equals(Buffer.concat(bodies)));
});

test('blocks that wait for the window of their stream are not used for others', async (t) => {
  const { peer: connect } = await collecting(t);
  const slow = connect(1000);
  const first = bodyOf(1, 5 * BLOCK_BYTES);
  slow.send(open(1), upload(1, first));
  await slow.until(() => slow.dataBytes(1) === 1000, 'the first bytes');
  await slow.settle();
  const second = bodyOf(2, 5 * BLOCK_BYTES);
  const other = connect();
  other.send(open(1), upload(1, second));
  await other.until(() => hasReturned(other, 1, second), 'the second body');
  slow.send(credit(1, 1_000_000));
  await slow.until(() => hasReturned(slow, 1, first), 'the first body');
  await slow.settle();
  assert.ok(returned(slow, 1).equals(first));
  assert.ok(returned(other, 1).equals(second));
});

test('blocks that the kernel has not accepted are not used for others', async (t) => {
  const { server, peer: connect } = await collecting(t);
  const blocked = connect();
  await blocked.settle();
  blocked.socket.pause();
  // Leaves in one write, of which the kernel accepts a part.
  const first = bodyOf(0, 7.5 * BLOCK_BYTES);
  blocked.send(open(1), upload(1, first));
  const other = connect();
  for (let tries = 0; server.unsentBytes === 0 && tries < 1000; tries++) {
    await other.settle();
  }
  await other.settle();
  assert.ok(server.unsentBytes > 0, 'the kernel accepts everything');
  for (let id = 1; id < 8; id += 2) {
    const body = bodyOf(id, 3 * BLOCK_BYTES);
    other.send(open(id), upload(id, body));
    await other.until(() => hasReturned(other, id, body), 'a body of the other connection');
    await other.settle();
    assert.ok(returned(other, id).equals(body));
  }
  blocked.socket.resume();
  await blocked.until(() => hasReturned(blocked, 1, first), 'the body of the blocked connection');
  await blocked.settle();
  assert.ok(returned(blocked, 1).equals(first));
});

test('whatever comes, waits or ends, each stream gets its own bytes', async (t) => {
  const { peer: connect, blocks, exchanges } = await collecting(t);
  const random = newRandom(20_261_128);
  const peers = [connect(20_000), connect(200_000), connect(1_000_000)];
  const running: { readonly peer: Peer; readonly id: number; readonly body: Buffer }[] = [];
  for (let index = 0; index < 120; index++) {
    const peer = random.pick(peers);
    const id = 2 * index + 1;
    const body = bodyOf(index, random.between(1000, 200_000));
    peer.send(open(id), upload(id, body));
    running.push({ peer, id, body });
    const some = random.pick(running);
    if (random.next() < 0.2) {
      some.peer.send(reset(some.id));
      running.splice(running.indexOf(some), 1);
    } else {
      some.peer.send(credit(some.id, random.between(1, 60_000)));
    }
    if (random.next() < 0.3) {
      await peer.settle();
    }
  }
  for (const { peer, id, body } of running) {
    peer.send(credit(id, 1_000_000));
    await peer.until(() => hasReturned(peer, id, body), `stream ${id}`);
    await peer.settle();
    assert.ok(returned(peer, id).equals(body), `stream ${id}`);
  }
  const pieces = exchanges.reduce((sum, { bodies }) => sum + bodies.length, 0);
  assert.ok(blocks().size < pieces, 'blocks are used again');
});
