/**
 * Budgets under concurrency: charges never pass the limit if costs are bounded, and nearly all of
 * the budget can be used.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chargedBy, chat, deliveredTokens, limitedRoute, openChat, recordsOf, usedBy } from './support/limits.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { startWorld, type World } from './support/world.ts';

const STREAM_LIMIT = 6_000;
const WHOLE_LIMIT = 4_000;
const KILL_LIMIT = 100_000;

let world: World;
before(async () => {
  world = await startWorld(
    limitedRoute({
      streams: { quotas: [teamQuota('tokens', 'TotalTokens', STREAM_LIMIT, { queueTimeout: '5s' })] },
      wholes: { quotas: [teamQuota('tokens', 'TotalTokens', WHOLE_LIMIT, { queueTimeout: '10s' })] },
      output: { quotas: [teamQuota('tokens', 'OutputTokens', 1_000, { queueTimeout: '5s' })] },
      large: { quotas: [teamQuota('tokens', 'TotalTokens', KILL_LIMIT)] },
      patient: { quotas: [teamQuota('tokens', 'TotalTokens', 500, { queueTimeout: '10s' })] },
      hasty: { quotas: [teamQuota('tokens', 'TotalTokens', 500, { queueTimeout: '200ms' })] },
    }),
  );
});
after(() => world?.stop());

/** Sends requests one by one until the budget is refused as spent. */
async function drain(model: string, team: string, body: Readonly<Record<string, unknown>>): Promise<number> {
  for (let asked = 1; asked < 200; asked += 1) {
    const answer = await chat(world, model, { team, body, mock: { tokens: 300, paceMs: 0 } });
    if (answer.status === 429 && answer.json.error.code === 'quota_exceeded') {
      return asked;
    }
    assert.equal(answer.status, 200, answer.text);
  }
  throw new Error('the budget never ends');
}

async function heldBy(team: string): Promise<number> {
  return (await world.gateway.metrics()).held(team);
}

describe('concurrent requests', () => {
  it('as 64 streams never exceed one budget', async () => {
    const team = 'team-64-streams';
    const answers = await Promise.all(
      Array.from({ length: 64 }, () =>
        chat(world, 'streams', { team, body: { stream: true }, mock: { tokens: 300, paceMs: 20 } }),
      ),
    );
    assert.ok(
      answers.every((answer) => answer.status === 200 || answer.status === 429),
      answers.map((one) => one.status).join(),
    );
    const cut = answers.filter((answer) => answer.text.includes('"finish_reason":"length"'));
    assert.ok(cut.length > 0, 'more was asked for than there is, so streams must have been cut');
    assert.ok(
      answers.every((answer) => answer.status === 429 || (answer.complete && answer.text.endsWith('data: [DONE]\n\n'))),
    );
    const asked = await drain('streams', team, { stream: true });
    const records = await recordsOf(world, team, 64 + asked);
    const charged = chargedBy(records);
    assert.ok(charged <= STREAM_LIMIT, `${charged} charged of ${STREAM_LIMIT}`);
    assert.ok(charged >= 0.98 * STREAM_LIMIT, `only ${charged} used of ${STREAM_LIMIT}`);
    const delivered = answers.reduce(
      (sum, answer) => sum + (answer.status === 200 ? deliveredTokens(answer.text) : 0),
      0,
    );
    assert.ok(delivered <= charged, `${delivered} delivered, ${charged} charged`);
    assert.deepEqual(
      records.flatMap((record) => record.overdrafts),
      [],
    );
  });

  it('as 64 unary responses never exceed the budget if the provider keeps bounds', async () => {
    const team = 'team-json';
    const body = { max_completion_tokens: 120 };
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, index) =>
        chat(world, 'wholes', { team, body, mock: { tokens: 60 + index, delayMs: 50 } }),
      ),
    );
    assert.ok(
      answers.every((answer) => answer.status === 200 || answer.status === 429),
      answers.map((one) => one.status).join(),
    );
    const asked = await drain('wholes', team, body);
    const records = await recordsOf(world, team, 64 + asked);
    const charged = chargedBy(records);
    assert.ok(charged <= WHOLE_LIMIT, `${charged} charged of ${WHOLE_LIMIT}`);
    assert.ok(charged >= 0.98 * WHOLE_LIMIT, `only ${charged} used of ${WHOLE_LIMIT}`);
    const truth = world.provider.seen
      .filter((one) => one.headers['x-team'] === team)
      .reduce((sum, one) => sum + one.inputTokens + one.outputTokens, 0);
    assert.equal(charged, truth, 'what the provider bills is what is charged');
  });

  it('as streams and unary responses share a budget of output tokens', async () => {
    const team = 'team-mixed';
    await Promise.all(
      Array.from({ length: 24 }, (_, index) =>
        chat(world, 'output', {
          team,
          body: { stream: index % 2 === 0, max_completion_tokens: 100 },
          mock: { tokens: 80, paceMs: index % 2 === 0 ? 5 : 0, delayMs: 20 },
        }),
      ),
    );
    const asked = await drain('output', team, { max_completion_tokens: 100 });
    const records = await recordsOf(world, team, 24 + asked);
    const output = records.reduce((sum, record) => sum + (record.outputTokens ?? 0), 0);
    assert.ok(output <= 1_000 && output >= 980, `${output} charged of 1000`);
  });

  it('wait for holds of others and are served when these are released', async () => {
    const team = 'team-patient';
    const body = { max_completion_tokens: 400 };
    const first = chat(world, 'patient', { team, body, mock: { tokens: 20, delayMs: 800 } });
    await waitFor('first request at the provider', () =>
      world.provider.seen.some((one) => one.headers['x-team'] === team),
    );
    const second = await chat(world, 'patient', { team, body, mock: { tokens: 20 } });
    assert.equal(second.status, 200, second.text);
    assert.equal((await first).status, 200);
    assert.ok(usedBy(second) <= 500);
  });

  it('that wait in vain get 429 budget_held and a short retry-after', async () => {
    const team = 'team-hasty';
    const body = { max_completion_tokens: 450 };
    const first = chat(world, 'hasty', { team, body, mock: { tokens: 20, delayMs: 1_500 } });
    await waitFor('first request at the provider', () =>
      world.provider.seen.some((one) => one.headers['x-team'] === team),
    );
    const started = performance.now();
    const second = await chat(world, 'hasty', {
      team,
      body: { ...body, messages: [{ role: 'user', content: 'x '.repeat(60) }] },
    });
    const waitedMs = performance.now() - started;
    assert.equal(second.status, 429);
    assert.equal(second.json.error.code, 'budget_held');
    assert.ok(waitedMs >= 190 && waitedMs < 1_200, `waited ${waitedMs} ms`);
    assert.ok(Number(second.headers['retry-after']) <= 5, second.headers['retry-after']);
    assert.notEqual(second.headers['x-should-retry'], 'false');
    assert.equal((await first).status, 200);
  });
});

describe('delivered tokens are charged', () => {
  it('if clients leave during a stream', async () => {
    const team = 'team-leaves';
    const received = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const opened = await openChat(world, 'large', {
          team,
          body: { stream: true },
          mock: { tokens: 3_000, paceMs: 5 },
        });
        await waitFor('tokens', () => deliveredTokens(opened.text()) > 5 + index);
        opened.abort();
        return deliveredTokens((await opened.done).text);
      }),
    );
    const records = await recordsOf(world, team, 20);
    const output = records.reduce((sum, record) => sum + (record.outputTokens ?? 0), 0);
    const made = world.provider.seen.filter((one) => one.headers['x-team'] === team);
    const delivered = received.reduce((sum, one) => sum + one, 0);
    assert.ok(output >= delivered, `${output} charged, ${delivered} delivered`);
    assert.ok(output <= made.reduce((sum, one) => sum + one.outputTokens, 0), 'and not more than was made');
    assert.ok(records.every((record) => (record.inputTokens ?? 0) > 0));
    assert.ok(records.every((record) => record.source === 'estimated'));
    await waitFor('release of all holds', async () => (await heldBy(team)) === 0);
  });

  it('if a client does not wait for a unary response', async () => {
    const team = 'team-impatient';
    const work = openChat(world, 'large', {
      team,
      body: { max_completion_tokens: 500 },
      mock: { tokens: 100, delayMs: 2_000 },
      timeoutMs: 400,
    });
    await assert.rejects(work);
    const [record] = await recordsOf(world, team, 1);
    assert.ok((record?.inputTokens ?? 0) > 0, record?.line);
    assert.ok((record?.outputTokens ?? 0) <= 500, 'at most its hold');
    await waitFor('release of the hold', async () => (await heldBy(team)) === 0);
  });

  for (const how of ['reset', 'close'] as const) {
    it(`and nothing is charged if a provider fails before the response (${how})`, async () => {
      const team = `team-before-${how}`;
      const answer = await chat(world, 'large', {
        team,
        body: { stream: true },
        mock: { fail: { when: 'before', how } },
      });
      assert.ok(answer.status >= 500, `${answer.status}`);
      assert.equal(typeof answer.json.error.message, 'string');
      const [record] = await recordsOf(world, team, 1);
      assert.equal(record?.outputTokens ?? 0, 0, record?.line);
      await waitFor('release of the hold', async () => (await heldBy(team)) === 0);
    });

    it(`if a provider fails during the stream (${how})`, async () => {
      const team = `team-in-${how}`;
      const answer = await chat(world, 'large', {
        team,
        body: { stream: true },
        mock: { tokens: 100, paceMs: 5, fail: { when: 'in', how, chunks: 30 } },
      });
      assert.ok(!answer.text.includes('[DONE]'));
      const delivered = deliveredTokens(answer.text);
      const [record] = await recordsOf(world, team, 1);
      assert.ok((record?.outputTokens ?? 0) >= delivered && delivered > 0, `${delivered} delivered: ${record?.line}`);
      assert.equal(record?.source, 'estimated');
    });

    it(`if a provider fails after the stream (${how})`, async () => {
      const team = `team-after-${how}`;
      const answer = await chat(world, 'large', {
        team,
        body: { stream: true },
        mock: { tokens: 40, paceMs: 2, fail: { when: 'after', how } },
      });
      assert.equal(deliveredTokens(answer.text), 40);
      const [record] = await recordsOf(world, team, 1);
      assert.equal(record?.outputTokens, 40, record?.line);
      assert.equal(record?.source, 'provider');
    });
  }

  it('if a provider breaks off a unary response', async () => {
    const team = 'team-in-json';
    await chat(world, 'large', { team, mock: { tokens: 200, fail: { when: 'in', how: 'close' } } });
    const [record] = await recordsOf(world, team, 1);
    assert.ok((record?.outputTokens ?? 0) > 50 && (record?.inputTokens ?? 0) > 0, record?.line);
    assert.equal(record?.source, 'estimated');
  });

  it('if the client leaves a silent provider', async () => {
    const team = 'team-silent';
    const mock = { tokens: 100, paceMs: 5, fail: { when: 'in', how: 'silent', chunks: 30 } } as const;
    const opened = await openChat(world, 'large', { team, body: { stream: true }, mock });
    await waitFor('all that comes', () => deliveredTokens(opened.text()) === 30);
    opened.abort();
    const [record] = await recordsOf(world, team, 1);
    assert.equal(record?.outputTokens, 30, record?.line);
  });

  it('if a provider reports no usage', async () => {
    const team = 'team-no-usage';
    for (const stream of [true, false]) {
      await chat(world, 'large', { team, body: { stream }, mock: { tokens: 200, usage: 'Never' } });
    }
    const records = await recordsOf(world, team, 2);
    for (const record of records) {
      assert.equal(record.source, 'estimated');
      assert.ok(Math.abs((record.outputTokens ?? 0) - 200) <= 2, record.line);
      assert.ok((record.inputTokens ?? 0) > 0);
    }
  });

  it('if extproc is killed by kill -9', async () => {
    const team = 'team-kill';
    const streams = await Promise.all(
      Array.from({ length: 16 }, () =>
        openChat(world, 'large', { team, body: { stream: true }, mock: { tokens: 2_000, paceMs: 10 } }),
      ),
    );
    await waitFor('tokens on all streams', () => streams.every((one) => deliveredTokens(one.text()) > 40), 15_000);
    process.kill(world.gateway.extprocPid(), 'SIGKILL');
    const ended = await Promise.all(streams.map((one) => one.done));
    const delivered = ended.reduce((sum, one) => sum + deliveredTokens(one.text), 0);
    const input = world.provider.seen
      .filter((one) => one.headers['x-team'] === team)
      .reduce((sum, one) => sum + one.inputTokens, 0);
    await waitFor(
      'well again',
      async () => (await chat(world, 'large', { team: 'team-other', mock: { tokens: 1 } })).status === 200,
      5_000,
    );
    const next = await chat(world, 'large', { team, mock: { tokens: 1 }, body: { max_completion_tokens: 1 } });
    assert.equal(next.status, 200, next.text);
    assert.ok(usedBy(next) >= delivered + input, `${usedBy(next)} charged, ${delivered} + ${input} delivered`);
    assert.ok(usedBy(next) <= KILL_LIMIT);
  });
});
