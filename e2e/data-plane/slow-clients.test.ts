/**
 * Clients that request much and read nothing cost the processor little and do not affect others.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chat, limitedRoute } from './support/limits.ts';
import { memoryOf } from './support/processes.ts';
import { head, type RawCall, rawCall } from './support/raw-client.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { startWorld, type World } from './support/world.ts';

const CLIENTS = 200;
/** Garbage is collected late on a busy machine; without back-pressure, gigabytes would wait. */
const MEMORY_BYTES = 350 * 1024 * 1024;

let world: World;
before(async () => {
  world = await startWorld(
    limitedRoute({ large: { quotas: [teamQuota('tokens', 'TotalTokens', 1_000_000_000_000)] } }),
  );
});
after(() => world?.stop());

it('200 clients that stop reading do not block others', async (context) => {
  const { gateway, provider } = world;
  const extproc = gateway.extprocPid();
  const stuck: RawCall[] = [];
  for (let index = 0; index < CLIENTS; index += 1) {
    const raw = await rawCall(gateway.port, { reads: false });
    const stream = index % 20 !== 0;
    const body = JSON.stringify({ model: 'large', stream, messages: [{ role: 'user', content: 'Much, please' }] });
    // Streams of events, and JSON responses that do not end.
    const mock = stream ? { tokens: 1_000_000, paddingBytes: 32_768 } : { hostile: 'endless-line' };
    await raw.write(
      head('/v1/chat/completions', [
        'x-team: slow',
        `x-mock: ${JSON.stringify(mock)}`,
        `content-length: ${body.length}`,
      ]) + body,
    );
    stuck.push(raw);
  }
  await waitFor(
    'all clients at the provider',
    () => provider.seen.length === CLIENTS,
    60_000,
    () => `(${provider.seen.length})`,
  );
  // All buffers on the path are full when the provider cannot write any more.
  let [written, unchanged] = [-1, 0];
  await waitFor(
    'a standstill',
    async () => {
      await sleep(200);
      const now = provider.writtenBytes();
      unchanged = now === written ? unchanged + 1 : 0;
      written = now;
      return unchanged === 3;
    },
    60_000,
    () => `(${written} bytes)`,
  );
  const answers = [];
  for (let round = 0; round < 15; round += 1) {
    answers.push(
      ...(await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          chat(world, 'large', { team: 'normal', body: { stream: index % 2 === 0 }, mock: { tokens: 20 } }),
        ),
      )),
    );
  }
  const failed = answers.filter((answer) => answer.status !== 200 || !answer.complete);
  assert.equal(failed.length, 0, `${failed.length} of ${answers.length}: ${failed[0]?.status} ${failed[0]?.text}`);
  assert.equal(gateway.extprocPid(), extproc, 'it is still the same process');
  assert.equal(provider.openCount(), CLIENTS, 'who does not read is made to wait, not ended');
  const { peakBytes, residentBytes } = memoryOf(extproc);
  context.diagnostic(`extproc: peak ${peakBytes >> 20} MB, now ${residentBytes >> 20} MB`);
  assert.ok(peakBytes <= MEMORY_BYTES, `peak ${peakBytes >> 20} MB, now ${residentBytes >> 20} MB`);
  for (const raw of stuck) {
    raw.socket.destroy();
  }
  await waitFor(
    'end of all upstream requests',
    () => provider.openCount() === 0,
    10_000,
    () => `(${provider.openCount()})`,
  );
  await waitFor('release of all holds', async () => (await gateway.metrics()).held() === 0, 5_000);
  const slow = await gateway.recordsWhere('slow clients', CLIENTS, (record) => record.keys.includes('slow'), 5_000);
  assert.ok(
    slow.filter((record) => (record.outputTokens ?? 0) > 0).length >= CLIENTS * 0.9,
    'what was delivered is charged',
  );
});
