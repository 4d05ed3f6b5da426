import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { startHttpServer } from './http-server.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
});

async function start(maxConnections: number): Promise<number> {
  const server = await startHttpServer({
    address: { type: 'tcp', host: '127.0.0.1', port: 0 },
    maxConnections,
    handle: (_request, response) => response.end('alive'),
  });
  ends.push(server.close);
  return server.port;
}

/** Returns silent connections of a client address. */
async function hold(port: number, localAddress: string, count: number): Promise<readonly Socket[]> {
  const sockets: Socket[] = [];
  for (let nth = 0; nth < count; nth++) {
    const socket = connect({ host: '127.0.0.1', port, localAddress }).on('error', () => {});
    sockets.push(socket);
    await once(socket.resume(), 'connect');
  }
  ends.push(() => sockets.map((socket) => socket.destroy()));
  return sockets;
}

function get(port: number, localAddress: string, agent: Agent | false = false): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, localAddress, agent }, async (response) => {
      resolve((await response.toArray()).join(''));
    })
      .on('error', reject)
      .end();
  });
}

test('a client address that holds all connections loses its oldest to whoever comes', async () => {
  const port = await start(8);
  const held = [...(await hold(port, '127.0.0.2', 8))];
  for (const address of ['127.0.0.1', '127.0.0.3', '127.0.0.2']) {
    const closed = once(held.shift()!, 'close');
    assert.equal(await get(port, address), 'alive');
    await closed;
    held.push(...(await hold(port, '127.0.0.2', 1)));
  }
  assert.ok(held.every(({ destroyed }) => !destroyed));
});

test('connections of an address that holds few stay open however many another one opens', async () => {
  const port = await start(8);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  ends.push(() => agent.destroy());
  assert.equal(await get(port, '127.0.0.1', agent), 'alive');
  const [kept] = Object.values(agent.freeSockets).flat();
  const few = await hold(port, '127.0.0.3', 2);
  await hold(port, '127.0.0.2', 30);
  assert.equal(await get(port, '127.0.0.1', agent), 'alive');
  assert.equal(Object.values(agent.freeSockets).flat()[0], kept);
  assert.deepEqual(
    few.map(({ destroyed }) => destroyed),
    [false, false],
  );
});
