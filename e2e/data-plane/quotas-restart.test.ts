/**
 * What was delivered stays charged, however the gateway ends: orderly, or killed with all its
 * processes.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { startGateway } from './support/gateway.ts';
import { chargedBy, chat, deliveredTokens, limitedRoute, openChat, recordsOf, usedBy } from './support/limits.ts';
import { isAlive } from './support/processes.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { backends, type World } from './support/world.ts';

const LIMIT = 100_000;

let provider: Provider;
let folder: string;
before(async () => {
  provider = await startProvider();
  folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-e2e-'));
});
after(async () => {
  await provider?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<World> {
  const quota = teamQuota('tokens', 'TotalTokens', LIMIT);
  const gateway = await startGateway([...backends(provider.port), ...limitedRoute({ large: { quotas: [quota] } })], {
    folder,
  });
  return { provider, gateway, stop: () => gateway.stop() };
}

it('budgets survive SIGTERM and kill -9 of all processes', async () => {
  const team = 'restarts';
  const small = { team, body: { max_completion_tokens: 1 }, mock: { tokens: 1 } };

  const first = await start();
  await chat(first, 'large', { team, body: { stream: true }, mock: { tokens: 500, tokensAChunk: 10 } });
  const spent = chargedBy(await recordsOf(first, team, 1));
  assert.ok(spent > 500);
  await first.stop();

  const second = await start();
  const asked = await chat(second, 'large', small);
  assert.ok(usedBy(asked) >= spent, `${usedBy(asked)} after the restart, ${spent} before`);
  const [record] = await recordsOf(second, team, 1);
  const before = spent + chargedBy([record!]);
  const streams = await Promise.all(
    Array.from({ length: 8 }, () =>
      openChat(second, 'large', { team, body: { stream: true }, mock: { tokens: 2_000, paceMs: 10 } }),
    ),
  );
  await waitFor('tokens on all streams', () => streams.every((one) => deliveredTokens(one.text()) > 30), 15_000);
  const processes = second.gateway.processes();
  for (const { pid } of processes) {
    if (isAlive(pid)) {
      process.kill(pid, 'SIGKILL');
    }
  }
  const delivered = (await Promise.all(streams.map((one) => one.done))).reduce(
    (sum, one) => sum + deliveredTokens(one.text),
    0,
  );
  await waitFor('end of all processes', () => processes.every(({ pid }) => !isAlive(pid)), 5_000);

  const third = await start();
  try {
    const answer = await chat(third, 'large', small);
    assert.equal(answer.status, 200, answer.text);
    assert.ok(usedBy(answer) >= before + delivered, `${usedBy(answer)} charged, ${before} and ${delivered} delivered`);
    assert.ok(usedBy(answer) <= LIMIT);
  } finally {
    await third.stop();
  }
});
