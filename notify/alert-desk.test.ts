import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ThresholdReport } from '../contract/budget-report.ts';
import { createLog } from '../runtime/log.ts';
import { AlertDesk, type KeptAlerts } from './alert-desk.ts';
import { monthReport, nowMs } from './testing.ts';

const HOUR_MS = 3_600_000;

function start(kept?: KeptAlerts) {
  const raised: ThresholdReport[] = [];
  const time = { nowMs };
  const desk = new AlertDesk({
    guard: { allowsPlainHttp: () => false, refusal: () => 'nothing is allowed', linkRefusal: () => undefined },
    changed: () => {},
    raised: (report) => raised.push(report),
    now: () => time.nowMs,
    log: createLog({ level: 'silent' }),
  });
  if (kept !== undefined) {
    desk.restore(kept);
  }
  return { desk, raised, time };
}

test('a threshold that several data planes report is one alert', () => {
  const { desk, raised } = start();
  desk.take(monthReport);
  desk.take({ ...monthReport, spent: '410', atMs: nowMs + 5 });
  assert.equal(raised.length, 1);
  desk.take({ ...monthReport, percent: 100 });
  desk.take({ ...monthReport, key: [{ type: 'Tenant', value: 'ads' }] });
  assert.equal(raised.length, 3);
});

test('the next process knows what was reported', () => {
  const first = start();
  first.desk.take(monthReport);
  const second = start(JSON.parse(JSON.stringify(first.desk.kept())) as KeptAlerts);
  second.desk.take(monthReport);
  assert.equal(second.raised.length, 0);
});

test('a sliding window reports a threshold again after its length', () => {
  const { desk, raised, time } = start();
  const minute = { ...monthReport, window: { type: 'Sliding', durationMs: 60_000 } };
  desk.take(minute);
  time.nowMs += 59_999;
  desk.take({ ...minute, atMs: time.nowMs });
  assert.equal(raised.length, 1);
  time.nowMs += 1;
  desk.take({ ...minute, atMs: time.nowMs });
  assert.equal(raised.length, 2);
});

test('the next window of a calendar reports again, and what is known of the last is forgotten', () => {
  const { desk, raised, time } = start();
  desk.take(monthReport);
  time.nowMs = monthReport.endMs! + 1;
  desk.take({ ...monthReport, startMs: monthReport.endMs!, endMs: time.nowMs + 720 * HOUR_MS, atMs: time.nowMs });
  assert.equal(raised.length, 2);
  assert.equal(desk.kept().known.length, 1);
});

test('an alert that nobody could take for a day is left out', () => {
  const { desk, raised } = start();
  desk.take({ ...monthReport, atMs: nowMs - 25 * HOUR_MS });
  assert.equal(raised.length, 0);
});

test('what is known is bounded', () => {
  const { desk } = start();
  for (let nth = 0; nth < 4_100; nth++) {
    desk.take({ ...monthReport, key: [{ type: 'Tenant', value: String(nth) }] });
  }
  assert.equal(desk.kept().known.length, 4_000);
});
