import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Turns } from './turns.ts';

test('calls take turns in their order, and one that fails gives its turn on', async () => {
  const turns = new Turns({ atOnce: 2, rests: 0, maxWaiting: 10 });
  const begun: number[] = [];
  let open = 0;
  let most = 0;
  const call = (nth: number) =>
    turns.run(async () => {
      begun.push(nth);
      most = Math.max(most, ++open);
      await sleep(2);
      open--;
      if (nth === 1) {
        throw new Error('failed');
      }
      return nth;
    });
  const results = await Promise.allSettled([0, 1, 2, 3, 4].map(call));
  assert.deepEqual(begun, [0, 1, 2, 3, 4]);
  assert.equal(most, 2);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
  );
});

test('calls beyond the bound of those that wait are refused', async () => {
  const turns = new Turns({ atOnce: 1, rests: 0, maxWaiting: 1 });
  const first = turns.run(() => sleep(5));
  const second = turns.run(() => sleep(0));
  await assert.rejects(
    turns.run(() => sleep(0)),
    /too many/,
  );
  await Promise.all([first, second]);
});

test('a turn rests in proportion to how long it took', async () => {
  const turns = new Turns({ atOnce: 1, rests: 3, maxWaiting: 1 });
  const startMs = performance.now();
  await turns.run(() => sleep(20));
  await turns.run(async () => {});
  assert.ok(performance.now() - startMs >= 75, `${performance.now() - startMs} ms`);
});
