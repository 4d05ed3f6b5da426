/** Two gateways that share their budgets in one Redis, and what happens while it is lost. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { freePort } from '../../fixtures/free-ports.ts';
import { type RedisServer, skipWithoutRedis, startRedis } from '../../fixtures/redis-server.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { readStore } from './support/leaks/store-outputs.ts';
import { chargedBy, chat, limitedRoute } from './support/limits.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { backends, type World } from './support/world.ts';

const TOKENS = 3_000;
const REQUESTS = 20;
const UNTIL_LOST_MS = 10_000;

const documents = (port: number) => [
  ...backends(port),
  ...limitedRoute({
    tokens: { quotas: [teamQuota('tokens', 'TotalTokens', TOKENS)] },
    requests: { quotas: [teamQuota('requests', 'Requests', REQUESTS, { onStoreLoss: 'FailClosed' })] },
    closed: { quotas: [teamQuota('closed', 'TotalTokens', TOKENS, { onStoreLoss: 'FailClosed' })] },
    open: { quotas: [teamQuota('open', 'TotalTokens', TOKENS, { onStoreLoss: 'FailOpen' })] },
    degraded: { quotas: [teamQuota('degraded', 'Requests', 40, { onStoreLoss: 'Degrade' })] },
  }),
];

describe('gateways with a shared store', { skip: skipWithoutRedis }, () => {
  let port: number;
  let redis: RedisServer;
  let provider: Provider;
  let one: World;
  let other: World;

  async function join(): Promise<World> {
    const environment = { TALLYGATE_QUOTA_STORE_URL: `redis://127.0.0.1:${port}?keyPrefix=e2e` };
    const gateway = await startGateway(documents(provider.port), { environment });
    return { provider, gateway, stop: () => gateway.stop() };
  }

  before(async () => {
    port = await freePort();
    [redis, provider] = await Promise.all([startRedis({ port }), startProvider()]);
    [one, other] = await Promise.all([join(), join()]);
  });

  after(async () => {
    redis?.process.kill('SIGCONT');
    await readStore(port);
    await Promise.all([one?.stop(), other?.stop()]);
    await provider?.stop();
    await redis?.stop();
  });

  const ask = (world: World, model: string, team: string, tokens = 5) =>
    chat(world, model, { team, mock: { tokens, paceMs: 0 } });
  const statusOf = async (world: World, model: string, team: string) => (await ask(world, model, team)).status;

  /** Sends requests until a budget is refused as spent. */
  async function drain(world: World, model: string, team: string): Promise<number> {
    for (let served = 0; ; served++) {
      const { status, json } = await ask(world, model, team, 50);
      if (status === 429 && /exceeded/.test(json.error.code)) {
        return served;
      }
      assert.ok(status === 200 || status === 429, `${status}: ${JSON.stringify(json)}`);
    }
  }

  async function chargedTo(team: string): Promise<number> {
    const ended = (world: World) => world.gateway.records.filter((record) => record.keys.includes(team));
    await waitFor('all records', async () => (await one.gateway.metrics()).held(team) === 0, 5_000);
    await waitFor('all records', async () => (await other.gateway.metrics()).held(team) === 0, 5_000);
    return chargedBy([...ended(one), ...ended(other)]);
  }

  const isLost = async ({ gateway }: World) => (await gateway.metrics()).sum('tallygate_quota_store_lost') === 1;
  const until = (what: string, holds: () => Promise<boolean>) => waitFor(what, holds, UNTIL_LOST_MS);

  async function readiness({ metricsUrl }: Gateway): Promise<{ readonly ready: boolean; readonly quotaStore: string }> {
    return (await fetch(`${metricsUrl}/readyz`)).json() as Promise<{ ready: boolean; quotaStore: string }>;
  }

  it('serve exactly as many requests as the limit says, wherever they arrive', async () => {
    const team = 'counted';
    const worlds = [one, other];
    const answers = await Promise.all(
      Array.from({ length: 2 * REQUESTS }, (_, index) => statusOf(worlds[index % 2]!, 'requests', team)),
    );
    const served = answers.filter((status) => status === 200).length;
    const rest = (await drain(one, 'requests', team)) + (await drain(other, 'requests', team));
    assert.equal(served + rest, REQUESTS);
  });

  it('refuse in one what was spent in the other', async () => {
    const team = 'spender';
    await drain(one, 'tokens', team);
    const refused = await ask(other, 'tokens', team, 50);
    assert.deepEqual([refused.status, refused.json.error.code], [429, 'quota_exceeded']);
    const charged = await chargedTo(team);
    assert.ok(charged <= TOKENS && charged > 0.9 * TOKENS, `${charged} of ${TOKENS}`);
  });

  it('never pass the limit together, and can use nearly all of it', async () => {
    const team = 'both';
    await Promise.all([drain(one, 'tokens', team), drain(other, 'tokens', team)]);
    const charged = await chargedTo(team);
    assert.ok(charged <= TOKENS && charged > 0.9 * TOKENS, `${charged} of ${TOKENS}`);
  });

  it('show what is left of a budget that the other spends', async () => {
    const team = 'shown';
    const first = await ask(one, 'tokens', team);
    const { total_tokens: spent } = first.json.usage;
    await until('the report of the other', async () => {
      const { headers } = await ask(other, 'closed', 'nobody');
      assert.ok(headers);
      const shown = await ask(other, 'tokens', team);
      const used = TOKENS - Number(shown.headers['x-ratelimit-remaining-tokens']);
      return used >= spent;
    });
  });

  it('keep a budget over a restart of a gateway', async () => {
    const team = 'restarted';
    await drain(other, 'requests', team);
    await other.stop();
    other = await join();
    assert.equal(await statusOf(other, 'requests', team), 429);
  });

  it('follow onStoreLoss of each quota while the store does not answer, and recover by themselves', async () => {
    for (const model of ['closed', 'open', 'degraded']) {
      assert.equal(await statusOf(one, model, 'lost'), 200);
    }
    redis.process.kill('SIGSTOP');
    // A budget of which this gateway has no allowance.
    const refused = await ask(one, 'closed', 'new');
    assert.deepEqual([refused.status, refused.json.error.code], [503, 'quota_store_unavailable']);
    assert.ok(Number(refused.headers['retry-after']) > 0);
    assert.ok(await isLost(one), 'whoever is refused finds the store lost');
    const { ready, quotaStore } = await readiness(one.gateway);
    assert.deepEqual([ready, quotaStore], [true, 'the store takes longer than 750 ms to answer']);
    for (let count = 0; count < 5; count++) {
      assert.equal(await statusOf(one, 'open', 'new'), 200);
    }
    const degraded = [];
    for (let count = 0; count < 4; count++) {
      degraded.push(await statusOf(one, 'degraded', 'new'));
    }
    assert.deepEqual(degraded, [200, 200, 503, 503], 'five percent of 40');
    redis.process.kill('SIGCONT');
    await until('an available store', async () => !(await isLost(one)));
    assert.equal(await statusOf(one, 'closed', 'new'), 200);
    const changes = one.gateway.log().match(/shared quota store (lost|available)/g);
    assert.deepEqual(
      changes,
      ['available', 'lost', 'available'].map((state) => `shared quota store ${state}`),
    );
  });

  it('count what they know again after the store was emptied', async () => {
    const team = 'emptied';
    for (let count = 0; count < 5; count++) {
      await ask(one, 'requests', team);
    }
    await redis.stop();
    redis = await startRedis({ port });
    for (const world of [one, other]) {
      await until('an available store', async () => (await statusOf(world, 'tokens', 'fresh')) === 200);
    }
    const served = (await drain(one, 'requests', team)) + (await drain(other, 'requests', team));
    assert.equal(5 + served, REQUESTS);
  });
});
