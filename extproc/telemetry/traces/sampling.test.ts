import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { test } from 'node:test';
import { failure } from '../../errors.ts';
import { newIdSource } from '../../trace-context.ts';
import { outcomeOfStream } from '../testing.ts';
import { endedIn, newTraceSampler, OUTCOMES, type Outcome } from './sampling.ts';

const drawId = newIdSource(randomFillSync);
const parent = (sampled: boolean) => ({ traceId: drawId(16), spanId: drawId(8), sampled });

test('samplers follow the parent only if they are based on it', () => {
  const on = newTraceSampler('parentbased_always_on', 1);
  assert.deepEqual([on(drawId(16), undefined), on(drawId(16), parent(false))], [true, false]);
  const off = newTraceSampler('parentbased_always_off', 1);
  assert.deepEqual([off(drawId(16), undefined), off(drawId(16), parent(true))], [false, true]);
  assert.equal(newTraceSampler('always_on', 1)(drawId(16), parent(false)), true);
  assert.equal(newTraceSampler('always_off', 1)(drawId(16), parent(true)), false);
});

test('a ratio sampler records its share of traces, the same ones in each process', () => {
  const ids = Array.from({ length: 20_000 }, () => drawId(16));
  const recorded = (ratio: number) => {
    const sampler = newTraceSampler('traceidratio', ratio);
    return ids.filter((id) => sampler(id, undefined));
  };
  const tenth = recorded(0.1);
  assert.ok(Math.abs(tenth.length - 2000) < 300, `${tenth.length}`);
  const half = new Set(recorded(0.5));
  assert.ok(tenth.every((id) => half.has(id)));
  assert.deepEqual([recorded(0).length, recorded(1).length], [0, ids.length]);
});

test('how a request ended is known', () => {
  const quiet = { ...outcomeOfStream };
  const guard = {
    rules: [{ rule: 'a/b/c', action: 'mask' as const, findings: { Email: 1 } }],
    failures: [],
    calls: undefined,
  };
  const cases: Readonly<Record<Outcome, typeof outcomeOfStream>> = {
    error: { ...quiet, status: 500 },
    refusal: { ...quiet, status: 429, failure: failure('quota_exceeded', 'Spent.') },
    cut: { ...quiet, decision: { type: 'cut', queuedMs: 0, shadowRefused: [] } },
    guardrail: { ...quiet, guard },
  };
  for (const outcome of OUTCOMES) {
    assert.deepEqual(
      OUTCOMES.filter((one) => endedIn(new Set([one]), cases[outcome])),
      [outcome],
    );
    assert.equal(endedIn(new Set([outcome]), quiet), false);
  }
});
