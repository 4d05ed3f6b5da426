/**
 * If costs are not bounded in advance, what passes a limit is recorded with its cause and blocks
 * new work until it is paid back.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { Answered } from './support/client.ts';
import { type Ask, chargedBy, chat, deliveredTokens, limitedRoute, openChat, recordsOf } from './support/limits.ts';
import type { AccessRecord } from './support/records.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { backends, startWorld, type World } from './support/world.ts';

const LIMIT = 400;
const SLIDING_MS = 3_000;
const quota = (more = {}) => teamQuota('tokens', 'TotalTokens', LIMIT, more);
const sliding = { window: { type: 'Sliding', sliding: { duration: `${SLIDING_MS}ms` } } };

const limits = {
  small: { quotas: [quota()] },
  trusting: { quotas: [quota({ unbounded: 'Allow' })] },
  input: { quotas: [teamQuota('tokens', 'InputTokens', LIMIT)] },
  sliding: { quotas: [quota(sliding)] },
  lowered: { quotas: [quota()] },
} as const;

let world: World;
before(async () => {
  world = await startWorld(limitedRoute(limits));
});
after(() => world?.stop());

/** Returns the tokens beyond the limit of a model's quota, from its metric. */
async function overdraftMetric(model: string, cause: string): Promise<number> {
  const labels = { tallygate_quota: `default/${model}/tokens`, tallygate_overdraft_cause: cause };
  return (await world.gateway.metrics()).sum('tallygate_overdraft_tokens_total', labels);
}

/**
 * Asserts that the first request of a team passes the limit by `cause` in access line and metric,
 * and that no further request is admitted.
 */
async function overdrawn(model: string, cause: string, ask: Ask): Promise<Answered> {
  const answer = await chat(world, model, ask);
  assert.equal(answer.status, 200, answer.text);
  const [record] = await recordsOf(world, ask.team, 1);
  const tokens = (model === 'input' ? (record?.inputTokens ?? 0) : chargedBy([record!])) - LIMIT;
  assert.ok(tokens > 0, record?.line);
  assert.deepEqual(record?.overdrafts, [{ quota: `default/${model}/tokens`, tokens, cause }], record?.line);
  assert.equal(await overdraftMetric(model, cause), tokens);
  const next = await chat(world, model, { team: ask.team });
  assert.equal(next.status, 429, 'new work is blocked');
  assert.equal(next.json.error.code, 'quota_exceeded');
  return next;
}

it('an overdraft is bound_ignored if a provider generates more than the bound', async () => {
  const body = { max_completion_tokens: 10 };
  const mock = { tokens: 1_000, keepsBounds: false };
  const refused = await overdrawn('small', 'bound_ignored', { team: 'ignored', body, mock });
  assert.equal(refused.headers['x-ratelimit-remaining-tokens'], '0');
});

it('an overdraft is hidden_output for unexpected reasoning tokens', async () => {
  await overdrawn('small', 'hidden_output', {
    team: 'hidden',
    body: { stream: true },
    mock: { tokens: 10, hiddenTokens: 1_000 },
  });
});

it('an overdraft is input_estimate if a provider counts more input', async () => {
  await overdrawn('small', 'input_estimate', {
    team: 'grown',
    body: { max_completion_tokens: 10 },
    mock: { tokens: 5, extraInputTokens: 1_000 },
  });
});

it('an overdraft of an input quota is never caused by output', async () => {
  await overdrawn('input', 'input_estimate', { team: 'long', mock: { tokens: 2_000, extraInputTokens: 1_000 } });
});

it('an overdraft is server_tool for the provider’s own searches in unbounded requests', async () => {
  const search = { web_search_options: {}, max_completion_tokens: 10 };
  const refused = await chat(world, 'small', { team: 'search', body: search });
  assert.equal(refused.json.error.code, 'unbounded_cost', 'and only there');
  const mock = { tokens: 5, extraInputTokens: 3_000 };
  await overdrawn('trusting', 'server_tool', { team: 'search', body: search, mock });
});

/** Returns a running stream and the requests that others send meanwhile. */
async function under(model: string, team: string, others: () => Promise<unknown>) {
  const mock = { tokens: 300, paceMs: 5 };
  const opened = await openChat(world, model, { team, body: { stream: true }, mock });
  await waitFor('tokens', () => deliveredTokens(opened.text()) > 5);
  await others();
  const answer = await opened.done;
  assert.ok(answer.complete && answer.text.includes('"finish_reason":"length"'), 'it is ended properly');
  const found = await waitFor('the record of the stream', () =>
    world.gateway.records.find((one) => one.keys.includes(team) && one.decision === 'cut'),
  );
  assert.equal(found.outputTokens, deliveredTokens(answer.text), found.line);
  return found;
}

function causesOf(record: AccessRecord): readonly string[] {
  return record.overdrafts.map(({ cause }) => cause);
}

it('an overdraft is in_flight for a stream within its hold while another request passes the limit', async () => {
  const team = 'flight';
  const before = await overdraftMetric('small', 'in_flight');
  const stream = await under('small', team, async () => {
    const mock = { tokens: 5, extraInputTokens: 1_000 };
    const other = await chat(world, 'small', { team, body: { max_completion_tokens: 10 }, mock });
    assert.equal(other.status, 200, other.text);
  });
  const [other] = await recordsOf(world, team, 2);
  assert.deepEqual(causesOf(other!), ['input_estimate']);
  assert.deepEqual(causesOf(stream), ['in_flight'], stream.line);
  const both = [other!, stream];
  const overdrafts = both.flatMap((one) => one.overdrafts.map(({ tokens }) => tokens));
  assert.equal(overdrafts[0]! + overdrafts[1]!, chargedBy(both) - LIMIT, 'together all that passes the limit, once');
  assert.equal((await overdraftMetric('small', 'in_flight')) - before, overdrafts[1]);
  assert.equal((await chat(world, 'small', { team })).status, 429);
});

it('an overdraft is in_flight if the limit is lowered during a stream, until it is raised again', async () => {
  const team = 'lowered';
  const set = (amount: number) =>
    world.gateway.edit([
      ...backends(world.provider.port),
      ...limitedRoute({ ...limits, lowered: { quotas: [teamQuota('tokens', 'TotalTokens', amount)] } }),
    ]);
  const asked = async (status: number) => {
    // A stream that is admitted before the edit applies uses little.
    const body = { max_completion_tokens: 1 };
    await waitFor(`${status}`, async () => (await chat(world, 'lowered', { team, body })).status === status, 5_000);
  };
  const stream = await under('lowered', team, async () => {
    set(20);
    await asked(429);
  });
  assert.deepEqual(causesOf(stream), ['in_flight'], stream.line);
  const spent = chargedBy(world.gateway.records.filter((one) => one.keys.includes(team)));
  set(spent);
  await asked(429);
  set(spent + 100);
  await asked(200);
});

it('an overdraft blocks new requests until the window makes room', async () => {
  const team = 'paid-back';
  const mock = { tokens: 5, extraInputTokens: 1_000 };
  const refused = await overdrawn('sliding', 'input_estimate', { team, body: { max_completion_tokens: 10 }, mock });
  const seconds = Number(refused.headers['retry-after']);
  assert.ok(seconds >= 1 && seconds <= SLIDING_MS / 1_000 + 1, `retry-after ${seconds}`);
  await waitFor(
    'room',
    async () => (await chat(world, 'sliding', { team, mock: { tokens: 1 } })).status === 200,
    2 * SLIDING_MS,
  );
});
