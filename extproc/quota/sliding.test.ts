import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SlidingSum } from './sliding.ts';

test('the sum is never below the true sliding sum, and late by at most a segment', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100_000 }),
      fc.array(fc.tuple(fc.nat(40_000), fc.nat(100)), { maxLength: 200, size: 'max' }),
      fc.option(fc.integer({ min: 1, max: 100_000 }), { nil: undefined }),
      (durationMs, steps, changedMs) => {
        let window = new SlidingSum(durationMs);
        let slackMs = window.segmentMs;
        let now = 1_000_000;
        const charges: { atMs: number; amount: number }[] = [];
        for (const [nth, [stepMs, amount]] of steps.entries()) {
          now += stepMs;
          window.expire(now);
          window.add(now, amount);
          charges.push({ atMs: now, amount });
          if (nth === 100 && changedMs !== undefined) {
            slackMs += window.segmentMs;
            window = window.withDuration(changedMs, now);
            slackMs += window.segmentMs;
            window.expire(now);
          }
          const sum = (length: number) =>
            charges.filter((c) => c.atMs > now - length).reduce((total, c) => total + c.amount, 0);
          const known = nth > 100 && changedMs !== undefined ? Math.min(durationMs, changedMs) : window.durationMs;
          assert(window.sum >= sum(Math.min(known, durationMs)));
          assert(window.sum <= sum(window.durationMs + slackMs));
          assert(window.numbers.length <= 63);
        }
      },
    ),
  );
});

test('returns when the sum falls to an amount', () => {
  const window = new SlidingSum(60_000);
  window.add(1_000_000, 10);
  window.add(1_010_000, 20);
  const when = window.fallsToAtMs(20, 1_010_000);
  window.expire(when - 1);
  assert.equal(window.sum, 30);
  window.expire(when);
  assert.equal(window.sum, 20);
  assert.equal(window.fallsToAtMs(20, when), when);
});

test('drops segments of the future: a clock that was ahead must not block for that long', () => {
  const window = new SlidingSum(60_000);
  window.add(1_000_000, 1);
  window.add(1_000_000 + 365 * 86_400_000, 2);
  assert.equal(window.expire(1_001_000), true, 'the journal has to forget a dropped segment');
  assert.equal(window.sum, 1);
  window.add(1_001_000, 4);
  assert.equal(window.sum, 5);
  // Up to one window ahead, the clock may have been set back a little: charges stay.
  window.add(1_050_000, 8);
  assert.equal(window.expire(1_001_000), false);
  assert.equal(window.sum, 13);
});
