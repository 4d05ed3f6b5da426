import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { pieces } from '../json/testing.ts';
import { newSlicedCount } from './count.ts';
import { loadEncodings } from './encodings.ts';
import { newMeter } from './meter.ts';

before(() => loadEncodings());

const tokenizer = { encoding: 'o200k_base' } as const;

function countWhole(raw: Uint8Array): number {
  const counting = newSlicedCount([raw], tokenizer, '');
  while (!counting.step(1000)) {}
  return counting.tokens;
}

/** Text that joins, escapes and half escapes, and long runs, which are cut where no delta ends. */
const unit = fc.oneof(
  fc.constantFrom(
    'a',
    ' the',
    " I'",
    'll',
    ' ',
    '  ',
    '\\n',
    '\\r\\n',
    '12',
    'É',
    'é',
    '中',
    '😀',
    '\\u00e9',
    '\\ud83d\\ude00',
    '\\ud83d',
    '\\\\',
    '\\"',
    '/',
  ),
  fc.constantFrom('x', ' ', '中', '=', '\\u4e2d', 'A').map((char) => char.repeat(600)),
  fc.array(fc.constantFrom(...'etaoinshrdlu'), { maxLength: 300 }).map((letters) => letters.join('')),
);
const raw = fc.array(unit, { maxLength: 20 }).map((parts) => Buffer.from(parts.join('')));
const deltas = fc.array(fc.tuple(fc.nat(), fc.boolean()), { maxLength: 20 });

describe('a meter', () => {
  it('counts deltas as one text, for any cuts and any number of calls', () => {
    fc.assert(
      fc.property(raw, deltas, (text, places) => {
        const meter = newMeter(tokenizer, 'm');
        const asked = new Set(places.filter(([, ask]) => ask).map(([place]) => place % (text.length + 1)));
        let at = 0;
        for (const piece of pieces(
          text,
          places.map(([place]) => place),
        )) {
          meter.text(0, piece, 0, piece.length);
          at += piece.length;
          const exact = countWhole(text.subarray(0, at));
          if (!asked.has(at)) {
            assert.ok(meter.upperBound >= exact);
          } else if (at % 2 === 0) {
            assert.equal(meter.count(), exact);
          } else {
            assert.ok(meter.near() >= exact && meter.near() <= exact + 8, `${meter.near()} for ${exact}`);
          }
        }
        assert.equal(meter.count(), countWhole(text));
        assert.ok(meter.upperBound >= meter.count());
      }),
      fuzzRuns(250),
    );
  });

  it('keeps channels apart', () => {
    const meter = newMeter(tokenizer, 'm');
    const hel = Buffer.from('xx hello yy');
    meter.text(1, hel, 3, 6);
    meter.text(2, hel, 3, 6);
    meter.text(1, hel, 6, 8);
    meter.text(2, Buffer.from('met'), 0, 3);
    assert.equal(meter.count(), countWhole(Buffer.from('hello')) + countWhole(Buffer.from('helmet')));
  });

  it('sums channels as if each was counted alone, in any order of text and counts', () => {
    const step = fc.record({ channel: fc.nat({ max: 5 }), text: unit, ask: fc.constantFrom('none', 'near', 'count') });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const meter = newMeter(tokenizer, 'm');
        const texts = new Map<number, string>();
        for (const { channel, text, ask } of steps) {
          texts.set(channel, (texts.get(channel) ?? '') + text);
          const bytes = Buffer.from(text);
          meter.text(channel, bytes, 0, bytes.length);
          const exact = [...texts.values()].reduce((sum, each) => sum + countWhole(Buffer.from(each)), 0);
          assert.ok(meter.upperBound >= exact);
          if (ask === 'count') {
            assert.equal(meter.count(), exact);
          }
          if (ask === 'near') {
            assert.ok(meter.near() >= exact && meter.near() <= exact + 8 * texts.size);
          }
          assert.ok(meter.upperBound >= exact);
        }
      }),
      fuzzRuns(100),
    );
  });

  it('tokenizes nothing before a count is requested or much text waits', () => {
    const meter = newMeter(tokenizer, 'm');
    const delta = Buffer.from(' hello');
    for (let count = 1; count <= 1000; count++) {
      meter.text(0, delta, 0, delta.length);
      assert.equal(meter.upperBound, count * delta.length);
    }
    assert.equal(meter.count(), 1000);
    // All but the last word is final, and the last word is no longer bounded by its bytes.
    assert.equal(meter.upperBound, 1000 + 2);
  });

  it('bounds a long counted word by its tokens, not by its bytes', () => {
    const meter = newMeter(tokenizer, 'm');
    const word = Buffer.from('='.repeat(600));
    meter.text(0, word, 0, word.length);
    const counted = meter.count();
    assert.ok(counted < 20);
    for (let more = 1; more <= 60; more++) {
      meter.text(0, word, 0, 1);
      assert.ok(meter.upperBound <= counted + more + 2, 'or each letter would have all of it counted again');
    }
    assert.ok(meter.near() < counted + 12, `${meter.near()} after ${counted}`);
    assert.ok(meter.count() <= counted + 2);
  });

  it('releases counted text', () => {
    const meter = newMeter(tokenizer, 'm');
    const delta = Buffer.from(' hello'.repeat(100));
    for (let count = 0; count < 1000; count++) {
      meter.text(count % 3, delta, 0, delta.length);
    }
    // At most 8 KB and three last words above the true count.
    assert.ok(meter.upperBound <= 100_000 + 8192 + 100);
    assert.ok(meter.upperBound >= 100_000);
    assert.equal(meter.count(), 100_000);
  });

  it('accepts one large piece', () => {
    const meter = newMeter(tokenizer, 'm');
    const large = Buffer.from(' hello'.repeat(50_000));
    meter.text(0, large, 0, large.length);
    assert.equal(meter.count(), 50_000);
  });

  it('bounds its channels, and loses no token of those it closes', () => {
    const meter = newMeter(tokenizer, 'm');
    const word = Buffer.from(' hello');
    for (let channel = 0; channel < 10_000; channel++) {
      meter.text(channel, word, 0, word.length);
    }
    assert.ok(meter.upperBound <= 10_000 + 256 * word.length);
    assert.equal(meter.count(), 10_000);
    meter.text(0, word, 0, word.length);
    assert.equal(meter.count(), 10_001);
  });

  it('applies a factor', () => {
    const meter = newMeter({ encoding: 'o200k_base', factorPercent: 125 }, 'm');
    const delta = Buffer.from(' hello hello hello');
    meter.text(0, delta, 0, delta.length);
    assert.equal(meter.upperBound, Math.ceil(delta.length * 1.25));
    assert.equal(meter.count(), 4);
  });

  it('is small while it is idle', () => {
    const meters = Array.from({ length: 1000 }, () => newMeter(tokenizer, 'm'));
    const delta = Buffer.from(' hello'.repeat(1000));
    for (const meter of meters) {
      meter.text(0, delta, 0, delta.length);
      meter.count();
    }
    const before = process.memoryUsage().arrayBuffers;
    const kept = meters.map((meter) => meter.upperBound - 1000);
    assert.ok(kept.every((bytes) => bytes < 10));
    assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
  });
});
