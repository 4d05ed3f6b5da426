import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import type { BackendPolicy, ModelFacts, Rule } from '../../contract/policy.ts';
import type { ModelPrices } from '../../contract/tokens.ts';
import { newRandom } from '../../tools/fuzz/random.ts';
import type { CompiledRule, CompiledTarget } from '../policy/compile.ts';
import type { RequestFacts } from '../providers/adapter.ts';
import { FirstTokenTimes } from './first-token-times.ts';
import { firstTokenKey, weightsFor } from './load-balancer.ts';
import { PassiveHealth } from './passive-health.ts';
import { chooseTarget } from './routing.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig } from './testing.ts';

const NOW = Date.UTC(2026, 10, 27, 12);
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

const facts: RequestFacts = {
  model: 'm',
  stream: true,
  choices: 1,
  leastOutputTokens: 1,
  hasOutput: true,
  hiddenOutput: false,
  usageAsked: true,
  textBytes: 4_000,
  overheadTokens: 0,
  mediaTokens: 0,
  givenTokens: 0,
  unbounded: [],
};

function prices(input: number, output: number, currency = 'USD'): ModelPrices {
  return { currency, perMillionTokens: { input: input * 1e9, output: output * 1e9 } };
}

function target(name: string, priced?: ModelPrices, more: Partial<CompiledTarget> = {}): CompiledTarget {
  const known: ModelFacts = { name: 'm', reasoningTokens: 'None', ...(priced && { prices: priced }) };
  const backendPolicy: BackendPolicy = { name, schema: 'OpenAI', tokenizer: { encoding: 'Auto' }, models: [known] };
  return { id: name, backend: name, weight: 1, priority: 0, backendPolicy, ...more };
}

function ruleWith(loadBalancer: NonNullable<Rule['loadBalancer']>, outputTokens?: number): CompiledRule {
  const rule: Rule = {
    route: 'r',
    name: 'r',
    models: ['m'],
    headers: [],
    targets: [],
    quotas: [],
    access: [],
    requestLimits: outputTokens === undefined ? {} : { outputTokens },
    maxRequestBodyBytes: 1,
    loadBalancer,
  };
  return { rule, targets: [], quotas: [], access: [], guardrails: [], content: [], models: [], headers: [] };
}

interface Choice {
  readonly asks?: Partial<RequestFacts>;
  readonly resting?: Readonly<Record<string, number>>;
  readonly key?: string;
  readonly random?: number;
  readonly times?: FirstTokenTimes;
  readonly nowMs?: number;
  readonly rule?: CompiledRule;
}

function choose(targets: readonly CompiledTarget[], options: Choice = {}): string | undefined {
  const { rule = ruleWith('LeastCost'), times = new FirstTokenTimes(), nowMs = NOW } = options;
  return chooseTarget(
    targets,
    () => true,
    () => true,
    ({ id }) => options.resting?.[id],
    options.random ?? 0,
    () => options.key,
    weightsFor(rule, { ...facts, ...options.asks }, times, nowMs),
  )?.backend;
}

describe('least cost', () => {
  const wordy = target('wordy', prices(10, 1));
  const terse = target('terse', prices(1, 10));

  it('takes the target that is cheapest for the input and the output bound of the request', () => {
    assert.equal(choose([wordy, terse], { asks: { askedOutputTokens: 10 } }), 'terse');
    assert.equal(choose([wordy, terse], { asks: { askedOutputTokens: 4_000 } }), 'wordy');
    assert.equal(choose([wordy, terse], { asks: { askedOutputTokens: 900, choices: 2 } }), 'wordy');
    assert.equal(
      choose([wordy, terse], { asks: { askedOutputTokens: 4_000 }, rule: ruleWith('LeastCost', 10) }),
      'terse',
    );
    assert.equal(choose([wordy, terse], { asks: { hasOutput: false, askedOutputTokens: 4_000 } }), 'terse');
  });

  it('uses the prices in force, and those of the service tier that the request asks for', () => {
    const changing = target('changing', prices(5, 5));
    const changes = [{ fromMs: NOW + MINUTE, prices: prices(1, 1) }];
    const models = [{ ...changing.backendPolicy.models[0]!, priceChanges: changes }];
    const soon = { ...changing, backendPolicy: { ...changing.backendPolicy, models } };
    const other = target('other', prices(3, 3));
    assert.equal(choose([soon, other]), 'other');
    assert.equal(choose([soon, other], { nowMs: NOW + MINUTE }), 'changing');
    const flex = { name: 'flex', perMillionTokens: prices(1, 1).perMillionTokens };
    const tiered = target('tiered', {
      ...prices(2, 2),
      serviceTiers: [{ ...flex, name: 'priority', ...prices(9, 9) }],
    });
    assert.equal(choose([tiered, other], { asks: { serviceTier: 'default' } }), 'tiered');
    assert.equal(choose([tiered, other], { asks: { serviceTier: 'priority' } }), 'other');
  });

  it('takes targets without a price, or with one in another currency, last', () => {
    const unpriced = target('unpriced');
    const foreign = target('foreign', prices(1, 1, 'EUR'));
    const halfPriced = target('half', { currency: 'USD', perMillionTokens: { input: 1 } });
    for (const random of [0, 0.5, 0.999]) {
      assert.equal(choose([unpriced, wordy, foreign, halfPriced], { random }), 'wordy');
    }
    assert.equal(choose([unpriced, wordy], { resting: { wordy: NOW + 1 } }), 'unpriced');
  });

  it('shares requests by weight among targets that cost the same', () => {
    const equal = [target('a', prices(1, 1), { weight: 3 }), target('b', prices(1, 1)), wordy];
    assert.deepEqual(
      [0, 0.74, 0.76, 0.999].map((random) => choose(equal, { random })),
      ['a', 'a', 'b', 'b'],
    );
    const unpriced = [target('a'), target('b')];
    assert.deepEqual(
      [0, 0.6].map((random) => choose(unpriced, { random })),
      ['a', 'b'],
    );
  });

  it('does not move a client session, and never precedes priority', () => {
    const sessions = ['k1', 'k2', 'k3', 'k4', 'k5', 'k6'].map((key) => choose([wordy, terse], { key }));
    assert.deepEqual(new Set(sessions), new Set(['wordy', 'terse']));
    const free = target('free', prices(0, 0), { priority: 1 });
    assert.equal(choose([free, wordy]), 'wordy');
  });
});

describe('least latency', () => {
  const red = target('red');
  const blue = target('blue');
  const rule = ruleWith('LeastLatency');
  const teach = (times: FirstTokenTimes, of: CompiledTarget, ms: number, nowMs = NOW) =>
    times.observe(firstTokenKey(of, facts), ms, nowMs);

  function shareOfRed(times: FirstTokenTimes, nowMs = NOW, asks: Partial<RequestFacts> = {}): number {
    const random = newRandom(7);
    const choices = Array.from({ length: 10_000 }, () =>
      choose([red, blue], { rule, times, nowMs, asks, random: random.next() }),
    );
    return choices.filter((choice) => choice === 'red').length / choices.length;
  }

  const isAbout = (share: number, expected: number) =>
    assert.ok(Math.abs(share - expected) < 0.025, `${share} instead of ${expected}`);

  it('shares by weight until it knows times', () => {
    isAbout(shareOfRed(new FirstTokenTimes()), 0.5);
  });

  it('gives a target that takes twice as long a quarter as much, and no herd to the faster one', () => {
    const times = new FirstTokenTimes();
    teach(times, red, 200);
    teach(times, blue, 400);
    isAbout(shareOfRed(times), 0.8);
    teach(times, blue, 1);
    isAbout(shareOfRed(times), 0.5);
  });

  it('still tries a slow target, and returns to it soon after it has recovered', () => {
    const times = new FirstTokenTimes();
    teach(times, red, 20_000);
    teach(times, blue, 200);
    const slow = shareOfRed(times);
    assert.ok(slow > 0.01 && slow < 0.04, `${slow}`);
    for (let at = 0; at <= 5 * MINUTE; at += 10 * SECOND) {
      teach(times, red, 200, NOW + at);
      teach(times, blue, 200, NOW + at);
    }
    isAbout(shareOfRed(times, NOW + 5 * MINUTE), 0.5);
  });

  it('tries a target whose times are old', () => {
    const times = new FirstTokenTimes();
    teach(times, red, 20_000);
    teach(times, blue, 200);
    teach(times, blue, 200, NOW + 6 * MINUTE);
    isAbout(shareOfRed(times, NOW + 6 * MINUTE), 0.5);
  });

  it('keeps documents and streams apart', () => {
    const times = new FirstTokenTimes();
    teach(times, red, 20_000);
    teach(times, blue, 200);
    isAbout(shareOfRed(times, NOW, { stream: false }), 0.5);
  });
});

describe('the time until the first token', () => {
  it('counts half after each half-life', () => {
    const times = new FirstTokenTimes();
    times.observe('a', 100, NOW);
    times.observe('a', 400, NOW + 30 * SECOND);
    assert.equal(times.mean('a', NOW + 30 * SECOND), (100 / 2 + 400) / 1.5);
    assert.equal(times.mean('b', NOW), undefined);
  });

  it('is raised by a response that has not come, never lowered', () => {
    const times = new FirstTokenTimes();
    times.observe('a', 100, NOW);
    times.observeNone('a', 50, NOW);
    assert.equal(times.mean('a', NOW), 100);
    times.observeNone('a', 300, NOW);
    assert.equal(times.mean('a', NOW), 200);
  });

  it('is kept for a bounded number of backends', () => {
    const times = new FirstTokenTimes();
    for (let index = 0; index <= 1_000; index++) {
      times.observe(`backend ${index}`, 100, NOW + index);
    }
    assert.equal(times.mean('backend 0', NOW + 1_000), undefined);
    assert.equal(times.mean('backend 1', NOW + 1_000), 100);
  });
});

test('a backend rests until the rate limit that its response spent is reset', () => {
  const [virtualHost] = basePolicy.virtualHosts;
  const rule: Rule = { ...virtualHost!.rules[0]!, quotas: [] };
  for (const [more, untilMs] of [
    [{ loadBalancer: 'LeastCost' } as const, 6_001],
    [{}, undefined],
  ] as const) {
    const virtualHosts = [{ ...virtualHost!, passthrough: [], rules: [{ ...rule, ...more }] }];
    const rig = newRig({ policy: { virtualHosts, quotas: [] } });
    const handler = rig.open(newExchange());
    handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
    handler.requestBody(Buffer.from('{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}'), true);
    const limits = [
      ['x-ratelimit-remaining-requests', '0'],
      ['x-ratelimit-reset-requests', '6s'],
    ] as const;
    handler.responseHeaders([[':status', '200'], ['content-type', 'application/json'], ...limits], false, new Map());
    assert.equal(rig.shared.health.restsUntil(rule.targets[0]!, 'gpt-4o-mini', 1), untilMs);
    assert.deepEqual(rig.faults, []);
  }
});

test('where all targets rest, the one whose rest ends first is chosen, whatever its priority', () => {
  const health = new PassiveHealth();
  const targets = [target('a'), target('b', undefined, { priority: 1 }), target('c')];
  const rest = (at: number, ms: number) => health.rest({ target: targets[at]!, ms, cause: '5xx' }, NOW);
  rest(0, 3_000);
  rest(1, 1_000);
  rest(2, 2_000);
  const chosen = (nowMs: number) =>
    chooseTarget(
      targets,
      () => true,
      () => true,
      (each) => health.restsUntil(each, 'm', nowMs),
      0,
    )?.backend;
  assert.equal(chosen(NOW), 'b');
  rest(1, 5_000);
  assert.equal(chosen(NOW), 'c');
  for (let failures = 0; failures < 3; failures++) {
    health.saw(targets[2]!.id, false, NOW);
  }
  assert.equal(chosen(NOW), 'a');
  assert.equal(chosen(NOW + 3_000), 'a');
});
