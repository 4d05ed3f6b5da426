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
  const { reader } = endpoint.answer!(facts, { hideUsage: false, model: 'm' });
  let sent = 0;
  const meter = newMeter({ encoding: 'o200k_base' }, 'm');
  const answer = new LeasedStream(reader, meter, leased, { event: () => sent++, flush: () => {} });
  const push = (text: string) =>
    answer.push(
      Buffer.from(
        `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`,
      ),
    );
  return { answer, push, sent: () => sent };
}

const words = (count: number) => ' word'.repeat(count);

test('what a stream does not use is found by counting, as far as there is leave to count', () => {
  const { answer, push } = newStream(1_000);
  push(words(100));
  assert.equal(answer.unused(0, { bytes: 499 }), 500, 'bytes bound what is used');
  const work = { bytes: 600 };
  assert.equal(answer.unused(0, work), 900);
  assert.equal(work.bytes, 100);
  // The end of a text may still become part of a longer token.
  assert.equal(answer.unused(0, { bytes: 8 }), 900, 'what was counted once costs next to nothing');
});

test('what is to stay is not counted for', () => {
  const { answer, push } = newStream(1_000);
  push(words(100));
  const work = { bytes: 10_000 };
  assert.equal(answer.unused(600, work), 400);
  assert.equal(answer.unused(1_000, work), 0);
  assert.equal(work.bytes, 10_000);
});

test('output goes no further than what was not given back', () => {
  const { answer, push, sent } = newStream(1_000);
  assert.equal(push(words(10)), true);
  answer.giveBack(answer.unused(12, { bytes: 1_000 }));
  assert.equal(answer.leasedTokens, 12);
  assert.equal(push(words(2)), true);
  assert.equal(sent(), 2);
  assert.equal(push(words(3)), false);
  assert.deepEqual([answer.needed, sent()], [3, 2]);
  assert.equal(answer.unused(0, { bytes: 1_000 }), 0);
  assert.equal(answer.extend(3), true);
  assert.equal(sent(), 3);
});
