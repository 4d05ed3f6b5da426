/**
 * Request bodies that do not end: clients that occupy the gateway's memory lose their requests, and
 * new requests are served.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, it } from 'node:test';
import { chat, limitedRoute } from './support/limits.ts';
import { forgetPeak, memoryOf } from './support/processes.ts';
import { head, type RawCall, rawCall } from './support/raw-client.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { startWorld, type World } from './support/world.ts';

const MEGABYTE = 1 << 20;
const MEMORY_BYTES = 400 * MEGABYTE;
const NORMAL_REQUESTS = 40;
/** Bodies that stop arriving end after 20 s. */
const LATE_MS = 30_000;

let world: World;
let extproc: number;
/** Begins before the other tests, so that these bodies end after them. */
let silent: readonly RawCall[];
before(async () => {
  world = await startWorld(limitedRoute({ large: { quotas: [teamQuota('tokens', 'TotalTokens', 1_000_000_000)] } }));
  extproc = world.gateway.extprocPid();
  silent = await uploads(1_000, '{"model":"large","messages":[{"role":"user","content":"a few words');
});
after(() => world?.stop());
afterEach((context) => {
  assert.equal(world.gateway.extprocPid(), extproc, 'extproc did not survive');
  const { peakBytes } = memoryOf(extproc);
  if ('diagnostic' in context) {
    context.diagnostic(`extproc: peak ${peakBytes >> 20} MB`);
  }
  assert.ok(peakBytes <= MEMORY_BYTES, `peak of extproc: ${peakBytes >> 20} MB`);
  forgetPeak(extproc);
});

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

/** Bodies in chunks that begin and do not continue. */
async function uploads(count: number, begin: string): Promise<readonly RawCall[]> {
  const calls: RawCall[] = [];
  for (let index = 0; index < count; index++) {
    const raw = await rawCall(world.gateway.port);
    await raw.write(head('/v1/chat/completions', ['x-team: slow', 'transfer-encoding: chunked']) + chunk(begin));
    calls.push(raw);
  }
  return calls;
}

async function served(): Promise<void> {
  for (let count = 0; count < NORMAL_REQUESTS; count++) {
    const { status, text } = await chat(world, 'large', {
      team: 'normal',
      body: { messages: [{ role: 'user', content: 'x'.repeat(1_000) }] },
      mock: { tokens: 1 },
    });
    assert.equal(status, 200, text.slice(0, 300));
  }
}

it('a thousand connections that stop inside a small body block nobody', served);

it('endless bodies of 31 MB block nobody: the heaviest end with an error of their API', async () => {
  const piece = chunk('a'.repeat(MEGABYTE));
  const calls = await uploads(5, '{"model":"large","x":"');
  for (const [index, raw] of calls.entries()) {
    for (let count = 0; count < (index < 4 ? 31 : 3); count++) {
      await raw.write(piece);
    }
  }
  // Together, they would leave no room in 128 MB for a request of 1 KB.
  await calls[4]!.write(chunk('a'.repeat(MEGABYTE - 250)));
  const ended = () => calls.filter((raw) => raw.status() !== undefined);
  await served();
  await waitFor('end of the heaviest', () => ended().length >= 1, 10_000);
  for (const raw of ended()) {
    assert.equal(raw.status(), 503);
    assert.match(raw.text(), /"code":"overloaded"/);
  }
  assert.ok(ended().length < calls.length, 'not all had to go');
  for (const raw of calls) {
    raw.socket.destroy();
  }
});

it('a thousand bodies of many small values are refused and block nobody', async () => {
  const calls = await uploads(1_000, `{"modalities":[${'1,'.repeat(32_760)}`);
  await served();
  await waitFor('refusal of all', () => calls.every((raw) => raw.status() === 400), 10_000);
  for (const raw of calls) {
    raw.socket.destroy();
  }
});

it('a body that sends nothing for 20 s gets 408', async () => {
  await waitFor('end of all', () => silent.every((raw) => raw.status() !== undefined), LATE_MS);
  for (const raw of silent) {
    assert.equal(raw.status(), 408);
  }
  assert.match(silent[0]!.text(), /"code":"upload_too_slow"/);
  await served();
});
