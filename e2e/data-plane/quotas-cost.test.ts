/** Budgets in money: exact charges, the cut at the end, and models without prices or for free. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Gateway, startGateway } from './support/gateway.ts';
import { chat, recordsOf } from './support/limits.ts';
import { type Provider, startProvider } from './support/provider.ts';
import type { AccessRecord } from './support/records.ts';
import { backend, quotaPolicy, route, teamQuota } from './support/resources.ts';
import type { Seen } from './support/seen.ts';
import { waitFor } from './support/wait.ts';

/** Nano-units per million tokens of the prices below. */
const INPUT_PRICE = 2_512_345_678n;
const OUTPUT_PRICE = 10_000_000_001n;
const REASONING_PRICE = 7_100_000_000n;
const REQUEST_PRICE = 12_345n;
const LIMIT_NANOS = 50_000_000n;

const priced = {
  currency: 'USD',
  perMillionTokens: { input: '2.512345678', output: '10.000000001', reasoningOutput: '7.1' },
  perRequest: '0.000012345',
};
/** The tiers cost twice and half of the plain prices. */
const tiered = {
  currency: 'USD',
  perMillionTokens: { input: '1', output: '2' },
  serviceTiers: [
    { name: 'priority', perMillionTokens: { input: '2', output: '4' } },
    { name: 'flex', perMillionTokens: { input: '0.5', output: '1' } },
  ],
};
const free = { currency: 'USD', perMillionTokens: { input: '0', output: '0.00' } };

let provider: Provider;
let gateway: Gateway;
before(async () => {
  provider = await startProvider();
  const models = [
    { name: 'priced', maxOutputTokens: 2_000, prices: priced },
    { name: 'thinker', maxOutputTokens: 2_000, reasoningTokens: 'Billed', prices: priced },
    { name: 'tiered', maxOutputTokens: 2_000, prices: tiered },
    { name: 'free', prices: free },
    { name: 'unpriced' },
  ];
  const names = models.map(({ name }) => name);
  const limit = { type: 'Cost', amount: '0.05', currency: 'USD' };
  gateway = await startGateway([
    backend('openai', { port: provider.port, models }),
    route('limits', [{ name: 'all', models: names, backendRefs: [{ name: 'openai' }] }]),
    quotaPolicy('money', 'limits', [teamQuota('dollars', 'Cost', 0, { limit, queueTimeout: '5s' })]),
  ]);
});
after(async () => {
  await provider?.stop();
  await gateway?.stop();
});

/** Returns the exact cost of what the provider reported. */
function trueNanos({ inputTokens, outputTokens, hiddenTokens }: Seen): bigint {
  const [input, output, hidden] = [inputTokens, outputTokens, hiddenTokens].map(BigInt) as [bigint, bigint, bigint];
  const sum = input * INPUT_PRICE + output * OUTPUT_PRICE + hidden * REASONING_PRICE;
  return REQUEST_PRICE + (sum + 999_999n) / 1_000_000n;
}

function recordedNanos({ line }: AccessRecord): bigint {
  const { cost = '0', currency = 'USD' } = JSON.parse(line);
  assert.equal(currency, 'USD');
  const [whole, places = ''] = cost.split('.');
  return BigInt(whole) * 10n ** 9n + BigInt(places.padEnd(9, '0'));
}

const sum = (amounts: readonly bigint[]) => amounts.reduce((total, amount) => total + amount, 0n);
const seenOf = (team: string) => provider.seen.filter((one) => one.headers['x-team'] === team);

describe('a budget of five cents', () => {
  const world = () => ({ provider, gateway, stop: async () => {} });

  it('is charged what streams and JSON responses cost, to the nano-unit', async () => {
    const team = 'team-exact';
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, index) =>
        chat(world(), index % 3 === 0 ? 'thinker' : 'priced', {
          team,
          body: { stream: index % 2 === 0, max_completion_tokens: 100 },
          mock: { tokens: 30 + index, hiddenTokens: index % 3 === 0 ? 21 : 0, delayMs: 20, paceMs: 1 },
        }),
      ),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.match(String(answers[0]!.headers['x-budget-remaining']), /^0\.0[0-9]+ USD$/);
    const records = await recordsOf(world(), team, answers.length);
    const truth = new Map(seenOf(team).map((one) => [one.headers['x-request-id'], trueNanos(one)]));
    for (const record of records) {
      assert.equal(recordedNanos(record), truth.get(JSON.parse(record.line).requestId), record.line);
    }
    const labels = { tallygate_quota_key: team };
    const spent = async () => BigInt(Math.round((await gateway.metrics()).sum('tallygate_quota_spent', labels) * 1e9));
    await waitFor('all charges', async () => (await spent()) === sum([...truth.values()]));
  });

  it('is charged the prices of the service tier that the answer names', async () => {
    const team = 'team-tiers';
    // What the request asks for, what the answer names, and the halves of the plain prices.
    const cases = [
      ['priority', 'priority', 4n],
      ['priority', 'default', 2n],
      ['flex', 'flex', 1n],
      ['auto', 'priority', 4n],
      ['flex', undefined, 2n],
    ] as const;
    const halves = new Map<string, bigint>();
    for (const [index, [asked, told, factor]] of cases.entries()) {
      const answer = await chat(world(), 'tiered', {
        team,
        body: { stream: index % 2 === 0, service_tier: asked, max_completion_tokens: 100 },
        mock: { tokens: 20 + index, ...(told !== undefined && { serviceTier: told }) },
      });
      assert.equal(answer.status, 200, answer.text);
      halves.set(String(seenOf(team).at(-1)!.headers['x-request-id']), factor);
    }
    const seen = new Map(seenOf(team).map((one) => [one.headers['x-request-id'], one]));
    for (const record of await recordsOf(world(), team, cases.length)) {
      const id = String(JSON.parse(record.line).requestId);
      const { inputTokens, outputTokens } = seen.get(id)!;
      // A token of input costs 1,000 nano-units at plain prices.
      const plain = BigInt(inputTokens) * 1_000n + BigInt(outputTokens) * 2_000n;
      assert.equal(recordedNanos(record), (plain * halves.get(id)!) / 2n, record.line);
    }
  });

  it('ends a stream that would pass it, and never charges more', async () => {
    const team = 'team-cut';
    const cut = await chat(world(), 'priced', { team, body: { stream: true }, mock: { tokens: 20_000, paceMs: 0 } });
    assert.equal(cut.status, 200);
    assert.ok(cut.complete && cut.text.includes('"finish_reason":"length"'), cut.text.slice(-300));
    let last = cut;
    for (let asked = 1; last.status === 200 && asked < 50; asked += 1) {
      last = await chat(world(), 'priced', { team, body: { stream: true }, mock: { tokens: 2_000, paceMs: 0 } });
    }
    assert.equal(last.status, 429, last.text);
    assert.equal(last.json.error.code, 'quota_exceeded');
    assert.equal(last.json.error.type, 'insufficient_quota');
    assert.match(last.json.error.message, /exceeded: 0\.[0-9]+ of 0\.05 USD remaining/);
    const charged = sum((await recordsOf(world(), team, seenOf(team).length + 1)).map(recordedNanos));
    assert.ok(charged <= LIMIT_NANOS, `${charged} charged`);
    assert.ok(charged >= (LIMIT_NANOS * 98n) / 100n, `only ${charged} used`);
  });

  it('refuses models without prices and serves free ones, also when it is spent', async () => {
    const unpriced = await chat(world(), 'unpriced', { team: 'team-cut' });
    assert.equal(unpriced.status, 403);
    assert.equal(unpriced.json.error.code, 'model_unpriced');
    assert.match(unpriced.json.error.message, /counts cost in USD, and AIBackend default\/openai has no such prices/);
    const served = await chat(world(), 'free', { team: 'team-cut', mock: { tokens: 5 } });
    assert.equal(served.status, 200);
    assert.equal(served.headers['x-budget-remaining'], undefined);
  });
});
