/**
 * Of a stream that is cut, the output that the provider made while an extension was pending is
 * charged beyond the hold. Nothing else passes the limit, and all of it is an overdraft.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Limit } from '../../contract/policy.ts';
import type { Overdraft } from '../quota/store.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig } from './testing.ts';

await loadEncodings();

const [team] = basePolicy.quotas;
const [backend] = basePolicy.backends;
const OUTPUT_NANOS = 10_001;
const prices = {
  currency: 'USD',
  perMillionTokens: { input: 2_512_345_678, output: 10_000_000_001, reasoningOutput: 9_000_000_000 },
};
const LIMITS: readonly (readonly [Limit, number])[] = [
  [{ type: 'TotalTokens', amount: 600 }, 1],
  [{ type: 'Cost', amount: 600 * OUTPUT_NANOS, currency: 'USD', unpriced: 'Refuse' }, OUTPUT_NANOS],
];
const BODY = Buffer.from('{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}');
const DELTA = Buffer.from(
  'data: {"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":" the cat sat on"}}]}\n\n',
);

/** Streams until the budget ends; extensions take `waitMs`. */
function cutAfter(limit: Limit, waitMs: number) {
  let nowMs = 1;
  const told: Overdraft[] = [];
  const rig = newRig({
    policy: {
      backends: [{ ...backend!, models: [{ ...backend!.models[0]!, prices }] }],
      quotas: [{ ...team!, limit }],
    },
    shared: () => ({
      now: () => nowMs,
      finished: (record, overdrafts) => {
        rig.records.push(record);
        told.push(...overdrafts);
      },
    }),
  });
  const extend = rig.store.extend.bind(rig.store);
  rig.store.extend = (hold, output, atMs, done) => {
    nowMs += waitMs;
    return extend(hold, output, atMs + waitMs, done);
  };
  const handler = rig.open(newExchange());
  handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
  handler.requestBody(BODY, true);
  handler.responseHeaders(
    [
      [':status', '200'],
      ['content-type', 'text/event-stream'],
    ],
    false,
    new Map(),
  );
  for (let nth = 0; rig.records.length === 0; nth++) {
    assert.ok(nth < 400, 'the stream passes its budget');
    handler.responseBody(DELTA, false);
  }
  const [record] = rig.records;
  const [state] = rig.store.top(1, nowMs);
  return { record: record!, over: state!.spent - limit.amount, told };
}

for (const [limit, perOutputToken] of LIMITS) {
  test(`a cut stream that did not wait stays within a limit of type ${limit.type}`, () => {
    const { record, over, told } = cutAfter(limit, 0);
    assert.equal(record.decision.type, 'cut');
    assert.ok(over <= 0, `${over}`);
    assert.deepEqual(told, []);
    assert.equal(record.undeliveredTokens, undefined);
  });

  test(`a cut stream passes a limit of type ${limit.type} by what it waited for, as an overdraft`, () => {
    const { record, over, told } = cutAfter(limit, 1_000);
    const undelivered = record.undeliveredTokens ?? 0;
    assert.ok(over > 0 && over <= undelivered * perOutputToken, `${over} for ${undelivered} tokens`);
    assert.deepEqual(
      told.map(({ amount, cause }) => [amount, cause]),
      [[over, 'in_flight']],
    );
  });
}
