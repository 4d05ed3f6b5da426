/**
 * Without a processor, every request gets 503 in the shape of its API, and a new processor starts
 * within a second. Nothing fails open.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, it } from 'node:test';
import { type Answered, call } from './support/client.ts';
import { chat, deliveredTokens, limitedRoute, openChat } from './support/limits.ts';
import { isAlive } from './support/processes.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { startWorld, type World } from './support/world.ts';

const WELL_AGAIN_MS = 1_000;
/** The time to start Node on an idle machine. */
const NODE_START_MS = 60;

let world: World;
before(async () => {
  world = await startWorld(limitedRoute({ large: { quotas: [teamQuota('tokens', 'TotalTokens', 1_000_000_000)] } }));
});
after(() => world?.stop());

/** Returns how many times slower than idle this machine is now. */
async function slowness(): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < 3; index += 1) {
    const startedMs = performance.now();
    await new Promise((resolve) => spawn(process.execPath, ['-e', '0']).once('exit', resolve));
    times.push(performance.now() - startedMs);
  }
  return Math.max(1, times.sort((left, right) => left - right)[1]! / NODE_START_MS);
}

interface Timed {
  readonly atMs: number;
  readonly path: string;
  readonly answer: Answered | undefined;
}

it('new requests get 503 in the format of their API until a killed extproc is replaced', async (context) => {
  const allowedMs = WELL_AGAIN_MS * (await slowness());
  const { gateway, provider } = world;
  const results: Timed[] = [];
  let over = false;
  const requests = [
    ['/v1/chat/completions', { model: 'large', messages: [{ role: 'user', content: 'Hello' }] }],
    ['/v1/messages', { model: 'large', max_tokens: 50, messages: [{ role: 'user', content: 'Hello' }] }],
  ] as const;
  const load = async (worker: number) => {
    const [path, body] = requests[worker % 2]!;
    while (!over) {
      const atMs = performance.now();
      const answer = await call(`${gateway.url}${path}`, body, {
        headers: { 'x-team': 'load' },
        mock: { tokens: 3 },
      }).catch(() => undefined);
      results.push({ atMs, path, answer });
    }
  };
  // The second processor becomes the reserve a moment after the first one.
  await waitFor('a reserve', () => gateway.processes().some((one) => /in reserve/.test(one.command)), 10_000);
  const stream = await openChat(world, 'large', {
    team: 'open',
    body: { stream: true },
    mock: { tokens: 5_000, paceMs: 10 },
  });
  await waitFor('tokens', () => deliveredTokens(stream.text()) > 3);
  const workers = Array.from({ length: 4 }, (_, worker) => load(worker));
  await waitFor('load', () => results.length > 100, 10_000);
  const pid = gateway.extprocPid();
  process.kill(pid, 'SIGKILL');
  const killedAtMs = performance.now();
  await waitFor('end of extproc', () => !isAlive(pid), 2_000);
  const reached = provider.seen.length;
  await waitFor(
    'answers again',
    () => results.some((one) => one.atMs > killedAtMs + 50 && one.answer?.status === 200),
    10_000,
  );
  const wellMs = performance.now() - killedAtMs;
  await waitFor(
    'some load after it',
    () => results.filter((one) => one.atMs > killedAtMs + wellMs).length > 100,
    10_000,
  );
  over = true;
  await Promise.all(workers);

  const before = results.filter((one) => one.atMs < killedAtMs - 500);
  assert.ok(before.every((one) => one.answer?.status === 200));
  // Counts only new requests; those in flight may break.
  const during = results.filter(
    (one) => one.atMs > killedAtMs + 20 && one.atMs < killedAtMs + wellMs && one.answer?.status !== 200,
  );
  assert.ok(during.length > 0, 'the outage was seen');
  for (const { path, answer } of during) {
    assert.equal(answer?.status, 503, `${path}: ${answer?.status} ${answer?.text}`);
    assert.equal(answer.headers['content-type'], 'application/json');
    if (path === '/v1/messages') {
      assert.equal(answer.json.type, 'error');
      assert.match(answer.json.error.type, /^(api_error|overloaded_error)$/);
    } else {
      assert.equal(typeof answer.json.error.code, 'string');
    }
    assert.equal(typeof answer.json.error.message, 'string');
  }
  const afterwards = results.filter((one) => one.atMs > killedAtMs + wellMs + 50);
  assert.ok(
    afterwards.every((one) => one.answer?.status === 200),
    'no relapse',
  );
  context.diagnostic(`well again after ${Math.round(wellMs)} ms, ${Math.round(allowedMs)} ms allowed`);
  assert.ok(wellMs <= allowedMs, `well again after ${Math.round(wellMs)} ms`);
  assert.equal((await stream.done).complete, false, 'the open stream broke, and did not end as if it were whole');
  assert.ok(provider.seen.length > reached);
  assert.notEqual(gateway.extprocPid(), pid);
  assert.equal((await chat(world, 'large', { team: 'again', mock: { tokens: 3 } })).status, 200);
});
