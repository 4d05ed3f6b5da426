import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { base64url, SignJWT, UnsecuredJWT } from 'jose';
import type { JwtAuthenticator } from '../../contract/access-policy.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { isFailure } from '../errors.ts';
import { compileAccessPolicy } from './compile.ts';
import { MAX_CREDENTIAL_CHARACTERS } from './credentials.ts';
import { authenticate } from './decide.ts';
import { Presented } from './presented.ts';
import {
  AUDIENCE,
  accessPolicy,
  bearer,
  claimsWith,
  ISSUER,
  identified,
  jwtAuthenticator,
  NOW,
  newAccessRig,
  newSigningKey,
  signedToken,
} from './testing.ts';

const key = await newSigningKey();
const other = await newSigningKey('ES256', 'two');
const rsa = await newSigningKey('RS256', 'rsa');

/** Authenticates by one token, with the keys `one` and `rsa` of the issuer. */
async function outcome(token: string, changes: Partial<JwtAuthenticator> = {}, rig = newAccessRig()): Promise<string> {
  const policy = accessPolicy([jwtAuthenticator([key.jwk, rsa.jwk], changes)]);
  const result = await rig.authenticate([policy], bearer(token));
  return isFailure(result) ? result.code : `${result.proven.caller.tenant}/${result.proven.caller.user}`;
}

const ACCEPTED = 'search/ada@example.org';
const REFUSED = 'unauthenticated';

test('a valid token identifies tenant, user and groups', async () => {
  const policy = accessPolicy([jwtAuthenticator([key.jwk])]);
  const { proven } = identified(await newAccessRig().authenticate([policy], bearer(await signedToken(key))));
  assert.equal(proven.method, 'jwt');
  assert.equal(proven.caller.tenant, 'search');
  assert.equal(proven.caller.user, 'ada@example.org');
  assert.deepEqual(proven.caller.groups, ['engineering']);
  assert.equal(proven.expiresAtMs, (NOW + 600 + 30) * 1000);
});

test('tokens of each signature algorithm are accepted where the policy lists it', async () => {
  for (const algorithm of ['RS256', 'RS512', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']) {
    const signing = await newSigningKey(algorithm, 'k');
    const token = await signedToken(signing, claimsWith(), { kid: 'k' });
    assert.equal(await outcome(token, { keys: [signing.jwk], algorithms: [algorithm] }), ACCEPTED, algorithm);
    assert.equal(await outcome(token, { keys: [signing.jwk], algorithms: ['PS384'] }), REFUSED, algorithm);
  }
});

const timed: readonly (readonly [string, object, string])[] = [
  ['a token that expires within the clock skew', { exp: NOW - 29 }, ACCEPTED],
  ['an expired token', { exp: NOW - 31 }, REFUSED],
  ['a token without expiry', { exp: undefined }, REFUSED],
  ['a token whose expiry is text', { exp: String(NOW + 600) }, REFUSED],
  ['a token that becomes valid within the clock skew', { nbf: NOW + 29 }, ACCEPTED],
  ['a future token', { nbf: NOW + 31 }, REFUSED],
  ['a token of another issuer', { iss: 'https://evil.example.org' }, REFUSED],
  ['a token whose issuer differs in case', { iss: ISSUER.toUpperCase() }, REFUSED],
  ['a token whose issuer ends in a slash', { iss: `${ISSUER}/` }, REFUSED],
  ['a token with a list of issuers', { iss: [ISSUER] }, REFUSED],
  ['a token without issuer', { iss: undefined }, REFUSED],
  ['a token for another audience', { aud: 'other' }, REFUSED],
  ['a token for several audiences', { aud: ['other', AUDIENCE] }, ACCEPTED],
  ['a token for a longer audience', { aud: `${AUDIENCE}-2` }, REFUSED],
  ['a token without audience', { aud: undefined }, REFUSED],
  ['a token with an object as audience', { aud: { [AUDIENCE]: true } }, REFUSED],
];

for (const [what, changes, expected] of timed) {
  test(`${what} is ${expected === ACCEPTED ? 'accepted' : 'refused'}`, async () => {
    assert.equal(await outcome(await signedToken(key, claimsWith(changes))), expected);
  });
}

test('a token without signature is refused', async () => {
  const unsecured = new UnsecuredJWT(claimsWith()).encode();
  const header = base64url.encode(JSON.stringify({ alg: 'none', kid: 'one' }));
  const payload = base64url.encode(JSON.stringify(claimsWith()));
  for (const token of [unsecured, `${unsecured}AA`, `${header}.${payload}.`, `${header}.${payload}.AA`]) {
    assert.equal(await outcome(token), REFUSED);
    assert.equal(await outcome(token, { algorithms: ['none', 'ES256'] }), REFUSED);
  }
});

test('a symmetric signature with the public key as the secret is refused', async () => {
  const pem = createPublicKey({ key: rsa.jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' }).toString();
  for (const secret of [pem, JSON.stringify(rsa.jwk), String(rsa.jwk['n'])]) {
    const token = await new SignJWT(claimsWith())
      .setProtectedHeader({ alg: 'HS256', kid: 'rsa' })
      .sign(new TextEncoder().encode(secret.padEnd(32)));
    assert.equal(await outcome(token), REFUSED);
    assert.equal(await outcome(token, { algorithms: ['HS256', 'RS256'] }), REFUSED);
  }
});

test('a symmetric key in the key set is never used', async () => {
  const secret = new TextEncoder().encode('0123456789abcdef0123456789abcdef');
  const jwk = { kty: 'oct', k: base64url.encode(secret), kid: 'sym', alg: 'HS256' };
  const token = await new SignJWT(claimsWith()).setProtectedHeader({ alg: 'HS256', kid: 'sym' }).sign(secret);
  assert.equal(await outcome(token, { keys: [jwk], algorithms: ['HS256'] }), REFUSED);
});

test('the algorithm of a token must be that of its key', async () => {
  const token = await signedToken(rsa, claimsWith(), { kid: 'one' });
  assert.equal(await outcome(token), REFUSED);
  const pss = await new SignJWT(claimsWith()).setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(other.privateKey);
  assert.equal(await outcome(pss), REFUSED);
});

test('two issuers with the same kid do not accept the tokens of each other', async () => {
  const evil = await newSigningKey('ES256', 'one');
  const evilIssuer = 'https://evil.example.org';
  const policy = accessPolicy([
    jwtAuthenticator([evil.jwk], { id: 'default/internal/evil', issuer: evilIssuer }),
    jwtAuthenticator([key.jwk]),
  ]);
  const rig = newAccessRig();
  const codes: string[] = [];
  for (const [signing, iss] of [
    [evil, ISSUER],
    [key, evilIssuer],
    [evil, evilIssuer],
    [key, ISSUER],
  ] as const) {
    const result = await rig.authenticate([policy], bearer(await signedToken(signing, claimsWith({ iss }))));
    codes.push(isFailure(result) ? result.code : 'accepted');
  }
  assert.deepEqual(codes, [REFUSED, REFUSED, 'accepted', 'accepted']);
});

for (const kid of [
  '../../one',
  'one\0',
  "one' OR '1'='1",
  '__proto__',
  'constructor',
  '',
  'ONE',
  ['one'],
  { a: 1 },
  1,
  null,
]) {
  test(`a token with the kid ${JSON.stringify(kid)} is refused`, async () => {
    const [, payload, signature] = (await signedToken(key)).split('.');
    const header = base64url.encode(JSON.stringify({ alg: 'ES256', kid }));
    assert.equal(await outcome(`${header}.${payload}.${signature}`), REFUSED);
    const signed = await signedToken(key, claimsWith(), { kid: kid as string }).catch(() => undefined);
    if (signed !== undefined) {
      assert.equal(await outcome(signed), REFUSED);
    }
  });
}

test('keys that a token brings itself are ignored', async () => {
  const evil = await newSigningKey('ES256', 'one');
  for (const header of [
    { kid: 'one', jwk: evil.jwk },
    { kid: 'one', jku: 'https://evil.example.org/keys' },
    { kid: 'one', x5u: 'https://evil.example.org/cert' },
    { kid: 'one', x5c: ['AAAA'] },
  ]) {
    assert.equal(await outcome(await signedToken(evil, claimsWith(), header)), REFUSED);
  }
});

test('a token with an unknown critical header is refused', async () => {
  const [, payload] = (await signedToken(key)).split('.');
  const header = base64url.encode(JSON.stringify({ alg: 'ES256', kid: 'one', crit: ['policy'], policy: 1 }));
  const data = new TextEncoder().encode(`${header}.${payload}`);
  const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key.privateKey, data);
  assert.equal(await outcome(`${header}.${payload}.${base64url.encode(new Uint8Array(signature))}`), REFUSED);
});

test('tokens of other types of the same issuer are refused', async () => {
  for (const typ of ['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'JWE']) {
    assert.equal(await outcome(await signedToken(key, claimsWith(), { kid: 'one', typ })), REFUSED, typ);
  }
  for (const typ of ['JWT', 'at+jwt', 'application/at+JWT']) {
    assert.equal(await outcome(await signedToken(key, claimsWith(), { kid: 'one', typ })), ACCEPTED, typ);
  }
});

test('a token without kid is tried with the keys that fit', async () => {
  const keys = [other.jwk, rsa.jwk, key.jwk];
  assert.equal(await outcome(await signedToken(key, claimsWith(), {}), { keys }), ACCEPTED);
  const many = await Promise.all(Array.from({ length: 4 }, () => newSigningKey()));
  const behind = [...many.map(({ jwk }) => jwk), key.jwk];
  assert.equal(await outcome(await signedToken(key, claimsWith(), {}), { keys: behind }), REFUSED);
});

test('keys for encryption and private keys are not used', async () => {
  const token = await signedToken(key);
  assert.equal(await outcome(token, { keys: [{ ...key.jwk, use: 'enc' }] }), REFUSED);
  assert.equal(await outcome(token, { keys: [{ ...key.jwk, key_ops: ['sign'] }] }), REFUSED);
  assert.equal(await outcome(token, { keys: [{ ...key.jwk, d: 'AAAA' }] }), REFUSED);
  assert.equal(await outcome(token, { keys: [{ kty: 'EC', crv: 'P-256', x: 'bad', y: 'bad', kid: 'one' }] }), REFUSED);
});

test('an oversized token is refused', async () => {
  const pad = 'a'.repeat(MAX_CREDENTIAL_CHARACTERS);
  assert.equal(await outcome(await signedToken(key, claimsWith({ pad }))), REFUSED);
});

test('deeply nested claims do not overflow the stack', async () => {
  const depth = 5000;
  const claims = JSON.stringify(claimsWith()).replace('"engineering"', '['.repeat(depth) + ']'.repeat(depth));
  const header = base64url.encode(JSON.stringify({ alg: 'ES256', kid: 'one' }));
  const data = new TextEncoder().encode(`${header}.${base64url.encode(claims)}`);
  const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key.privateKey, data);
  const token = `${header}.${base64url.encode(claims)}.${base64url.encode(new Uint8Array(signature))}`;
  assert.equal(await outcome(token), ACCEPTED);
});

test('a changed token is refused', async () => {
  const token = await signedToken(key);
  await fc.assert(
    fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(...'aA0-_.='), async (at, letter) => {
      const changed = token.slice(0, at) + letter + token.slice(at + 1);
      // The last character of each part may have bits that nothing reads.
      fc.pre(changed !== token && !/^(\.|$)/.test(token.slice(at + 1)));
      assert.equal(await outcome(changed), REFUSED);
    }),
    fuzzRuns(200),
  );
});

test('any text as a token is refused', async () => {
  const part = fc.oneof(
    fc.string({ unit: 'binary-ascii' }),
    fc.json().map((text) => base64url.encode(text)),
    fc.constantFrom(base64url.encode('{"alg":"ES256","kid":"one"}'), base64url.encode(JSON.stringify(claimsWith()))),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 5 }), async (parts) => {
      assert.equal(await outcome(parts.join('.')), REFUSED);
    }),
    fuzzRuns(300),
  );
});

test('a token is verified again when the keys change', async () => {
  const rig = newAccessRig();
  const token = await signedToken(key);
  assert.equal(await outcome(token, {}, rig), ACCEPTED);
  assert.equal(await outcome(token, { keys: [other.jwk] }, rig), REFUSED);
  assert.deepEqual(rig.requested, [`${ISSUER}/keys`]);
  const rotated = await signedToken(other, claimsWith(), { kid: 'two' });
  assert.equal(await outcome(rotated, {}, rig), REFUSED);
  assert.equal(await outcome(rotated, { keys: [other.jwk, key.jwk] }, rig), ACCEPTED);
});

test('no token is accepted while the keys could not be fetched', async () => {
  assert.equal(await outcome(await signedToken(key), { keys: [] }), REFUSED);
});

test('only an unknown kid of the right issuer asks for keys', async () => {
  const rig = newAccessRig();
  const { keysUrl: _, ...inline } = jwtAuthenticator([key.jwk]);
  await outcome(await signedToken(other, claimsWith({ iss: 'https://evil.example.org' }), { kid: 'x' }), {}, rig);
  await outcome(await signedToken(key, claimsWith(), { kid: 'x' }).then((text) => text.slice(1)), {}, rig);
  await rig.authenticate([accessPolicy([inline])], bearer(await signedToken(other, claimsWith(), { kid: 'x' })));
  assert.deepEqual(rig.requested, []);
  await outcome(await signedToken(other, claimsWith(), { kid: 'x' }), {}, rig);
  assert.deepEqual(rig.requested, [`${ISSUER}/keys`]);
});

test('a known token is decided at once until it expires', async () => {
  const rig = newAccessRig();
  const token = await signedToken(key);
  const policy = accessPolicy([jwtAuthenticator([key.jwk])]);
  identified(await rig.authenticate([policy], bearer(token)));
  const again = () =>
    authenticate([compileAccessPolicy(policy)], new Presented(bearer(token), new Map()), rig.services());
  assert.ok('proven' in again());
  rig.nowMs = (NOW + 629) * 1000;
  assert.ok('proven' in again());
  rig.nowMs = (NOW + 631) * 1000;
  assert.equal(await outcome(token, {}, rig), REFUSED);
});

test('a future token is accepted once it is valid', async () => {
  const rig = newAccessRig();
  const token = await signedToken(key, claimsWith({ nbf: NOW + 40 }));
  assert.equal(await outcome(token, {}, rig), REFUSED);
  rig.nowMs += 15_000;
  assert.equal(await outcome(token, {}, rig), ACCEPTED);
});

test('a token with too many groups is refused, and the answer says why', async () => {
  const groups = (count: number) => Array.from({ length: count }, (_, index) => `g${index}`);
  assert.equal(await outcome(await signedToken(key, claimsWith({ groups: groups(256) }))), ACCEPTED);
  const policy = accessPolicy([jwtAuthenticator([key.jwk])]);
  const token = await signedToken(key, claimsWith({ groups: groups(257) }));
  const result = await newAccessRig().authenticate([policy], bearer(token));
  assert.match(isFailure(result) ? result.message : '', /256 groups/);
});

test('a burst of new tokens is limited; known tokens and those for others pass meanwhile', async () => {
  const rig = newAccessRig();
  const known = await signedToken(key);
  const other = await signedToken(key, claimsWith({ jti: 'other' }));
  assert.equal(await outcome(known, {}, rig), ACCEPTED);
  const [header, payload] = known.split('.');
  const burst = Array.from({ length: 1500 }, (_, index) => {
    const signature = Buffer.alloc(64, index).toString('base64url');
    return outcome(`${header}.${payload}.${index}${signature.slice(4)}`, {}, rig);
  });
  assert.equal(await outcome(known, {}, rig), ACCEPTED);
  assert.equal(await outcome(other, { clockSkewSeconds: 31 }, rig), ACCEPTED, 'another authenticator');
  const codes = Map.groupBy(await Promise.all(burst), (code) => code);
  assert.deepEqual([...codes.keys()].toSorted(), ['overloaded', REFUSED]);
  assert.equal(await outcome(await signedToken(key, claimsWith({ jti: 'later' })), {}, rig), ACCEPTED);
});
