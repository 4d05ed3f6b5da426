import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newClock } from './clock.ts';

test('the clock returns the time of the machine with fractions, and follows it when it is set', async (t) => {
  t.mock.timers.enable({ apis: ['Date', 'setInterval'], now: 1_000_000 });
  const now = newClock();
  assert.ok(Math.abs(now() - 1_000_000) < 50);
  const samples = Array.from({ length: 100 }, () => now());
  assert.ok(samples.some((sample) => !Number.isInteger(sample)));
  t.mock.timers.setTime(90_000_000);
  t.mock.timers.tick(1000);
  assert.ok(Math.abs(now() - 90_001_000) < 50, 'after a sleep the offset is set anew');
});
