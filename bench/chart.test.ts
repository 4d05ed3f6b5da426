import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ratioChart } from './chart.ts';
import type { Comparison, RunSample } from './results.ts';

const none = { count: 0, p50: 0, p90: 0, p99: 0, max: 0 };

function sample(requestsPerSecond: number): RunSample {
  const times = { latencyMs: none, firstByteMs: none, chunkDelayMs: none };
  return { requestsPerSecond, ...times, envoyUs: 1, providerUs: 1, outcomes: { '200': 1 } };
}

const plain: Comparison = {
  name: 'JSON & <more>',
  kind: 'load',
  per: 'request',
  pairs: [{ alone: sample(1000), gateway: sample(400) }],
};

it('a bar is as long as its ratio, and names are escaped', () => {
  const chart = ratioChart([plain]);
  assert.match(chart, /JSON &amp; &lt;more>/);
  assert.match(chart, /width="144\.0"[^>]*>\n<text[^>]*>0\.40</);
});

it('the limit has a bar where it was measured', () => {
  const [pair] = plain.pairs;
  const limited = { ...plain, pairs: [{ ...pair!, empty: sample(500) }] };
  assert.match(ratioChart([limited]), /width="180\.0"[^>]*>\n<text[^>]*>0\.50</);
  assert.doesNotMatch(ratioChart([plain]), /width="180\.0"/);
});

it('paced streams have no bar', () => {
  assert.doesNotMatch(ratioChart([{ ...plain, kind: 'paced' }]), /JSON/);
});
