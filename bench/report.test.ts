import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { markdown } from './report.ts';
import type { Results, RunSample } from './results.ts';

const none = { count: 0, p50: 0, p90: 0, p99: 0, max: 0 };

function sample(requestsPerSecond: number, p50: number, more: Partial<RunSample> = {}): RunSample {
  const latencyMs = { count: 10, p50, p90: p50, p99: p50, max: p50 };
  return {
    requestsPerSecond,
    latencyMs,
    firstByteMs: latencyMs,
    chunkDelayMs: none,
    envoyUs: 80,
    providerUs: 30,
    outcomes: { '200': 100 },
    ...more,
  };
}

function results(more: Partial<Results>): Results {
  return {
    startedAt: '2026-11-22T10:00:00.000Z',
    machine: {
      commit: 'abc',
      cpu: 'a CPU',
      cores: 2,
      memoryGb: 24,
      kernel: '6',
      node: 'v24',
      envoy: '1.40.0',
      envoyWorkers: 2,
      loadAverage: 0.1,
    },
    options: {
      parts: [],
      seconds: 4,
      rounds: 2,
      only: '',
      soakRequests: 0,
      profile: false,
      write: true,
      page: undefined,
    },
    comparisons: [],
    figures: [],
    counts: [],
    ...more,
  };
}

const json = {
  name: 'JSON, 16 connections',
  kind: 'load',
  per: 'request',
  pairs: [
    { alone: sample(10_000, 1), gateway: sample(4_500, 2, { processorUs: 90 }) },
    { alone: sample(8_000, 1), gateway: sample(4_000, 2, { processorUs: 110 }) },
  ],
} as const;

describe('markdown', () => {
  it('takes ratios pair by pair and shows their spread', () => {
    const page = markdown(results({ comparisons: [json] }));
    assert.match(page, /\| JSON, 16 connections \| 9000 \| 4250 \| \*\*0\.475\*\* \(0\.450–0\.500\) \| 1\.00 → 2\.00 /);
    assert.match(page, /80\.0 → 80\.0 \| 100 \|/);
  });

  it('reports for each goal whether it is reached', () => {
    const slow = { ...json, pairs: [{ alone: sample(10_000, 1), gateway: sample(3_900, 2) }] };
    const goal = 'requests per second, ratio to Envoy alone';
    assert.match(
      markdown(results({ comparisons: [json] })),
      new RegExp(`${goal} \\| 0\\.475 \\| ≥ 0\\.42 \\| reached`),
    );
    assert.match(
      markdown(results({ comparisons: [slow] })),
      new RegExp(`${goal} \\| 0\\.390 \\| ≥ 0\\.42 \\| \\*\\*missed\\*\\*`),
    );
  });

  it('shows the limit of the transport where it was measured', () => {
    const limited = {
      ...json,
      pairs: [{ alone: sample(1000, 1), gateway: sample(450, 2), empty: sample(500, 2, { processorUs: 60 }) }],
    };
    assert.match(
      markdown(results({ comparisons: [limited] })),
      /\| JSON, 16 connections \| 0\.450 \| 0\.500 \(0\.500–0\.500\) \| 90 % \|/,
    );
    assert.doesNotMatch(markdown(results({ comparisons: [json] })), /limit of the transport/);
  });

  it('lists outcomes other than 200', () => {
    const broken = { ...json, pairs: [{ alone: sample(1, 1), gateway: sample(1, 1, { outcomes: { '503': 3 } }) }] };
    assert.match(markdown(results({ comparisons: [broken] })), /- JSON, 16 connections: Tallygate: 503: 3/);
    assert.doesNotMatch(markdown(results({ comparisons: [json] })), /Failed responses/);
  });

  it('compares figures with their goals', () => {
    const figure = { part: 'soak', name: 'resident', value: 190, unit: 'MB', goal: { atMost: 180 } };
    assert.match(markdown(results({ figures: [figure] })), /soak: resident \| 190 MB \| ≤ 180 MB \| \*\*missed\*\*/);
  });

  it('shows errors of counts in percent, and nothing if nothing was counted', () => {
    const row = { recording: 'r', kind: 'output', provider: 200, estimate: 198, hidden: 0, note: 'estimated' } as const;
    const empty = { ...row, provider: 0, estimate: 0 };
    const page = markdown(results({ counts: [row, empty] }));
    assert.match(page, /\| r \| output \| 200 \| 198 \| -1\.0 % \| {2}\| estimated \|/);
    assert.match(page, /\| r \| output \| 0 \| 0 \| 0\.0 % \|/);
  });
});
