import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessPolicy, AllowRule } from '../../contract/access-policy.ts';
import { isFailure } from '../errors.ts';
import type { HeaderList } from '../exchange.ts';
import { compileAccessPolicy } from './compile.ts';
import { type AccessDemand, admit, authenticate, type CallerIdentity, mayUse, refusedAtHeaders } from './decide.ts';
import { Presented } from './presented.ts';
import {
  accessPolicy,
  apiKey,
  bearer,
  claimsWith,
  identified,
  jwtAuthenticator,
  keyAuthenticator,
  NOW,
  newAccessRig,
  newSigningKey,
  signedToken,
} from './testing.ts';

const signing = await newSigningKey();
const certificate = {
  type: 'ClientCertificate',
  id: 'default/internal/mesh',
  identity: { tenant: { from: 'URISAN', pattern: 'spiffe://example.org/ns/{value}/*' } },
} as const;
const attributes = { 'connection.uri_san_peer_certificate': 'spiffe://example.org/ns/ads/sa/batch' };
const token = await signedToken(signing);

const get = [':method', 'GET'] as const;

const anyOf = accessPolicy([keyAuthenticator, jwtAuthenticator([signing.jwk]), certificate]);

async function method(headers: HeaderList, more: object = {}): Promise<string> {
  const result = await newAccessRig().authenticate([anyOf], headers, { keys: [apiKey('tg-one')], ...more });
  return isFailure(result)
    ? `${result.status} ${result.message}`
    : `${result.proven.method} ${result.proven.caller.tenant}`;
}

test('any one of the authenticators identifies the caller', async () => {
  assert.equal(await method(bearer('tg-one')), 'api_key search');
  assert.equal(await method([['x-api-key', 'tg-one']]), 'api_key search');
  assert.equal(await method(bearer(token)), 'jwt search');
  assert.equal(await method([['x-api-key', token]]), 'jwt search');
  assert.equal(await method([], { attributes }), 'client_certificate ads');
  assert.equal(await method(bearer('unused'), { attributes }), 'client_certificate ads');
});

test('a header that looks like an attribute identifies nobody', async () => {
  const headers: HeaderList = [
    ...Object.entries(attributes),
    ['x-forwarded-client-cert', 'URI=spiffe://example.org/ns/ads/sa/batch'],
    ['x-tallygate-tenant', 'ads'],
    ['x-tenant', 'ads'],
  ];
  assert.match(await method(headers), /^401 The request has no credential/);
});

test('two different credentials are refused, also if both are valid', async () => {
  assert.match(await method([...bearer('tg-one'), ['x-api-key', token]]), /^401 The request has two different/);
  assert.match(await method([...bearer('tg-one'), ['api-key', 'x']], { attributes }), /^401 The request has two/);
});

test('unknown, revoked and expired keys get the same answer', async () => {
  const unknown = await method(bearer('tg-two'));
  const expired = await method(bearer('tg-one'), { keys: [apiKey('tg-one', { expiresAtMs: NOW * 1000 })] });
  const ofOthers = await method(bearer('tg-one'), { keys: [apiKey('tg-one', { authenticators: ['other/p/keys'] })] });
  assert.match(unknown, /^401 The credential is not valid/);
  assert.equal(expired, unknown);
  assert.equal(ofOthers, unknown);
  assert.equal(await method(bearer(`${token}x`)), unknown);
});

test('a token in the cookie identifies the caller unless a header has a credential', async () => {
  const policy = accessPolicy([keyAuthenticator, jwtAuthenticator([signing.jwk], { cookie: 'IdToken' })]);
  const cookie = ['cookie', `IdToken=${token}`] as const;
  const codes: string[] = [];
  for (const headers of [[get, cookie], [...bearer('tg-one'), cookie], [...bearer('wrong'), cookie], bearer(token)]) {
    const result = await newAccessRig().authenticate([policy], headers, { keys: [apiKey('tg-one')] });
    codes.push(isFailure(result) ? result.code : result.proven.method);
  }
  assert.deepEqual(codes, ['jwt', 'api_key', 'unauthenticated', 'unauthenticated']);
});

test('a cookie identifies the caller only of requests that a page of another origin cannot forge', async () => {
  const policy = accessPolicy([keyAuthenticator, jwtAuthenticator([signing.jwk], { cookie: 'IdToken' }), certificate]);
  const cookie = ['cookie', `IdToken=${token}`] as const;
  const text = ['content-type', 'text/plain'] as const;
  const json = ['content-type', 'application/json; charset=utf-8'] as const;
  const requests: readonly (readonly [string, HeaderList, string, object?])[] = [
    ['POST', [cookie, json], 'jwt'],
    ['GET', [cookie], 'jwt'],
    ['HEAD', [cookie, text], 'jwt'],
    ['POST', [cookie], 'forbidden'],
    ['POST', [cookie, text], 'forbidden'],
    ['DELETE', [cookie, text], 'forbidden'],
    ['POST', [text], 'unauthenticated'],
    ['POST', [cookie, text, ...bearer('tg-one')], 'api_key'],
    ['POST', [cookie, text], 'client_certificate', attributes],
  ];
  for (const [verb, headers, expected, ofConnection = {}] of requests) {
    const more = { keys: [apiKey('tg-one')], attributes: ofConnection as Readonly<Record<string, string>> };
    const result = await newAccessRig().authenticate([policy], [[':method', verb], ...headers], more);
    assert.equal(isFailure(result) ? result.code : result.proven.method, expected, `${verb} ${headers}`);
  }
});

const inner = (changes: Partial<AccessPolicy>): AccessPolicy => accessPolicy([], { name: 'default/inner', ...changes });

test('an inner policy without authenticators restricts the caller of the outer one', async () => {
  const rig = newAccessRig();
  const policies = [anyOf, inner({ allow: [{ name: 'ads', principals: [{ tenant: 'ads' }] }] })];
  const codes: string[] = [];
  for (const more of [{ keys: [apiKey('tg-one')] }, { keys: [apiKey('tg-one', { tenant: 'ads' })] }]) {
    const identity = identified(await rig.authenticate(policies, bearer('tg-one'), more));
    const result = admit(identity, demandWith());
    codes.push(isFailure(result) ? result.code : 'admitted');
  }
  assert.deepEqual(codes, ['forbidden', 'admitted']);
});

test('a policy without authenticators and without an outer one that has some admits nobody', async () => {
  for (const policies of [[inner({})], [inner({}), anyOf]]) {
    const result = await newAccessRig().authenticate(policies, bearer('tg-one'), { keys: [apiKey('tg-one')] });
    assert.equal(isFailure(result) && result.code, 'unauthenticated');
  }
});

test('each policy identifies its own caller, and the outermost counts for quotas', async () => {
  const team = accessPolicy([jwtAuthenticator([signing.jwk], { identity: { tenant: { claim: 'email' } } })], {
    name: 'default/team',
    allow: [{ name: 'ada', principals: [{ tenant: 'ada@example.org' }] }],
  });
  const identity = identified(await newAccessRig().authenticate([anyOf, team], bearer(token)));
  assert.equal(identity.proven.caller.tenant, 'search');
  assert.ok(!isFailure(admit(identity, demandWith())));
  const swapped = identified(await newAccessRig().authenticate([team, anyOf], bearer(token)));
  assert.equal(swapped.proven.caller.tenant, 'ada@example.org');
});

test('policies that are satisfied already are not checked again', () => {
  const rig = newAccessRig();
  const services = rig.services([apiKey('tg-one')]);
  const outerPolicy = compileAccessPolicy(accessPolicy([keyAuthenticator]));
  const innerPolicy = compileAccessPolicy(inner({}));
  const presented = new Presented(bearer('tg-one'), new Map());
  const outer = authenticate([outerPolicy], presented, services) as CallerIdentity;
  assert.equal(authenticate([outerPolicy], presented, services, outer), outer);
  const both = authenticate([outerPolicy, innerPolicy], presented, rig.services(), outer) as CallerIdentity;
  assert.deepEqual(both.policies, [outerPolicy, innerPolicy]);
  assert.equal(both.proven, outer.proven);
  assert.equal(both.callers[1], outer.proven);
});

function demandWith(changes: Partial<AccessDemand> = {}): AccessDemand {
  return { model: 'gpt-4o', endpoint: 'chat', stream: false, maxOutputTokens: 1000, ...changes };
}

async function identityOf(allow: readonly AllowRule[], key = apiKey('tg-one', { groups: ['engineering', 'batch'] })) {
  const policy = accessPolicy([keyAuthenticator], { allow });
  return identified(await newAccessRig().authenticate([policy], bearer('tg-one'), { keys: [key] }));
}

async function decision(allow: readonly AllowRule[], changes: Partial<AccessDemand> = {}): Promise<string> {
  const result = admit(await identityOf(allow), demandWith(changes));
  return isFailure(result) ? result.code : `admitted ${result.group ?? ''}`.trim();
}

const everyone = [{ authenticated: true }] as const;

test('an empty list allows nothing', async () => {
  assert.equal(await decision([]), 'forbidden');
});

test('a principal needs all its members, a rule one of its principals', async () => {
  const rule = (...principals: AllowRule['principals']): AllowRule[] => [{ name: 'r', principals }];
  assert.equal(await decision(rule({ tenant: 'search' })), 'admitted');
  assert.equal(await decision(rule({ tenant: 'search', user: 'other' })), 'forbidden');
  assert.equal(await decision(rule({ tenant: 'search', group: 'batch' })), 'admitted batch');
  assert.equal(await decision(rule({ tenant: 'Search' }, { group: 'Engineering' })), 'forbidden');
  assert.equal(await decision(rule({ tenant: 'ads' }, { user: 'batch' })), 'admitted');
});

test('an absent tenant matches no principal', async () => {
  const { tenant: _, ...withoutTenant } = apiKey('tg-one');
  for (const tenant of ['undefined', '', 'null']) {
    const identity = await identityOf([{ name: 'r', principals: [{ tenant }] }], withoutTenant);
    assert.ok(isFailure(admit(identity, demandWith())), tenant);
  }
});

test('the group is that of the rule that admits the caller', async () => {
  const rules: AllowRule[] = [
    { name: 'chat', principals: [{ group: 'engineering' }], endpoints: ['embeddings'] },
    { name: 'batch', principals: [{ group: 'other' }, { group: 'batch' }] },
  ];
  assert.equal(await decision(rules), 'admitted batch');
  assert.equal(await decision(rules, { endpoint: 'embeddings' }), 'admitted engineering');
});

const models: readonly (readonly [pattern: string, model: string | undefined, allowed: boolean])[] = [
  ['gpt-4o', 'gpt-4o', true],
  ['gpt-4o', 'GPT-4o', false],
  ['gpt-4o', 'gpt-4o ', false],
  ['gpt-4o', ' gpt-4o', false],
  ['gpt-4o', 'gpt-4o\0', false],
  ['gpt-4o', 'gpt-4ο', false],
  ['gpt-4o', 'ɡpt-4o', false],
  ['gpt-4o', 'gpt‑4o', false],
  ['gpt-4o', 'gpt-4o\u200b', false],
  ['gpt-4o', 'gpt-4o-mini', false],
  ['gpt-4o', 'openai/gpt-4o', false],
  ['gpt-4o', '*', false],
  ['gpt-4o', 'gpt-*', false],
  ['gpt-*', 'gpt-4o-mini', true],
  ['gpt-*', 'GPT-4o', false],
  ['gpt-*', 'xgpt-4o', false],
  ['café', 'cafe\u0301', false],
  ['*', 'anything', true],
  ['*', undefined, true],
  ['gpt-*', undefined, false],
];

for (const [pattern, model, allowed] of models) {
  test(`${pattern} ${allowed ? 'allows' : 'does not allow'} ${model === undefined ? 'no model' : JSON.stringify(model)}`, async () => {
    const rules: AllowRule[] = [{ name: 'r', principals: everyone, models: [pattern] }];
    assert.equal(await decision(rules, { model }), allowed ? 'admitted' : 'model_not_allowed');
    if (model !== undefined) {
      assert.equal(mayUse(await identityOf(rules), model), allowed);
    }
  });
}

test('endpoint and condition must match too', async () => {
  const rules: AllowRule[] = [
    {
      name: 'r',
      principals: everyone,
      models: ['gpt-*'],
      endpoints: ['chat'],
      when: 'request.maxOutputTokens <= 1000',
    },
  ];
  assert.equal(await decision(rules), 'admitted');
  assert.equal(await decision(rules, { endpoint: 'responses' }), 'forbidden');
  assert.equal(await decision(rules, { endpoint: 'passthrough', model: undefined }), 'forbidden');
  assert.equal(await decision(rules, { maxOutputTokens: 1001 }), 'forbidden');
  assert.equal(await decision(rules, { maxOutputTokens: undefined }), 'forbidden');
  assert.equal(await decision(rules, { model: 'o3' }), 'model_not_allowed');
});

test('a condition that fails admits nobody', async () => {
  const { tenant: _, ...withoutTenant } = apiKey('tg-one');
  const identity = await identityOf(
    [{ name: 'r', principals: everyone, when: 'caller.tenant != "ads"' }],
    withoutTenant,
  );
  assert.ok(isFailure(admit(identity, demandWith())));
});

test('a caller without any rule for the endpoint is refused at the headers', async () => {
  const rules: AllowRule[] = [
    { name: 'chat', principals: [{ group: 'engineering' }], endpoints: ['chat'], models: ['gpt-*'] },
    { name: 'all', principals: [{ tenant: 'ads' }] },
  ];
  const identity = await identityOf(rules);
  assert.equal(refusedAtHeaders(identity, 'chat'), undefined);
  assert.equal(refusedAtHeaders(identity, undefined), undefined);
  assert.equal(refusedAtHeaders(identity, 'embeddings')?.code, 'forbidden');
  assert.equal(refusedAtHeaders(await identityOf(rules.slice(1)), undefined)?.code, 'forbidden');
});

test('no answer names a tenant, a rule, a policy or a key', async () => {
  const secret = 'top-secret-name';
  const rules: AllowRule[] = [{ name: secret, principals: [{ tenant: secret }], models: [secret] }];
  const key = apiKey('tg-one', { id: `default/${secret}`, tenant: 'x', user: secret });
  const policy = accessPolicy([keyAuthenticator], { name: `default/${secret}`, allow: rules });
  const rig = newAccessRig();
  const identity = identified(await rig.authenticate([policy], bearer('tg-one'), { keys: [key] }));
  const answers = [
    admit(identity, demandWith()),
    refusedAtHeaders(identity, 'chat'),
    await rig.authenticate([policy], bearer(secret), { keys: [key] }),
    await rig.authenticate([policy], [...bearer(secret), ['x-api-key', 'b']], { keys: [key] }),
    await rig.authenticate([policy], [['authorization', `Basic ${secret}`]], { keys: [key] }),
  ];
  for (const answer of answers) {
    assert.ok(answer !== undefined && isFailure(answer));
    assert.ok(!JSON.stringify(answer).includes(secret));
  }
});

test('claims are read by name, then by path, and own members only', async () => {
  const claims = claimsWith({
    'https://example.org/team': 'by-name',
    realm_access: { roles: ['a', 'b', 7, ''], team: 42 },
    one: ['x'],
    two: ['x', 'y'],
    empty: '',
  });
  const caller = async (identity: Parameters<typeof jwtAuthenticator>[1] & object) => {
    const policy = accessPolicy([jwtAuthenticator([signing.jwk], identity)]);
    const headers = bearer(await signedToken(signing, claims));
    return identified(await newAccessRig().authenticate([policy], headers)).proven.caller;
  };
  const found = await caller({
    identity: {
      tenant: { claim: 'https://example.org/team' },
      user: { claim: 'realm_access.team' },
      groups: { claim: 'realm_access.roles' },
    },
  });
  assert.equal(found.tenant, 'by-name');
  assert.equal(found.user, '42');
  assert.deepEqual(found.groups, ['a', 'b']);
  assert.equal(found.claim('one'), 'x');
  for (const name of [
    'two',
    'empty',
    'realm_access',
    'absent',
    '__proto__',
    'constructor.name',
    'toString',
    'one.length',
  ]) {
    assert.equal(found.claim(name), undefined, name);
  }
});
