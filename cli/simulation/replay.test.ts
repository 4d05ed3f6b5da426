import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewayPolicy, KeyPart, ModelFacts, Quota, Rule } from '../../contract/policy.ts';
import { costQuota, hour, quota, startMs } from '../../extproc/quota/testing.ts';
import type { RecordedRequest } from '../../extproc/quota/usage-records.ts';
import { outcomeOfStream } from '../../extproc/telemetry/testing.ts';
import { Replay } from './replay.ts';

const byTenant: readonly KeyPart[] = [{ type: 'Tenant' }];
const usage = { ...outcomeOfStream.usage!, input: 100, output: 50 };

/** Prices of one nano-unit per token. */
const priced: ModelFacts = {
  name: 'gpt',
  reasoningTokens: 'Auto',
  prices: { currency: 'USD', perMillionTokens: { input: 1_000_000, output: 1_000_000 } },
};

function rule(quotas: readonly Quota[], more: Partial<Rule> = {}): Rule {
  return {
    route: 'default/chat',
    name: 'rule',
    models: ['gpt*'],
    headers: [],
    targets: [{ id: 'id', backend: 'default/openai', weight: 1, priority: 0 }],
    quotas: quotas.map(({ id }) => id),
    access: [],
    requestLimits: {},
    maxRequestBodyBytes: 1000,
    ...more,
  };
}

function replay(
  quotas: readonly Quota[],
  requests: readonly Partial<RecordedRequest>[],
  rules: readonly Rule[] = [rule(quotas)],
  models: readonly ModelFacts[] = [priced],
  sinceMs = startMs,
) {
  const passthrough = {
    method: 'GET',
    path: '/v1/files',
    route: 'default/chat',
    rule: 'rule',
    target: 'id',
    access: [],
  };
  const policy: GatewayPolicy = {
    formatVersion: 6,
    version: 'test',
    virtualHosts: [
      {
        routeNames: ['entry'],
        rules,
        access: [],
        passthrough: [{ ...passthrough, quotas: quotas.map(({ id }) => id) }],
      },
    ],
    backends: [{ name: 'default/openai', schema: 'OpenAI', tokenizer: { encoding: 'Auto' }, models }],
    quotas,
    accessPolicies: [],
    apiKeyShards: [],
  };
  const replayed = new Replay(policy, sinceMs);
  for (const [nth, request] of requests.entries()) {
    replayed.add({
      timeMs: startMs + nth * 60_000,
      tenant: 'red',
      user: null,
      apiKey: null,
      model: 'gpt',
      route: 'default/chat',
      backend: 'default/openai',
      decision: 'admitted',
      usage,
      hasImageTokens: true,
      cost: { nanos: 1_500_000_000, currency: 'USD' },
      ...request,
    });
  }
  return replayed.result();
}

test('requests beyond a limit are refused by key until the window ends', () => {
  const of = quota('Requests', 2, { key: byTenant });
  const at = (minutes: number) => ({ timeMs: startMs + minutes * 60_000 });
  const result = replay([of], [at(0), at(1), { ...at(2), tenant: 'blue' }, at(3), at(4), at(60)]);
  assert.deepEqual([result.requests, result.refused, result.cut], [6, 2, 0]);
  assert.deepEqual(result.quotas, [{ quota: of.id, requests: 6 }]);
  assert.deepEqual(result.keys, [
    {
      quota: of.id,
      key: ['red'],
      mode: 'Enforce',
      first: new Date(startMs + 180_000).toISOString(),
      reasons: { spent: 2 },
      amount: 2,
      unit: 'requests',
      cost: { USD: '3' },
      refused: 2,
      cut: 0,
      inputTokens: 200,
      outputTokens: 100,
    },
  ]);
  assert.deepEqual([result.notSimulated, result.inexact], [[], []]);
});

test('a refused request draws on no other quota', () => {
  const requests = quota('Requests', 1, { key: [] });
  const tokens = quota('TotalTokens', 300, { key: [] });
  const { keys } = replay([requests, tokens], [{}, {}, {}]);
  assert.deepEqual(
    keys.map(({ quota, refused }) => [quota, refused]),
    [[requests.id, 2]],
  );
});

test('output ends where a budget of tokens ends, and later requests are refused', () => {
  const result = replay([quota('TotalTokens', 270, { key: [] })], [{}, {}, {}]);
  assert.deepEqual([result.refused, result.cut], [1, 1]);
  const [key] = result.keys;
  assert.deepEqual([key?.cut, key?.refused, key?.amount, key?.outputTokens], [1, 1, 180, 80]);
});

test('output that two quotas end is attributed to the one with less left', () => {
  const wide = quota('TotalTokens', 130, { key: [], id: 'wide' });
  const narrow = quota('TotalTokens', 120, { key: [], id: 'narrow' });
  for (const quotas of [
    [wide, narrow],
    [narrow, wide],
  ]) {
    const { keys } = replay(quotas, [{}]);
    assert.deepEqual(
      keys.map(({ quota, cut, amount }) => [quota, cut, amount]),
      [['narrow', 1, 30]],
    );
  }
});

test('a record with an earlier time than the one before counts in the later window', () => {
  const of = quota('Requests', 1, { key: [] });
  const result = replay([of], [{ timeMs: startMs + 3_600_000 }, { timeMs: startMs }]);
  assert.equal(result.refused, 1);
});

test('a model whose prices are 0 is not counted by quotas on cost', () => {
  const prices = { currency: 'USD', perMillionTokens: { input: 0, output: 0 } };
  const result = replay([costQuota(1, { key: [] })], [{}], undefined, [{ ...priced, prices }]);
  assert.deepEqual([result.refused, result.quotas[0]?.requests], [0, 0]);
});

test('a quota in shadow mode refuses nothing and shows what it would refuse', () => {
  const result = replay([quota('Requests', 1, { key: byTenant, mode: 'Shadow' })], [{}, {}]);
  assert.equal(result.refused, 0);
  const [key] = result.keys;
  assert.deepEqual([key?.mode, key?.refused, key?.key, key?.reasons], ['Shadow', 1, ['red'], { 'spent or size': 1 }]);
});

test('cost follows the prices of the files, or refuses models without them', () => {
  const of = costQuota(200, { key: [] });
  const result = replay([of], [{}, {}]);
  assert.deepEqual([result.refused, result.cut, result.keys[0]?.amount], [1, 0, '0.00000015']);
  const unpriced = replay([of], [{}], undefined, []);
  assert.deepEqual(unpriced.keys[0]?.reasons, { unpriced: 1 });
});

test('the recorded cost counts for a backend that the files do not have', () => {
  const of = costQuota(2e9, { key: [] });
  const elsewhere = { backend: 'default/old' };
  const result = replay([of], [elsewhere, elsewhere, { ...elsewhere, cost: null }]);
  assert.deepEqual([result.refused, result.keys[0]?.amount], [1, '1.5']);
  assert.deepEqual(
    [...result.inexact, ...result.notSimulated].map(({ quota, requests }) => [quota, requests]),
    [
      [of.id, 2],
      [of.id, 1],
    ],
  );
});

test('costs that depend on images or the service tier are named as inexact', () => {
  const prices = {
    ...priced.prices!,
    serviceTiers: [{ name: 'priority', perMillionTokens: { input: 2, imageInput: 3, output: 1 } }],
  };
  const requests = [{}, { hasImageTokens: false }];
  const result = replay([costQuota(1e9, { key: [] })], requests, undefined, [{ ...priced, prices }]);
  assert.deepEqual(
    result.inexact.map(({ requests, reason }) => [requests, /service tier|image/.exec(reason)?.[0]]),
    [
      [2, 'service tier'],
      [1, 'image'],
    ],
  );
});

test('quotas over what records do not have are named, and refuse nothing', () => {
  const of = (id: string, more: Partial<Quota>) => quota('Requests', 0, { key: [], ...more, id });
  const quotas = [
    of('header', { key: [{ type: 'Header', name: 'x-team' }] }),
    of('claim', { key: [{ type: 'Claim', claim: 'team' }] }),
    of('group', { key: [{ type: 'Group' }] }),
    of('stream', { when: 'request.stream' }),
    of('groups', { when: '"staff" in caller.groups' }),
    of('concurrent', { limit: { type: 'ConcurrentRequests', amount: 1 }, window: { type: 'None' } }),
  ];
  const result = replay(quotas, [{}, {}]);
  assert.deepEqual([result.refused, result.quotas, result.keys], [0, [], []]);
  assert.deepEqual(
    result.notSimulated.map(({ quota }) => quota),
    quotas.map(({ id }) => id),
  );
});

test('a condition over the model and the caller selects requests', () => {
  const of = quota('Requests', 1, { key: [], when: 'caller.tenant == "red" && request.model == "gpt"' });
  const result = replay([of], [{ tenant: 'blue' }, {}, { tenant: 'blue' }, {}]);
  assert.deepEqual([result.refused, result.quotas], [1, [{ quota: of.id, requests: 2 }]]);
});

test('a quota of only some rules that may have served a request is not simulated for it', () => {
  const gold = quota('Requests', 0, { key: [], id: 'gold' });
  const all = quota('Requests', 1, { key: [], id: 'all' });
  const headers = [{ name: 'x-tier', type: 'Exact', value: 'gold' }] as const;
  const rules = [rule([gold, all], { headers }), rule([all]), rule([gold])];
  const result = replay([gold, all], [{}, {}], rules);
  assert.deepEqual([result.keys[0]?.quota, result.refused], ['all', 1]);
  assert.deepEqual(
    result.notSimulated.map(({ quota, requests }) => [quota, requests]),
    [['gold', 2]],
  );
});

test('the key Model has the matched pattern for names that clients invent', () => {
  const of = quota('Requests', 1, { key: [{ type: 'Model' }] });
  const result = replay([of], [{ model: 'gpt-x' }, { model: 'gpt-y' }, {}, {}]);
  assert.deepEqual(
    result.keys.map(({ key, refused }) => [key, refused]),
    [
      [['gpt*'], 1],
      [['gpt'], 1],
    ],
  );
  const { notSimulated } = replay([of], [{ backend: 'default/old' }]);
  assert.deepEqual([notSimulated[0]?.quota, notSimulated[0]?.requests], [of.id, 1]);
});

test('requests without a key are refused or share one budget, as the quota says', () => {
  const refusing = replay([quota('Requests', 1, { key: byTenant })], [{ tenant: null }]);
  assert.deepEqual(refusing.keys[0]?.reasons, { 'no Tenant': 1 });
  const sharing = replay(
    [quota('Requests', 1, { key: byTenant, onMissingKey: 'Shared' })],
    [{ tenant: null }, { tenant: null }],
  );
  assert.deepEqual([sharing.keys[0]?.reasons, sharing.keys[0]?.key], [{ spent: 1 }, []]);
});

test('requests whose tokens are unknown count as requests only', () => {
  const requests = quota('Requests', 5, { key: [], window: hour });
  const tokens = quota('TotalTokens', 10, { key: [] });
  const result = replay([requests, tokens], [{ decision: 'recovered' }, { usage: null }]);
  assert.equal(result.refused, 0);
  assert.deepEqual(
    result.quotas.map(({ requests }) => requests),
    [2, 0],
  );
  assert.deepEqual(
    result.notSimulated.map(({ quota, requests }) => [quota, requests]),
    [
      [tokens.id, 1],
      [tokens.id, 1],
    ],
  );
});

test('passthrough counts on requests, and is refused where tokens must be metered', () => {
  const requests = quota('Requests', 1, { key: [] });
  const unread = { model: null, usage: null, cost: null };
  assert.deepEqual(replay([requests], [unread, unread]).keys[0]?.reasons, { spent: 1 });
  const tokens = quota('TotalTokens', 10, { key: [] });
  assert.deepEqual(replay([tokens], [unread]).keys[0]?.reasons, { unmetered: 1 });
  assert.equal(replay([{ ...tokens, unmetered: 'Allow' }], [unread]).refused, 0);
});

test('requests that the files do not route, and shortened names, are named', () => {
  const of = quota('Requests', 0, { key: [] });
  const result = replay([of], [{ route: 'default/old' }, { model: 'other' }, { tenant: 'x'.repeat(257) }]);
  assert.equal(result.refused, 0);
  assert.deepEqual(
    result.notSimulated.map(({ requests, reason }) => [requests, /default\/\w+|shortened/.exec(reason)?.[0]]),
    [
      [1, 'default/old'],
      [1, 'default/chat'],
      [1, 'shortened'],
    ],
  );
});

test('requests before the start are charged to their windows, and not shown', () => {
  const day: Quota['window'] = { type: 'Calendar', unit: 'Day', timeZone: 'UTC' };
  const quotas = [quota('Requests', 3, { key: [], window: day })];
  const timesMs = [-30 * 3_600_000, 0, 60_000, 120_000, 180_000].map((ms) => ({ timeMs: startMs + ms }));
  const result = replay(quotas, timesMs, undefined, undefined, startMs + 100_000);
  assert.deepEqual([result.requests, result.refused, result.first], [2, 1, new Date(startMs + 120_000).toISOString()]);
  assert.deepEqual(result.quotas, [{ quota: quotas[0]!.id, requests: 2 }]);
  assert.deepEqual(result.inexact, []);
});

test('a window that began before the records is named', () => {
  const month: Quota['window'] = { type: 'Calendar', unit: 'Month', timeZone: 'UTC' };
  const quotas = [quota('Requests', 3, { key: [], window: month })];
  const result = replay(quotas, [{}, {}], undefined, undefined, startMs);
  assert.deepEqual(
    result.inexact.map(({ quota, reason }) => [quota, /began earlier than the records/.test(reason)]),
    [[quotas[0]!.id, true]],
  );
});
