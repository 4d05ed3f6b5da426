import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findEndpoint } from '../../providers/registry.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import { newMeter } from '../../tokens/meter.ts';
import { LeasedStream } from './leased-stream.ts';

await loadEncodings();

const facts = { choices: 1 } as never;

function newStream(leased: number) {
  const { endpoint } = findEndpoint('POST', '/v1/chat/completions', () => undefined)!;
  const { reader } = endpoint.response!(facts, { hideUsage: false, model: 'm' });
  let sent = 0;
  const meter = newMeter({ encoding: 'o200k_base' }, 'm');
  const stream = new LeasedStream({ reader }, meter, leased, { event: () => sent++, flush: () => {} });
  const push = (text: string) =>
    stream.push(
      Buffer.from(
        `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`,
      ),
    );
  return { stream, push, sent: () => sent };
}

const words = (count: number) => ' word'.repeat(count);

test('unused tokens are found by counting, as far as the permitted work allows', () => {
  const { stream, push } = newStream(1_000);
  push(words(100));
  assert.equal(stream.unused(0, { bytes: 499 }), 500, 'bytes are the bound without counting');
  const work = { bytes: 600 };
  assert.equal(stream.unused(0, work), 900);
  assert.equal(work.bytes, 100);
  // The end of a text may still become part of a longer token.
  assert.equal(stream.unused(0, { bytes: 8 }), 900, 'counting again costs almost nothing');
});

test('nothing is counted for tokens that the stream keeps', () => {
  const { stream, push } = newStream(1_000);
  push(words(100));
  const work = { bytes: 10_000 };
  assert.equal(stream.unused(600, work), 400);
  assert.equal(stream.unused(1_000, work), 0);
  assert.equal(work.bytes, 10_000);
});

test('output ends at the lease that remains after tokens are given back', () => {
  const { stream, push, sent } = newStream(1_000);
  assert.equal(push(words(10)), true);
  stream.giveBack(stream.unused(12, { bytes: 1_000 }));
  assert.equal(stream.leasedTokens, 12);
  assert.equal(push(words(2)), true);
  assert.equal(sent(), 2);
  assert.equal(push(words(3)), false);
  assert.deepEqual([stream.needed, sent()], [3, 2]);
  assert.equal(stream.unused(0, { bytes: 1_000 }), 0);
  assert.equal(stream.extend(3), true);
  assert.equal(sent(), 3);
});
