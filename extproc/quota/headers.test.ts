import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tightest } from './headers.ts';
import { bucket, lifetime, quota, startMs } from './simulation.ts';

test('of each kind the bucket that stops the client first is told', () => {
  const view = (of: ReturnType<typeof quota>, remaining: number, resetAtMs?: number) => ({
    bucket: bucket(of),
    limit: of.limit.amount,
    remaining,
    ...(resetAtMs === undefined ? {} : { resetAtMs }),
  });
  const hourly = view(quota('TotalTokens', 1000, { id: 'hourly' }), 400, startMs);
  const daily = view(quota('TotalTokens', 9000, { id: 'daily' }), 300, startMs + 1);
  const shadow = view(quota('TotalTokens', 10, { id: 'shadow', mode: 'Shadow' }), 0, startMs);
  const requests = view(quota('Requests', 10, { id: 'requests' }), 5, startMs);
  const forever = view(quota('Requests', 100, { id: 'forever', window: lifetime }), 5);
  const told = tightest([hourly, daily, shadow, forever, requests]);
  assert.deepEqual([...told.keys()], ['tokens', 'requests']);
  assert.equal(told.get('tokens'), daily);
  assert.equal(told.get('requests'), forever);
});
