import assert from 'node:assert/strict';
import { test } from 'node:test';
import { referenceReport } from './reference.ts';

test('parses the output of the reference program', () => {
  const text =
    'rps 4711  lat p50 3.06 p90 5.15 p99 8.92 ms  ttfb p50 3.05 p99 8.91 ms  3.5 MB/s codes map[200:14142 503-broken:2 err:1]\n';
  const report = referenceReport(text, 3);
  assert.equal(report.requestsPerSecond, 4711);
  assert.equal(report.requests, 14_142);
  assert.deepEqual(report.outcomes, { '200': 14_142, '503-broken': 2, err: 1 });
  assert.equal(report.latencyMs.p99, 8.92);
  assert.equal(report.firstByteMs.p50, 3.05);
  assert.equal(report.chunkDelayMs.count, 0);
  const stamped = referenceReport(`${text}chunks 40000  delay p50 0.539 p90 0.914 p99 1.441 ms\n`, 3);
  assert.equal(stamped.chunkDelayMs.count, 40_000);
  assert.equal(stamped.chunkDelayMs.p99, 1.441);
  assert.throws(() => referenceReport('panic: no', 3), /printed "panic: no"/);
});
