/** The provider of the access tests is a real one: a client of its own protocol works with it. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { createLocalJWKSet, createRemoteJWKSet, jwtVerify } from 'jose';
import { AUDIENCE, CLIENT_ID, type OidcProvider, startOidcProvider } from './support/oidc-provider.ts';
import { publicKeyPem } from './support/oidc-tokens.ts';
import { signIn } from './support/oidc-user.ts';

const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
const SCOPE = 'openid email profile offline_access';
let provider: OidcProvider;

before(async () => {
  provider = await startOidcProvider();
});

after(() => provider.stop());

async function post(path: string, fields: Record<string, string>): Promise<Record<string, string>> {
  const body = new URLSearchParams({ client_id: CLIENT_ID, ...fields });
  const response = await fetch(`${provider.issuer}${path}`, { method: 'POST', body });
  return (await response.json()) as Record<string, string>;
}

async function verified(token: string | undefined) {
  const keys = createRemoteJWKSet(new URL(`${provider.issuer}/jwks`));
  return (await jwtVerify(token ?? '', keys, { issuer: provider.issuer, audience: AUDIENCE })).payload;
}

async function deviceTokens(): Promise<Record<string, string>> {
  const device = await post('/device/auth', { scope: SCOPE });
  assert.equal((await post('/token', grant(device)))['error'], 'authorization_pending');
  assert.match((await signIn(device['verification_uri_complete']!, 'ada')).page, /Sign-in Success/);
  return post('/token', grant(device));
}

function grant(device: Record<string, string>): Record<string, string> {
  return { grant_type: DEVICE_GRANT, device_code: device['device_code']! };
}

test('the device flow gives a JWT for the gateway with the claims of the user', async () => {
  const claims = await verified((await deviceTokens())['access_token']);
  assert.deepEqual(
    [claims['team'], claims['email'], claims['groups'], claims.sub],
    ['search', 'ada@example.com', ['engineering'], 'ada'],
  );
});

test('authorization code with PKCE redirects to any port of the loopback address', async () => {
  const verifier = randomBytes(32).toString('base64url');
  const redirect = 'http://127.0.0.1:49152/callback';
  const query = new URLSearchParams({
    client_id: CLIENT_ID,
    response_type: 'code',
    redirect_uri: redirect,
    scope: SCOPE,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const { url } = await signIn(`${provider.issuer}/auth?${query}`, 'ben', redirect);
  const code = new URL(url).searchParams.get('code') ?? '';
  const exchange = { grant_type: 'authorization_code', code, redirect_uri: redirect };
  const tokens = await post('/token', { ...exchange, code_verifier: verifier });
  assert.equal((await verified(tokens['access_token']))['team'], 'ads');
});

test('a refresh token works once, also after the keys were rotated', async () => {
  const first = await deviceTokens();
  await provider.rotateKeys();
  const second = await post('/token', { grant_type: 'refresh_token', refresh_token: first['refresh_token']! });
  assert.equal((await verified(second['access_token']))['team'], 'search');
  assert.equal((await verified(first['access_token']))['team'], 'search');
  const reused = await post('/token', { grant_type: 'refresh_token', refresh_token: first['refresh_token']! });
  assert.equal(reused['error'], 'invalid_grant');
});

test('a token of issueToken verifies with each algorithm until the keys are dropped', async () => {
  for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA'] as const) {
    const token = await provider.issueToken({ alg });
    // The JWKS names one algorithm for each key, so PS256 is a wrong algorithm there.
    const { payload } =
      alg === 'PS256'
        ? await jwtVerify(token, createLocalJWKSet({ keys: provider.jwks.keys.map(({ alg: _, ...key }) => key) }))
        : await jwtVerify(token, createLocalJWKSet({ keys: [...provider.jwks.keys] }));
    assert.equal(payload['email'], 'ada@example.com', alg);
  }
  const token = await provider.issueToken();
  await provider.rotateKeys({ dropOld: true });
  await assert.rejects(verified(token), /no applicable key/);
});

test('issueToken makes the tokens of an attacker', async () => {
  const secret = new TextEncoder().encode(await publicKeyPem(provider.keys[0]!));
  const confused = await provider.issueToken({ alg: 'HS256', key: secret, kid: '../../etc/passwd' });
  assert.equal((await jwtVerify(confused, secret)).protectedHeader.kid, '../../etc/passwd');
  assert.match(await provider.issueToken({ alg: 'none' }), /^[\w-]+\.[\w-]+\.$/);
  await assert.rejects(verified(await provider.issueToken({ expiresInSeconds: -60 })), /"exp"/);
  await assert.rejects(verified(await provider.issueToken({ notBeforeInSeconds: 60 })), /"nbf"/);
  await assert.rejects(verified(await provider.issueToken({ audience: 'other' })), /"aud"/);
});

test('a provider that is down refuses connections and comes back on its port', async () => {
  await provider.down();
  await assert.rejects(fetch(`${provider.issuer}/jwks`), /fetch failed/);
  await provider.up();
  assert.equal((await fetch(`${provider.issuer}/jwks`)).status, 200);
  assert.equal(provider.requests.at(-1), '/jwks');
});
