import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimulatedTime } from '../../testing.ts';
import type { StoreFault } from './redis-fault.ts';
import { StoreHealth } from './store-health.ts';

const slow: StoreFault = { kind: 'slow', message: 'the store is slow' };

function start() {
  const time = new SimulatedTime();
  const changes: (string | undefined)[] = [];
  const health = new StoreHealth({
    schedule: time.schedule,
    changed: ({ fault }) => changes.push(fault?.message),
  });
  health.succeeded();
  return { time, changes, health };
}

test('a fault that passes within half a second changes nothing', () => {
  const { time, changes, health } = start();
  health.failed(undefined);
  time.pass(400);
  health.succeeded();
  time.pass(1_000);
  assert.deepEqual(changes, [undefined]);
});

test('a store without which requests are decided is lost at once, for the reason that is known', () => {
  const { changes, health } = start();
  health.lost(slow);
  health.lost(slow);
  health.succeeded();
  health.failed({ kind: 'unreachable', message: 'the store refuses connections' });
  health.lost(slow);
  assert.deepEqual(changes, [undefined, 'the store is slow', undefined, 'the store refuses connections']);
});
