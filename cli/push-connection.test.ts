/** The connection of a sidecar to its controller: identity, certificates, loss and restart. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { issueServerCertificate, rotateCa } from '../controller/push/ca.ts';
import { ca, certificate, closing, DAY_MS, fleet, follow, has, names, newPod, serve, until } from './testing/push.ts';

test('a sidecar finds the leading replica behind a shared address', async () => {
  const [leader, other] = [await serve(), await serve()];
  leader.setLeader(1);
  leader.publish(fleet('v1'));
  let connections = 0;
  const address = createServer((socket) => {
    const replica = connect((++connections > 8 ? leader : other).port, '127.0.0.1');
    for (const each of [socket, replica]) {
      each.on('error', () => {});
    }
    socket.pipe(replica).pipe(socket);
    socket.on('close', () => replica.destroy());
  });
  await new Promise<void>((resolve) => address.listen(0, '127.0.0.1', resolve));
  closing.push(() => address.close());
  const start = performance.now();
  follow((address.address() as AddressInfo).port, newPod());
  await until(has(leader, 1, 1, 'v1'), 'found');
  assert.ok(performance.now() - start < 5000);
});

test('token and CA files are read again at each attempt', async () => {
  let current = certificate;
  const server = await serve({ credentials: () => current });
  server.setLeader(1);
  server.publish(fleet('v1'));
  const folder = newPod(undefined, 'a.bad.token');
  const sidecar = follow(server.port, folder);
  await until(() => /UNAUTHENTICATED/.test(sidecar.details()['controller']!), 'refused');
  writeFileSync(join(folder, 'token'), 'a.good.token');
  await until(has(server, 1, 1, 'v1'), 'connected');

  const rotated = await rotateCa(ca, Date.now() - 1.5 * DAY_MS);
  current = await issueServerCertificate(rotated, names, Date.now());
  server.setLeader(2);
  server.publish(fleet('v2'));
  await until(() => /certificate/.test(sidecar.details()['controller']!), 'the new CA is not trusted yet');
  assert.equal(server.sidecars().length, 0);
  writeFileSync(join(folder, 'ca.crt'), rotated.certificates);
  await until(has(server, 2, 1, 'v2'), 'connected');
});

test('an expired server certificate is refused', async () => {
  const expired = await issueServerCertificate(ca, names, Date.now() - 2 * DAY_MS);
  const server = await serve({ credentials: () => expired });
  server.setLeader(1);
  const sidecar = follow(server.port, newPod());
  await until(() => /expired/.test(sidecar.details()['controller']!), 'expired');
  assert.equal(server.sidecars().length, 0);
});

test('a peer that disappears silently is noticed', { timeout: 60_000 }, async () => {
  const server = await serve();
  server.setLeader(1);
  server.publish(fleet('v1'));
  const sockets: Socket[] = [];
  const between = createServer((near) => {
    const far = connect(server.port, '127.0.0.1');
    sockets.push(
      near.on('error', () => {}),
      far.on('error', () => {}),
    );
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    for (const socket of sockets) {
      socket.destroy();
    }
    between.close();
  });
  const sidecar = follow((between.address() as AddressInfo).port, newPod());
  await until(has(server, 1, 1, 'v1'), 'connected');
  between.close();
  for (const socket of sockets) {
    socket.unpipe().pause();
  }
  await until(() => server.sidecars().length === 0, 'the controller notices', 25_000);
  await until(() => sidecar.details()['controller'] !== 'connected', 'the sidecar notices', 25_000);
  assert.equal(sidecar.details()['policy'], 'v1');
});

test('the program is ready once it has a policy, and at once after a restart', {
  timeout: 60_000,
}, async () => {
  const server = await serve();
  const folder = newPod();
  const admin = join(folder, 'admin.sock');
  const start = () => {
    const child = spawn(
      process.execPath,
      [
        join(import.meta.dirname, 'main.ts'),
        ...['extproc', '--socket', join(folder, 'extproc.sock'), '--controller', `127.0.0.1:${server.port}`],
        ...['--token', join(folder, 'token'), '--ca', join(folder, 'ca.crt'), '--envoy-admin', '127.0.0.1:1'],
        ...['--metrics', `unix:${admin}`],
      ],
      { stdio: 'ignore' },
    );
    closing.push(() => child.kill('SIGKILL'));
    return child;
  };
  const ready = () =>
    new Promise<{ readonly ready?: boolean; readonly policy?: string; readonly controller?: string }>((resolve) => {
      const asked = request({ socketPath: admin, path: '/readyz' }, async (response) => {
        response.setEncoding('utf8');
        resolve(JSON.parse((await response.toArray()).join('')));
      });
      asked.on('error', () => resolve({}));
      asked.end();
    });
  const first = start();
  for (let said = await ready(); !/another replica/.test(said.controller ?? ''); said = await ready()) {
    assert.notEqual(said.ready, true);
  }
  server.setLeader(1);
  server.publish(fleet('v1'));
  while ((await ready()).policy !== 'v1') {}
  await until(() => server.sidecars()[0]?.configCheck !== undefined, 'what cannot be proved is told', 15_000);
  assert.match(server.sidecars()[0]!.configCheck!.unreadable, /ECONNREFUSED/);
  first.kill('SIGKILL');
  await new Promise((resolve) => first.once('exit', resolve));
  await server.close();
  const second = start();
  let said = await ready();
  while (said.ready === undefined) {
    said = await ready();
  }
  assert.equal(said.ready, true);
  assert.equal(said.policy, 'v1');
  second.kill('SIGTERM');
  assert.equal(await new Promise((resolve) => second.once('exit', resolve)), 0);
});
