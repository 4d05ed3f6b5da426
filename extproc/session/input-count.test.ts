/**
 * Prompts that cannot fit: refused by their length alone, or counted only as far as the decision
 * needs.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { define } from '../quota/testing.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import type { SlicedCount } from '../tokens/meter.ts';
import { newCountQueue } from './counting.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig } from './testing.ts';

await loadEncodings();

const PIECE_BYTES = 64 * 1024;
const [team] = basePolicy.quotas;
const [entry] = basePolicy.virtualHosts;
const [rule] = entry!.rules;

function setUp(amount: number, limitTokens?: number) {
  const requestLimits = limitTokens === undefined ? {} : { inputTokens: limitTokens };
  const counts: SlicedCount[] = [];
  const queue = newCountQueue();
  const rig = newRig({
    policy: {
      virtualHosts: [{ ...entry!, rules: [{ ...rule!, requestLimits, maxRequestBodyBytes: 64e6 }] }],
      quotas: [{ ...team!, limit: { type: 'InputTokens', amount } }],
    },
    shared: () => ({
      counts: {
        add: (count, ...rest) => {
          counts.push(count);
          return queue.add(count, ...rest);
        },
      },
    }),
  });
  return {
    ...rig,
    counts,
    ask(text: string): string[] {
      const said: string[] = [];
      const handler = rig.open(newExchange((name) => said.push(name)));
      const body = Buffer.from(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"${text}"}]}`);
      handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
      for (let at = 0; at < body.length; at += PIECE_BYTES) {
        handler.requestBody(body.subarray(at, at + PIECE_BYTES), at + PIECE_BYTES >= body.length);
      }
      return said;
    },
  };
}

test('three prompts of 31 MB against 1,000 tokens are refused without a count', () => {
  const { ask, counts } = setUp(1_000);
  const text = ' '.repeat(31 * 1024 * 1024);
  for (let time = 0; time < 3; time++) {
    assert.deepEqual(ask(text), ['tallygate_quota_exceeded']);
  }
  assert.equal(counts.length, 0);
});

test('a prompt that must exceed the limit of a request is refused without a count', () => {
  const { ask, counts } = setUp(1e9, 1_000);
  assert.deepEqual(ask('x'.repeat(10 * 1024 * 1024)), ['tallygate_input_tokens_exceeded']);
  assert.equal(counts.length, 0);
});

test('a prompt whose length does not decide is counted only as far as the rest of the budget', async () => {
  const { ask, counts } = setUp(10_000);
  // 400,000 tokens.
  const said = ask('so many words '.repeat(130_000));
  while (said.length === 0) {
    await nextTurn();
  }
  assert.deepEqual(said, ['tallygate_quota_exceeded']);
  assert.equal(counts.length, 1);
  assert.ok(counts[0]!.tokens > 10_000 && counts[0]!.tokens < 12_000, String(counts[0]!.tokens));
});

test('a count that stopped early begins again where more of the budget is left', async () => {
  const { ask, counts, store, shared } = setUp(10_000);
  const reserve = store.reserve.bind(store);
  let reserves = 0;
  // Before the second look the budget has grown.
  store.reserve = (demand, done) => {
    if (reserves++ > 0) {
      const { quota } = demand.draws[0]!.bucket;
      define(store, [{ ...quota, limit: { type: 'InputTokens', amount: 1_000_000 } }], demand.atMs);
    }
    return reserve(demand, done);
  };
  const said = ask('so many words '.repeat(130_000));
  while (said.length === 0) {
    await nextTurn();
  }
  assert.deepEqual(said, ['request-headers', ...said.slice(1).map(() => 'request-body')]);
  assert.equal(counts.length, 2);
  assert.ok(counts[1]!.tokens >= 390_000, String(counts[1]!.tokens));
  assert.ok(store.top(1, shared.now())[0]!.held >= 390_000);
});
