/** Limits on requests that run at once (waiting, refusals, clients that leave), and overrides. */
import assert from 'node:assert/strict';
import { after, before, describe, it, test } from 'node:test';
import { chat, limitedRoute, openChat } from './support/limits.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { startWorld, type World } from './support/world.ts';

const LIMIT = 4;

let world: World;
before(async () => {
  const parallel = (queueTimeout: string) => [
    teamQuota('parallel', 'ConcurrentRequests', LIMIT, { window: undefined, queueTimeout }),
  ];
  const overrides = [
    { when: 'headers["x-team"] == "team-large"', amount: 50 },
    { when: 'headers["x-team"].startsWith("team-s")', amount: 1 },
  ];
  world = await startWorld(
    limitedRoute({
      patient: { quotas: parallel('20s') },
      hasty: { quotas: parallel('200ms') },
      overridden: { quotas: [teamQuota('requests', 'Requests', 3, { overrides })] },
    }),
  );
});
after(() => world?.stop());

async function heldBy(team: string): Promise<number> {
  return (await world.gateway.metrics()).held(team);
}

function openStream(model: string, team: string) {
  return openChat(world, model, { team, body: { stream: true }, mock: { tokens: 5_000, paceMs: 10 } });
}

describe('a limit of four concurrent requests', () => {
  it('lets four of 24 run at a time, and all of them in the end', async () => {
    const team = 'team-queue';
    let done = false;
    let most = 0;
    const sampler = (async () => {
      while (!done) {
        most = Math.max(most, await heldBy(team));
      }
    })();
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, index) =>
        chat(world, 'patient', {
          team,
          body: { stream: index % 2 === 0 },
          mock: { tokens: 20, delayMs: 50, paceMs: 5 },
        }),
      ),
    );
    done = true;
    await sampler;
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.ok(most > 0 && most <= LIMIT, `${most} at once`);
    await waitFor('all to be given back', async () => (await heldBy(team)) === 0);
  });

  it('refuses a fifth request with a short retry, until a client leaves', async () => {
    const team = 'team-left';
    const streams = await Promise.all(Array.from({ length: LIMIT }, () => openStream('hasty', team)));
    const refused = await chat(world, 'hasty', { team });
    assert.equal(refused.status, 429, refused.text);
    assert.equal(refused.json.error.code, 'concurrency_exceeded');
    assert.match(refused.json.error.message, /parallel \(4 concurrent requests\)/);
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal(refused.headers['x-ratelimit-limit-requests'], undefined);
    streams[0]!.abort();
    await waitFor('the stream to be given back', async () => (await heldBy(team)) === LIMIT - 1);
    assert.equal((await chat(world, 'hasty', { team, mock: { tokens: 1 } })).status, 200);
    for (const stream of streams.slice(1)) {
      stream.abort();
    }
    await waitFor('all to be given back', async () => (await heldBy(team)) === 0);
  });
});

test('overrides change the amount for keys, in headers and refusals too', async () => {
  const limits = async (team: string) => {
    const { status, headers, text } = await chat(world, 'overridden', { team, mock: { tokens: 1 } });
    assert.equal(status, 200, text);
    return [status, headers['x-ratelimit-limit-requests'], headers['x-ratelimit-remaining-requests']];
  };
  assert.deepEqual(await limits('team-large'), [200, '50', '49']);
  assert.deepEqual(await limits('team-other'), [200, '3', '2']);
  assert.deepEqual(await limits('team-small'), [200, '1', '0']);
  const refused = await chat(world, 'overridden', { team: 'team-small' });
  assert.equal(refused.status, 429);
  assert.match(refused.json.error.message, /exceeded: 0 of 1 requests remaining/);
});
