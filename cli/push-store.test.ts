/** The shared quota store on its way to a sidecar, and its state on the way back. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { SharedStoreConfig } from '../contract/shared-store.ts';
import type { PushServer } from '../controller/push/server.ts';
import { SharedStoreReport_State as State } from '../protos/gen/tallygate/policy/v1/policy_pb.ts';
import { fleet, follow, has, newPod, serve, until } from './testing/push.ts';

const store = (password: string): SharedStoreConfig => ({
  type: 'Redis',
  mode: 'Standalone',
  addresses: ['store.example.com:6379'],
  password,
  keyPrefix: 'tallygate',
});

const reported = (server: PushServer) => server.sidecars()[0]?.sharedStore;

async function lead(epoch: number, config: SharedStoreConfig | undefined, mayShareStore = true): Promise<PushServer> {
  const server = await serve({ mayShareStore: () => mayShareStore });
  server.setLeader(epoch);
  server.shareStore(config);
  server.publish(fleet('v1'));
  return server;
}

test('a sidecar uses the shared store before the first policy', async () => {
  const server = await lead(1, store('first'));
  const sidecar = follow(server.port, newPod());
  await until(has(server, 1, 1, 'v1'), 'acknowledged');
  assert.deepEqual(sidecar.used, [store('first'), 'v1']);
});

test('a changed password reaches the sidecar, and the policy is not sent again', async () => {
  const server = await lead(1, store('first'));
  const sidecar = follow(server.port, newPod());
  await until(has(server, 1, 1, 'v1'), 'acknowledged');
  server.shareStore(store('first'));
  server.shareStore(store('second'));
  await until(() => sidecar.used.length === 3, 'the second');
  server.shareStore(undefined);
  await until(() => sidecar.used.length === 4, 'none');
  assert.deepEqual(sidecar.used, [store('first'), 'v1', store('second'), undefined]);
});

test('a restarted sidecar uses the last store without the controller, from a file that only its user can read', async () => {
  const server = await lead(1, store('kept'));
  const pod = newPod();
  const first = follow(server.port, pod);
  await until(has(server, 1, 1, 'v1'), 'acknowledged');
  await first.close();
  await server.close();
  const second = follow(server.port, pod);
  await second.begun;
  assert.deepEqual(second.used, [store('kept'), 'v1']);
  const file = join(pod, 'shared-store.json');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.ok(!readFileSync(join(pod, 'policy.jsonl'), 'utf8').includes('kept'), 'the policy has no password');
});

test('a sidecar keeps the store of a newer leader', async () => {
  const newer = await lead(7, store('newer'));
  const pod = newPod();
  const first = follow(newer.port, pod);
  await until(has(newer, 7, 1, 'v1'), 'acknowledged');
  await first.close();
  const older = await lead(6, store('older'));
  const second = follow(older.port, pod);
  await until(() => older.sidecars()[0]?.refused !== undefined, 'the policy of the older leader is refused');
  assert.deepEqual(second.used, [store('newer'), 'v1']);
});

test('an unusable store is refused with the reason, and the last good store stays in force', async () => {
  const server = await lead(1, store('good'));
  const sidecar = follow(server.port, newPod());
  await until(has(server, 1, 1, 'v1'), 'acknowledged');
  server.shareStore({ ...store('secret'), mode: 'Ring' as 'Cluster' });
  await until(() => reported(server)?.reason !== '', 'refused');
  assert.match(reported(server)!.reason, /^the sidecar refuses its configuration: mode: /);
  assert.ok(!reported(server)!.reason.includes('secret'));
  assert.deepEqual(sidecar.used, [store('good'), 'v1']);
  server.shareStore(store('better'));
  await until(() => reported(server)?.reason === '', 'the next good one is taken');
  assert.deepEqual(sidecar.used, [store('good'), 'v1', store('better')]);
});

test('a sidecar in a namespace that may not have the password receives no store, and drops an earlier one', async () => {
  const pod = newPod();
  const before = await lead(1, store('secret'));
  const first = follow(before.port, pod);
  await until(has(before, 1, 1, 'v1'), 'acknowledged');
  await first.close();
  const server = await lead(2, store('secret'), false);
  const second = follow(server.port, pod);
  await until(has(server, 2, 1, 'v1'), 'acknowledged');
  assert.deepEqual(second.used, [store('secret'), 'v1', undefined]);
  const fresh = follow(server.port, newPod());
  await until(() => fresh.used.length > 0, 'the policy');
  assert.deepEqual(fresh.used, ['v1']);
});

test('the state of the store reaches the controller, and again on a new stream', async () => {
  const server = await lead(1, store('any'));
  const sidecar = follow(server.port, newPod());
  await until(() => reported(server)?.state === State.UNUSED, 'unused');
  sidecar.reportSharedStore({ state: 'lost', reason: 'connect ECONNREFUSED' });
  await until(() => reported(server)?.state === State.LOST, 'lost');
  assert.equal(reported(server)?.reason, 'connect ECONNREFUSED');
  server.setLeader(2);
  await until(() => reported(server)?.state === State.LOST, 'lost for the next leader');
  sidecar.reportSharedStore({ state: 'available', reason: '' });
  await until(() => reported(server)?.state === State.AVAILABLE, 'available');
});
