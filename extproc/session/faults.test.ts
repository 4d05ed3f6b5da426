/**
 * A fault in any call ends one session and nothing else: its memory is released, its hold is
 * charged in full, and its record is written.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { ExchangeHandler } from '../exchange.ts';
import { counts } from '../quota/testing.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import { newCountQueue } from './counting.ts';
import type { SessionServices } from './services.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig, type Rig } from './testing.ts';

await loadEncodings();

const NOTHING = new Map<string, string>();
const [team] = basePolicy.quotas;
const [entry] = basePolicy.virtualHosts;
const [rule] = entry!.rules;
const large = {
  virtualHosts: [{ ...entry!, rules: [{ ...rule!, maxRequestBodyBytes: 64e6, firstTokenTimeoutMs: 20 }] }],
  quotas: [{ ...team!, limit: { ...team!.limit, amount: 16_000 }, queueTimeoutMs: 20 }],
};

function prompt(text: string, stream = false, maxTokens = 100): Buffer {
  const body = { model: 'gpt-4o-mini', stream, max_tokens: maxTokens, messages: [{ role: 'user', content: text }] };
  return Buffer.from(JSON.stringify(body));
}

function ask(handler: ExchangeHandler, body: Buffer): void {
  handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
  handler.requestBody(body, true);
}

function answer(handler: ExchangeHandler, type: string, body: Buffer, encoding?: string): void {
  const headers = [[':status', '200'], ['content-type', type], ...(encoding ? [['content-encoding', encoding]] : [])];
  handler.responseHeaders(headers as [string, string][], false, NOTHING);
  handler.responseBody(body, true);
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'the condition did not become true');
    await nextTurn();
  }
}

const WHOLE = Buffer.from(
  JSON.stringify({
    model: 'gpt-4o-mini',
    choices: [{ message: { content: 'Hi' } }],
    usage: { prompt_tokens: 9, completion_tokens: 2 },
  }),
);
const STREAM = Buffer.from(
  `data: {"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\ndata: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}\n\ndata: [DONE]\n\n`,
);

/**
 * Each story makes different calls. A session that has failed ignores the calls that follow.
 */
const stories: Readonly<Record<string, (rig: Rig, open: () => ExchangeHandler) => void | Promise<void>>> = {
  'a unary response': (_, open) => {
    const handler = open();
    ask(handler, prompt('Hello'));
    answer(handler, 'application/json', WHOLE);
    handler.closed(true);
  },
  'a compressed response': async ({ records }, open) => {
    const handler = open();
    ask(handler, prompt('Hello'));
    answer(handler, 'application/json', gzipSync(WHOLE), 'gzip');
    handler.closed(true);
    await until(() => records.length > 0);
  },
  'a stream': (_, open) => {
    const handler = open();
    ask(handler, prompt('Hello', true));
    answer(handler, 'text/event-stream', STREAM);
    handler.drained();
    handler.closed(true);
  },
  'a stream whose first token is late': async ({ records }, open) => {
    const handler = open();
    ask(handler, prompt('Hello', true));
    await until(() => records.length > 0);
    handler.closed(false);
  },
  'a prompt that is counted first': async ({ records, store }, open) => {
    const handler = open();
    ask(handler, prompt('so many words '.repeat(5_000)));
    await until(() => records.length > 0 || counts(store).openHolds > 0);
    answer(handler, 'application/json', WHOLE);
    handler.closed(true);
  },
  'a client that leaves while its prompt is counted': async (_, open) => {
    const handler = open();
    ask(handler, prompt('so many words '.repeat(5_000)));
    await nextTurn();
    handler.closed(false);
  },
  'a local reply while a prompt is counted': async (_, open) => {
    const handler = open();
    ask(handler, prompt('so many words '.repeat(5_000)));
    await nextTurn();
    handler.responseHeaders([[':status', '504']], false, NOTHING);
    handler.responseBody(Buffer.from('late'), true);
    await nextTurn();
    handler.closed(true);
  },
  'a request that waits too long for the hold of another': async ({ records }, open) => {
    const first = open();
    ask(first, prompt('Hello', false, 200_000));
    const second = open();
    ask(second, prompt('Hello'));
    await until(() => records.length > 0);
    first.closed(false);
    second.closed(false);
  },
  'a request that is admitted when another ends': (_, open) => {
    const first = open();
    ask(first, prompt('Hello', false, 200_000));
    const second = open();
    ask(second, prompt('Hello'));
    answer(first, 'application/json', WHOLE);
    answer(second, 'application/json', WHOLE);
    first.closed(true);
    second.closed(true);
  },
  'a local reply while the body arrives': (_, open) => {
    const handler = open();
    handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
    handler.requestBody(prompt('Hello'), false);
    handler.responseHeaders([[':status', '504']], false, NOTHING);
    handler.responseBody(Buffer.from('late'), true);
    handler.closed(true);
  },
};

/** Throws in the call of this number, of whatever function. */
function saboteur(at: number) {
  let calls = 0;
  const count = () => {
    if (++calls === at) {
      throw new Error('injected');
    }
  };
  const spoil = <T extends object>(target: T, except: readonly string[] = []): T =>
    new Proxy(target, {
      get(object, name) {
        const value = Reflect.get(object, name);
        if (typeof value !== 'function' || except.includes(String(name))) {
          return value;
        }
        return (...args: unknown[]) => {
          count();
          return Reflect.apply(value, object, args);
        };
      },
    });
  return { spoil, done: () => calls < at };
}

for (const [name, tell] of Object.entries(stories)) {
  test(`${name}: a fault in any call fails only that session`, async () => {
    for (let at = 1, done = false; !done; at++) {
      const sabotage = saboteur(at);
      const rig = newRig({
        policy: large,
        store: { onError: (error) => rig.faults.push(error), nowMs: Date.now },
        shared: (shared): Partial<SessionServices> => {
          const queue = newCountQueue();
          return {
            store: sabotage.spoil(shared.store),
            estimates: sabotage.spoil(shared.estimates),
            health: sabotage.spoil(shared.health),
            counts: { add: (count, ...rest) => queue.add(sabotage.spoil(count), ...rest) },
            newMeter: (...args) => sabotage.spoil(shared.newMeter(...args)),
            now: sabotage.spoil({ now: Date.now }).now,
          };
        },
      });
      let opened = 0;
      const open = () => {
        opened++;
        return rig.open(sabotage.spoil(newExchange(), ['startRequest']));
      };
      await tell(rig, open);
      await nextTurn();
      const where = `${name}, call ${at}: ${rig.faults.map((fault) => (fault as Error).stack).join('\n')}`;
      assert.equal(rig.records.length, opened, where);
      assert.equal(counts(rig.store).openHolds, 0, where);
      assert.equal(counts(rig.store).waiting, 0, where);
      assert.equal(rig.shared.bodies.bytes, 0, where);
      done = sabotage.done();
      if (!done) {
        assert.ok(rig.faults.length > 0, where);
      } else {
        assert.deepEqual(rig.faults, [], where);
      }
      rig.store.close();
    }
  });
}
