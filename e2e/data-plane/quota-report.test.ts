/** What callers learn of their budgets by `GET /v1/quota`. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { call } from './support/client.ts';
import { anthropicClient, mock, openaiClient, say } from './support/clients.ts';
import { quotaPolicy, teamQuota } from './support/resources.ts';
import { CLAUDE, MODEL, startWorld, type World } from './support/world.ts';

interface QuotaList {
  readonly data: readonly {
    readonly name: string;
    readonly remaining: number | null;
    readonly resets: string | null;
  }[];
}

let world: World;

before(async () => {
  const hour = { type: 'Calendar', calendar: { unit: 'Hour', timeZone: 'UTC' } };
  world = await startWorld(
    [
      quotaPolicy('teams', 'chat', [
        teamQuota('tokens', 'TotalTokens', 1000, { window: hour }),
        teamQuota('requests', 'Requests', 10),
      ]),
    ],
    { passthrough: [{ method: 'GET', path: '/v1/*', backendRef: { name: 'openai' } }] },
  );
});

after(() => world?.stop());

const left = ({ data }: QuotaList) => Object.fromEntries(data.map(({ name, remaining }) => [name, remaining]));

describe('GET /v1/quota', () => {
  it('shows what is left to each official client, and charges nothing', async () => {
    const { gateway } = world;
    const red = { 'x-team': 'red' };
    const openAi = openaiClient(gateway.url, red);
    const { usage } = await openAi.chat.completions.create(
      { model: MODEL, messages: say('Hello') },
      mock({ tokens: 5 }),
    );
    for (const list of [
      await openAi.get<QuotaList>('/quota'),
      await anthropicClient(gateway.url, red).get<QuotaList>('/v1/quota'),
    ]) {
      assert.deepEqual(left(list), { 'default/teams/tokens': 1000 - usage!.total_tokens, 'default/teams/requests': 9 });
      const [tokens, requests] = list.data;
      const resetsInMs = Date.parse(tokens!.resets!) - Date.now();
      assert.ok(resetsInMs > 0 && resetsInMs <= 3_600_000, String(resetsInMs));
      assert.equal(requests!.resets, null);
    }
  });

  it('shows the budgets of the own headers only', async () => {
    const ask = async (headers: Record<string, string>) =>
      left((await call(`${world.gateway.url}/v1/quota`, undefined, { headers })).json);
    assert.deepEqual(await ask({ 'x-team': 'blue' }), { 'default/teams/tokens': 1000, 'default/teams/requests': 10 });
    assert.deepEqual(await ask({}), { 'default/teams/tokens': null, 'default/teams/requests': null });
  });

  it('comes before passthrough, and only as GET', async () => {
    const { gateway, provider } = world;
    const seen = provider.seen.length;
    await call(`${gateway.url}/v1/quota?model=${CLAUDE}`);
    assert.equal(provider.seen.length, seen);
    const answer = await call(`${gateway.url}/v1/quota`, {});
    assert.equal(answer.json.error.code, 'unknown_endpoint');
  });

  it('may not be stored by caches', async () => {
    const { headers } = await call(`${world.gateway.url}/v1/quota`);
    assert.equal(headers['cache-control'], 'no-store');
  });
});

it('a gateway without sign-in for command lines has no document of it', async () => {
  for (const [headers, type] of [
    [{}, 'invalid_request_error'],
    [{ 'anthropic-version': '2023-06-01' }, 'not_found_error'],
  ] as const) {
    const answer = await call(`${world.gateway.url}/.well-known/tallygate`, undefined, { headers });
    assert.deepEqual([answer.status, answer.json.error.type], [404, type]);
  }
});
