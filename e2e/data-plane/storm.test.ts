/** Hundreds of clients per second abort; well-behaved clients must not notice. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answered } from './support/client.ts';
import { chat, limitedRoute } from './support/limits.ts';
import { memoryOf } from './support/processes.ts';
import { head, rawCall } from './support/raw-client.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { startWorld, type World } from './support/world.ts';

const A_SECOND = 500;
const STORM = 5 * A_SECOND;
/** Far more than at a time on a machine that keeps up. */
const MOST_OPEN = 100;
/** The storm lasts until normal traffic had as many answers, also on a machine that is busy. */
const NORMAL_REQUESTS = 100;
const MAX_SECONDS = 60;
const TICK_MS = 20;
/** V8 grows its young generation under this load; the test checks that it is bounded. */
const MEMORY_BYTES = 350 * 1024 * 1024;

let world: World;
before(async () => {
  world = await startWorld(limitedRoute({ large: { quotas: [teamQuota('tokens', 'TotalTokens', 1_000_000_000)] } }));
});
after(() => world?.stop());

it('500 aborting clients per second do not harm normal traffic', async () => {
  const { gateway, provider } = world;
  const extproc = gateway.extprocPid();
  const body = JSON.stringify({ model: 'large', stream: true, messages: [{ role: 'user', content: 'Hello' }] });
  const request =
    head('/v1/chat/completions', [
      'x-team: storm',
      `x-mock: ${JSON.stringify({ tokens: 1_000, paceMs: 10 })}`,
      `content-length: ${body.length}`,
    ]) + body;
  let started = 0;
  let aborted = 0;
  const abortOne = async (index: number) => {
    const raw = await rawCall(gateway.port);
    await raw.write(request);
    // At all stages: before the response, at its headers, in the stream.
    await sleep(index % 60);
    raw.socket.resetAndDestroy();
    aborted += 1;
  };
  let over = false;
  const answers: Answered[] = [];
  const normal = async (worker: number): Promise<void> => {
    while (!over) {
      answers.push(
        await chat(world, 'large', { team: 'normal', body: { stream: worker % 2 === 0 }, mock: { tokens: 10 } }),
      );
    }
  };
  const workers = Array.from({ length: 4 }, (_, worker) => normal(worker));
  const storm: Promise<void>[] = [];
  const begin = performance.now();
  const passed = () => (performance.now() - begin) / 1_000;
  while ((started < STORM || answers.length < NORMAL_REQUESTS) && passed() < MAX_SECONDS) {
    const due = Math.floor(passed() * A_SECOND);
    for (; started < due && started - aborted < MOST_OPEN; started += 1) {
      storm.push(abortOne(started));
    }
    await sleep(TICK_MS);
  }
  await Promise.all(storm);
  over = true;
  await Promise.all(workers);
  const failed = answers.filter((answer) => answer.status !== 200 || !answer.complete);
  assert.ok(aborted >= STORM, `only ${aborted} clients`);
  assert.ok(answers.length >= NORMAL_REQUESTS, `only ${answers.length} normal requests`);
  assert.equal(failed.length, 0, `${failed.length} of ${answers.length}: ${failed[0]?.status} ${failed[0]?.text}`);
  assert.equal(gateway.extprocPid(), extproc, 'it is still the same process');
  await waitFor(
    'end of all upstream requests',
    () => provider.openCount() === 0,
    10_000,
    () => `(${provider.openCount()})`,
  );
  await waitFor('release of all holds', async () => (await gateway.metrics()).held() === 0, 5_000);
  assert.ok(memoryOf(extproc).peakBytes <= MEMORY_BYTES, `${memoryOf(extproc).peakBytes >> 20} MB`);
});
