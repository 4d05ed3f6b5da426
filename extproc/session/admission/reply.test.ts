/** What callers with different rights learn of models and quotas. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessPolicy, AllowRule, ApiKey } from '../../../contract/access-policy.ts';
import type { KeyPart, Quota, Rule } from '../../../contract/policy.ts';
import {
  accessPolicy,
  apiKey,
  bearer,
  jwtAuthenticator,
  keyAuthenticator,
  newSigningKey,
  shardsOf,
  signedToken,
} from '../../access/testing.ts';
import type { HeaderList, ImmediateResponse } from '../../exchange.ts';
import { basePolicy, ENTRY, newExchange, newRig } from '../testing.ts';

const KEYS = [
  apiKey('key-of-ada', { user: 'ada', groups: ['engineering', 'research'] }),
  apiKey('key-of-ben', { tenant: 'ads', user: 'ben' }),
  withoutTenant(apiKey('key-of-guest', { user: 'guest' })),
];

function withoutTenant({ tenant: _tenant, ...key }: ApiKey): ApiKey {
  return key;
}

const signingKey = await newSigningKey();

const rule = (name: string, more: Partial<Rule>): Rule => ({ ...basePolicy.virtualHosts[0]!.rules[0]!, name, ...more });

const quota = (name: string, key: readonly KeyPart[]): Quota => ({ ...basePolicy.quotas[0]!, id: name, key });

interface World {
  readonly allow: readonly AllowRule[];
  /** Of the rule `expert`, in addition. */
  readonly expert?: Partial<AccessPolicy>;
  /** Whether `internal` applies to all rules, and not to `expert` only. */
  readonly everywhere?: boolean;
  readonly plainErrors?: boolean;
  /** The models of the rule `usual`. */
  readonly usual?: readonly string[];
}

function rules(everywhere: boolean, usual: readonly string[]): readonly Rule[] {
  const access = everywhere ? ['default/internal'] : [];
  return [
    rule('expert', { models: ['gpt-expert'], access: [...access, 'default/expert'], quotas: ['experts'] }),
    rule('usual', { models: usual, access, quotas: ['users', 'groups', 'models'] }),
  ];
}

function open({ allow, expert = {}, everywhere = true, plainErrors = false, usual = ['gpt-a', 'gpt-b'] }: World) {
  const rig = newRig({
    shared: () => ({ plainErrors }),
    policy: {
      virtualHosts: [
        {
          routeNames: ['entry'],
          access: everywhere ? ['default/internal'] : [],
          passthrough: [],
          rules: rules(everywhere, usual),
        },
      ],
      quotas: [
        quota('users', [{ type: 'Tenant' }, { type: 'User' }]),
        quota('groups', [{ type: 'Group' }]),
        quota('models', [{ type: 'Model' }]),
        quota('experts', []),
      ],
      accessPolicies: [
        accessPolicy([keyAuthenticator, jwtAuthenticator([signingKey.jwk])], { allow }),
        accessPolicy([keyAuthenticator, jwtAuthenticator([signingKey.jwk])], { name: 'default/expert', ...expert }),
      ],
      apiKeyShards: shardsOf(KEYS),
    },
  });
  return async (path: string, headers: HeaderList) => {
    const { promise, resolve } = Promise.withResolvers<ImmediateResponse>();
    const handler = rig.open({ ...newExchange(), immediateResponse: resolve });
    handler.requestHeaders([[':method', 'GET'], [':path', path], ...headers], true, ENTRY);
    const { status, body } = await promise;
    assert.deepEqual(rig.faults, []);
    return { status, json: JSON.parse(Buffer.from(body).toString()) };
  };
}

type Ask = ReturnType<typeof open>;

async function modelsOf(ask: Ask, headers: HeaderList) {
  const { json } = await ask('/v1/models', headers);
  return json.data.map(({ id }: { readonly id: string }) => id);
}

async function quotasOf(ask: Ask, headers: HeaderList, path = '/v1/quota'): Promise<readonly string[]> {
  const { json } = await ask(path, headers);
  return json.data.map(
    ({ name, key }: { readonly name: string; readonly key: readonly { readonly value: string }[] }) =>
      [name, ...key.map(({ value }) => value)].join(' '),
  );
}

const all: AllowRule = { name: 'all', principals: [{ authenticated: true }] };
const searchOnly: AllowRule = { name: 'search', principals: [{ tenant: 'search' }] };

test('a caller lists the models that the allow rules of all its policies name', async () => {
  const ask = open({
    allow: [searchOnly, { name: 'others', principals: [{ authenticated: true }], models: ['*-a', 'gpt-expert'] }],
    expert: { allow: [searchOnly] },
  });
  assert.deepEqual(await modelsOf(ask, bearer('key-of-ada')), ['gpt-a', 'gpt-b', 'gpt-expert']);
  assert.deepEqual(await modelsOf(ask, bearer('key-of-ben')), ['gpt-a']);
  assert.equal((await ask('/v1/models/gpt-a', bearer('key-of-ben'))).status, 200);
  for (const hidden of ['gpt-b', 'gpt-expert', 'no-such-model']) {
    const { status, json } = await ask(`/v1/models/${hidden}`, bearer('key-of-ben'));
    assert.deepEqual([status, json.error.code], [404, 'model_not_found']);
  }
});

test('without a valid credential nobody lists anything', async () => {
  const ask = open({ allow: [all] });
  for (const path of ['/v1/models', '/v1/models/gpt-a', '/v1/quota']) {
    for (const headers of [[], bearer('unknown-key'), bearer('a.b.c')]) {
      const { status, json } = await ask(path, headers);
      assert.deepEqual([status, json.error.code], [401, 'unauthenticated'], path);
    }
  }
});

test('a caller whom no rule allows anything is refused', async () => {
  const ask = open({ allow: [searchOnly] });
  assert.equal((await ask('/v1/models', bearer('key-of-ben'))).status, 403);
  assert.equal((await ask('/v1/quota', bearer('key-of-ben'))).status, 403);
});

test('a policy of one rule hides its models only', async () => {
  const ask = open({ allow: [all], everywhere: false, expert: { allow: [searchOnly] } });
  assert.deepEqual(await modelsOf(ask, []), ['gpt-a', 'gpt-b']);
  assert.deepEqual(await modelsOf(ask, bearer('key-of-ben')), ['gpt-a', 'gpt-b']);
  assert.deepEqual(await modelsOf(ask, bearer('key-of-ada')), ['gpt-a', 'gpt-b', 'gpt-expert']);
  assert.equal((await ask('/v1/models/gpt-expert', [])).status, 401);
});

test('a token that only a policy of one rule asks for is verified before the reply', async () => {
  const ask = open({ allow: [all], everywhere: false });
  const token = await signedToken(signingKey);
  assert.deepEqual(await modelsOf(ask, bearer(token)), ['gpt-a', 'gpt-b', 'gpt-expert']);
  assert.ok((await quotasOf(ask, bearer(token))).includes('experts'));
});

test('a caller sees its own budgets, and those of the models that it may use', async () => {
  const ask = open({ allow: [searchOnly, { ...all, models: ['gpt-a'] }], expert: { allow: [searchOnly] } });
  const ofAll = ['groups ', 'models gpt-a'];
  assert.deepEqual(await quotasOf(ask, bearer('key-of-ada')), [
    'experts',
    'users search ada',
    ...ofAll,
    'models gpt-b',
  ]);
  assert.deepEqual(await quotasOf(ask, bearer('key-of-ben')), ['users ads ben', ...ofAll]);
  assert.deepEqual(await quotasOf(ask, bearer('key-of-guest')), ['users  ', ...ofAll], 'its key has no tenant');
  assert.deepEqual(await quotasOf(ask, bearer('key-of-ben'), '/v1/quota?model=gpt-b'), []);
});

test('a claim of identity in a header shows no other budget', async () => {
  const ask = open({ allow: [all] });
  const forged: HeaderList = [...bearer('key-of-ben'), ['x-tallygate-tenant', 'search'], ['x-tallygate-user', 'ada']];
  assert.ok((await quotasOf(ask, forged)).includes('users ads ben'));
});

test('each group by which a caller can be admitted has its budget', async () => {
  const group = (name: string, more: Partial<AllowRule> = {}): AllowRule => ({
    name,
    principals: [{ group: name }],
    ...more,
  });
  const ask = open({
    allow: [group('research', { endpoints: ['embeddings'] }), group('engineering'), group('sales'), all],
  });
  const groups = (await quotasOf(ask, bearer('key-of-ada'))).filter((name) => name.startsWith('groups'));
  assert.deepEqual(groups, ['groups research', 'groups engineering']);
});

test('a report has at most 100 budgets, and says that there are more', async () => {
  const usual = Array.from({ length: 150 }, (_, place) => `gpt-${place}`);
  const ask = open({ allow: [all], usual });
  const { json } = await ask('/v1/quota', bearer('key-of-ada'));
  assert.deepEqual([json.data.length, json.has_more], [100, true]);
  assert.deepEqual(await quotasOf(ask, bearer('key-of-ada'), '/v1/quota?model=gpt-149'), [
    'users search ada',
    'groups ',
    'models gpt-149',
  ]);
});

test('a report names no quota where errors are plain', async () => {
  const ask = open({ allow: [all], plainErrors: true });
  const { json } = await ask('/v1/quota', bearer('key-of-ada'));
  assert.ok(json.data.length > 0);
  assert.ok(json.data.every((row: object) => !('name' in row)));
});
