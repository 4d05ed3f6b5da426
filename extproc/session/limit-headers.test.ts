import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucket, lifetime, quota, startMs } from '../quota/testing.ts';
import { tightest } from './limit-headers.ts';

test('the headers of each kind show the bucket that stops the client first', () => {
  const snapshot = (of: ReturnType<typeof quota>, remaining: number, resetAtMs?: number) => ({
    bucket: bucket(of),
    limit: of.limit.amount,
    remaining,
    ...(resetAtMs === undefined ? {} : { resetAtMs }),
  });
  const hourly = snapshot(quota('TotalTokens', 1000, { id: 'hourly' }), 400, startMs);
  const daily = snapshot(quota('TotalTokens', 9000, { id: 'daily' }), 300, startMs + 1);
  const shadow = snapshot(quota('TotalTokens', 10, { id: 'shadow', mode: 'Shadow' }), 0, startMs);
  const requests = snapshot(quota('Requests', 10, { id: 'requests' }), 5, startMs);
  const forever = snapshot(quota('Requests', 100, { id: 'forever', window: lifetime }), 5);
  assert.deepEqual(tightest([hourly, daily, shadow, forever, requests]), [daily, forever]);
});
