import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessPolicy, ApiKey } from '../../contract/access-policy.ts';
import { OpenCallers } from './open-callers.ts';
import {
  accessPolicy,
  apiKey,
  bearer,
  identified,
  jwtAuthenticator,
  keyAuthenticator,
  NOW,
  newAccessRig,
  newSigningKey,
  signedToken,
} from './testing.ts';

const rig = newAccessRig();
const revoking = accessPolicy([keyAuthenticator], { revokeStreams: true });

async function identity(policies: readonly AccessPolicy[], secret: string, keys: readonly ApiKey[] = []) {
  return identified(await rig.authenticate(policies, bearer(secret), { keys }));
}

test('the streams of a removed key end', async () => {
  const open = new OpenCallers<string>();
  const keys = [apiKey('one'), apiKey('two')];
  open.add('a', await identity([revoking], 'one', keys));
  open.add('b', await identity([revoking], 'one', keys));
  open.add('c', await identity([revoking], 'two', keys));
  assert.deepEqual([...open.revokedBy(rig.services(keys).keys, rig.nowMs)], []);
  assert.deepEqual([...open.revokedBy(rig.services([keys[1]!]).keys, rig.nowMs)], ['a', 'b']);
});

test('the streams of a key that its policy accepts no longer end', async () => {
  const open = new OpenCallers<string>();
  open.add('a', await identity([revoking], 'one', [apiKey('one')]));
  const moved = rig.services([apiKey('one', { authenticators: ['default/other/keys'] })]).keys;
  assert.deepEqual([...open.revokedBy(moved, rig.nowMs)], ['a']);
});

test('streams end when the key or the token expires', async () => {
  const signing = await newSigningKey();
  const open = new OpenCallers<string>();
  const key = apiKey('one', { expiresAtMs: NOW * 1000 + 1500 });
  const tokens = accessPolicy([jwtAuthenticator([signing.jwk])], { revokeStreams: true });
  open.add('key', await identity([revoking], 'one', [key]));
  open.add('token', await identity([tokens], await signedToken(signing)));
  const ending = (afterMs: number) => [...open.expiredAt(NOW * 1000 + afterMs)];
  assert.deepEqual(ending(1499), []);
  assert.deepEqual(ending(2000), ['key']);
  assert.deepEqual(ending(630_000), ['key', 'token']);
});

test('streams end only where the policy says so', async () => {
  const open = new OpenCallers<string>();
  const keys = [apiKey('one')];
  assert.equal(open.add('a', await identity([accessPolicy([keyAuthenticator])], 'one', keys)), undefined);
  const restricting = accessPolicy([], { name: 'default/inner', revokeStreams: true });
  assert.notEqual(
    open.add('b', await identity([accessPolicy([keyAuthenticator]), restricting], 'one', keys)),
    undefined,
  );
  assert.deepEqual([...open.revokedBy(rig.services(keys).keys, rig.nowMs)], []);
  assert.deepEqual([...open.revokedBy(rig.services().keys, rig.nowMs)], ['b']);
});

test('a stream that has ended is forgotten', async () => {
  const open = new OpenCallers<string>();
  const key = apiKey('one', { expiresAtMs: NOW * 1000 + 1500 });
  const remove = open.add('a', await identity([revoking], 'one', [key]));
  remove?.();
  assert.deepEqual([...open.revokedBy(rig.services().keys, rig.nowMs)], []);
  assert.deepEqual([...open.expiredAt(rig.nowMs + 10_000)], []);
});
