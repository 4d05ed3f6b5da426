/** Secrets for services of guardrails on their way to a sidecar. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { PushServer } from '../controller/push/server.ts';
import { secretText } from '../translate/world.ts';
import { fleet, follow, has, newPod, serve, until } from './testing/push.ts';

const of = (secrets: Readonly<Record<string, string>>) =>
  new Map([['fleet', Object.entries(secrets).map(([id, value]) => ({ id, value: secretText(value) }))]]);

async function lead(
  epoch: number,
  secrets: Readonly<Record<string, string>>,
  mayHaveSecrets = true,
): Promise<PushServer> {
  const server = await serve({ mayHaveSecrets: () => mayHaveSecrets });
  server.setLeader(epoch);
  publish(server, secrets);
  return server;
}

function publish(server: PushServer, secrets: Readonly<Record<string, string>>): void {
  server.shareSecrets(of(secrets));
  server.publish(fleet('v1'));
}

test('a sidecar has the secrets before the policy, and a changed one without a new policy', async () => {
  const server = await lead(1, { 'team/guard/secret': 'one' });
  const sidecar = follow(server.port, newPod());
  await until(has(server, 1, 1, 'v1'), 'acknowledged');
  publish(server, { 'team/guard/secret': 'one' });
  publish(server, { 'team/guard/secret': 'two' });
  await until(() => sidecar.secrets.length === 2, 'the second');
  assert.deepEqual(sidecar.secrets, [
    { values: { 'team/guard/secret': 'one' }, after: undefined },
    { values: { 'team/guard/secret': 'two' }, after: 'v1' },
  ]);
  assert.deepEqual(sidecar.applied, ['v1']);
});

test('a restarted sidecar has the last secrets without the controller, from a file that only its user can read', async () => {
  const server = await lead(1, { 'team/guard/secret': 'kept' });
  const pod = newPod();
  const first = follow(server.port, pod);
  await until(has(server, 1, 1, 'v1'), 'acknowledged');
  await first.close();
  await server.close();
  const second = follow(server.port, pod);
  await second.begun;
  assert.deepEqual(second.secrets, [{ values: { 'team/guard/secret': 'kept' }, after: undefined }]);
  assert.equal(statSync(join(pod, 'detector-secrets.json')).mode & 0o777, 0o600);
  assert.ok(!readFileSync(join(pod, 'policy.jsonl'), 'utf8').includes('kept'), 'the policy has no secret');
});

test('a sidecar keeps the secrets of a newer leader', async () => {
  const newer = await lead(7, { 'team/guard/secret': 'newer' });
  const pod = newPod();
  const first = follow(newer.port, pod);
  await until(has(newer, 7, 1, 'v1'), 'acknowledged');
  await first.close();
  const older = await lead(6, { 'team/guard/secret': 'older' });
  const second = follow(older.port, pod);
  await until(() => older.sidecars()[0]?.refused !== undefined, 'the policy of the older leader is refused');
  assert.deepEqual(second.secrets, [{ values: { 'team/guard/secret': 'newer' }, after: undefined }]);
});

test('a sidecar of a namespace that is not listed gets the secrets of its own namespace only', async () => {
  const server = await lead(1, { 'default/own/key': 'own', 'default-2/other/key': 'other' }, false);
  const sidecar = follow(server.port, newPod());
  await until(has(server, 1, 1, 'v1'), 'acknowledged');
  assert.deepEqual(sidecar.secrets, [{ values: { 'default/own/key': 'own' }, after: undefined }]);
});

test('a sidecar gets only the secrets of its fleet', async () => {
  const server = await serve();
  server.setLeader(1);
  server.shareSecrets(new Map([...of({ 'team/guard/secret': 'own' }), ['other', of({ 'x/y/z': 'v' }).get('fleet')!]]));
  server.publish(fleet('v1'));
  const sidecar = follow(server.port, newPod());
  await until(has(server, 1, 1, 'v1'), 'acknowledged');
  assert.deepEqual(
    sidecar.secrets.map(({ values }) => values),
    [{ 'team/guard/secret': 'own' }],
  );
});
