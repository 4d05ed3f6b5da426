import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessPolicy } from '../../contract/access-policy.ts';
import { isFailure } from '../errors.ts';
import type { HeaderList } from '../exchange.ts';
import { compileAccessPolicy } from './compile.ts';
import { identifyCaller } from './own-caller.ts';
import {
  accessPolicy,
  apiKey,
  bearer,
  claimsWith,
  jwtAuthenticator,
  keyAuthenticator,
  NOW,
  newAccessRig,
  newSigningKey,
  signedToken,
} from './testing.ts';

const signing = await newSigningKey();
const keys = accessPolicy([keyAuthenticator], { name: 'default/keys' });
const tokens = accessPolicy([jwtAuthenticator([signing.jwk])], { name: 'default/tokens' });

async function identify(
  policies: readonly AccessPolicy[],
  headers: HeaderList,
  among?: readonly string[],
): Promise<string> {
  const rig = newAccessRig();
  const services = rig.services([apiKey('tg-one', { tenant: 'ads' })]);
  const result = await identifyCaller(policies.map(compileAccessPolicy), headers, services, among);
  return isFailure(result) ? result.code : `${result.caller?.tenant}`;
}

test('each policy in force may identify the caller', async () => {
  assert.equal(await identify([], bearer('tg-one')), 'undefined');
  assert.equal(await identify([keys, tokens], bearer('tg-one')), 'ads');
  assert.equal(await identify([keys, tokens], bearer(await signedToken(signing))), 'search');
});

test('a credential that no policy accepts identifies nobody', async () => {
  const expired = await signedToken(signing, claimsWith({ exp: NOW - 3600 }));
  const forged = await signedToken(await newSigningKey());
  for (const headers of [[], bearer('tg-two'), bearer(expired), bearer(forged)]) {
    assert.equal(await identify([keys, tokens], headers), 'unauthenticated');
  }
  const inner = accessPolicy([], { name: 'default/inner' });
  assert.equal(await identify([inner], bearer('tg-one')), 'unauthenticated');
});

test('a caller whom its policy allows nothing is refused', async () => {
  const others = accessPolicy([keyAuthenticator], { allow: [{ name: 'search', principals: [{ tenant: 'search' }] }] });
  assert.equal(await identify([others, tokens], bearer('tg-one')), 'forbidden');
  assert.equal(await identify([others, keys], bearer('tg-one')), 'ads');
});

test('a policy that is not among the named ones identifies nobody', async () => {
  assert.equal(await identify([keys, tokens], bearer('tg-one'), ['default/keys']), 'ads');
  assert.equal(await identify([keys, tokens], bearer('tg-one'), ['default/tokens']), 'unauthenticated');
  assert.equal(await identify([keys, tokens], bearer('tg-one'), []), 'undefined', 'as where no policy is in force');
});
