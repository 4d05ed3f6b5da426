/** Client sessions stay with the backend that has their prompt in its cache, while it is well. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { call } from './support/client.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, route } from './support/resources.ts';
import { waitFor } from './support/wait.ts';

const SESSIONS = ['ada', 'bob', 'cyd', 'dan', 'eve'];
const TURNS = 10;

let red: Provider;
let blue: Provider;
let gateway: Gateway;

before(async () => {
  red = await startProvider();
  blue = await startProvider();
  gateway = await startGateway([
    backend('red', { port: red.port }),
    backend('blue', { port: blue.port }),
    route('all', [
      {
        name: 'assistant',
        models: ['*'],
        backendRefs: [{ name: 'red' }, { name: 'blue' }],
        more: { affinity: { type: 'Session' }, failover: {} },
      },
    ]),
  ]);
});
after(async () => {
  await red?.stop();
  await blue?.stop();
  await gateway?.stop();
});
beforeEach(() => {
  red.defaults = { tokens: 2 };
  blue.defaults = { tokens: 2 };
});

/** Sends one turn of a session, which repeats the turns before it; `by` names who was asked. */
async function ask(session: string, turn: number) {
  red.forget();
  blue.forget();
  const said = (index: number) => [
    { role: 'user', content: index === 0 ? `I am ${session}.` : `Turn ${index}` },
    { role: 'assistant', content: 'Yes.' },
  ];
  const messages = Array.from({ length: turn + 1 }, (_, index) => said(index))
    .flat()
    .slice(0, -1);
  const system = { role: 'system', content: 'Be brief.' };
  const body = { model: 'assistant', messages: [system, ...messages] };
  const { status } = await call(`${gateway.url}/v1/chat/completions`, body);
  const by = [...red.seen.map(() => 'red'), ...blue.seen.map(() => 'blue')];
  return { status, by };
}

async function servedBy(turn: number): Promise<readonly string[]> {
  const names: string[] = [];
  for (const session of SESSIONS) {
    const { status, by } = await ask(session, turn);
    assert.equal(status, 200);
    assert.equal(by.length, 1);
    names.push(by[0]!);
  }
  return names;
}

describe('a client session', () => {
  it('stays with its backend for all its turns, and others have another one', async () => {
    const first = await servedBy(0);
    assert.deepEqual(new Set(first), new Set(['red', 'blue']));
    for (let turn = 1; turn < TURNS; turn++) {
      assert.deepEqual(await servedBy(turn), first);
    }
  });

  it('moves while its backend rests, and returns', async () => {
    const first = await servedBy(0);
    const moving = SESSIONS[first.indexOf('red')]!;
    red.defaults = { status: 429, headers: { 'retry-after': '2' } };
    assert.deepEqual(await ask(moving, 1), { status: 200, by: ['red', 'blue'] });
    red.defaults = { tokens: 2 };
    assert.deepEqual(await ask(moving, 1), { status: 200, by: ['blue'] });
    assert.deepEqual(new Set(await servedBy(1)), new Set(['blue']));
    await waitFor('the end of the rest', async () => (await ask(moving, 2)).by[0] === 'red', 10_000);
    assert.deepEqual(await servedBy(3), first);
  });
});
