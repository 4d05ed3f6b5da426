import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CloudEvent } from 'cloudevents';
import { budgetEvent, thresholdName } from './budget-event.ts';
import { monthReport } from './testing.ts';

test('an alert is a valid CloudEvent with exact amounts, its window and a forecast', () => {
  const event = budgetEvent(monthReport);
  assert.ok(new CloudEvent({ ...event }).validate());
  const { id, ...rest } = event;
  assert.match(id, /^[\w-]{22}$/);
  assert.deepEqual(rest, {
    specversion: '1.0',
    source: '/apis/tallygate.dev/v1alpha1/namespaces/default/aiquotapolicies/budgets',
    type: 'dev.tallygate.budget.threshold-reached.v1',
    subject: 'team-month/search',
    time: '2026-11-20T12:00:00.000Z',
    datacontenttype: 'application/json',
    data: {
      quota: 'default/budgets/team-month',
      key: [{ type: 'Tenant', value: 'search' }],
      percent: 80,
      type: 'Cost',
      currency: 'USD',
      spent: '400.000000001',
      held: '1.5',
      limit: '500',
      window: { type: 'Calendar', unit: 'Month', start: '2026-11-01T00:00:00.000Z', end: '2026-12-01T00:00:00.000Z' },
      exhaustedAt: '2026-11-25T09:00:00.000Z',
    },
  });
});

test('a budget that is spent has a type of its own, and no forecast', () => {
  const { type, data } = budgetEvent({ ...monthReport, percent: 100, spent: '500' });
  assert.equal(type, 'dev.tallygate.budget.exhausted.v1');
  assert.ok(!('exhaustedAt' in data));
});

test('the id depends on quota, key, percentage, window and limit only', () => {
  const { id } = budgetEvent(monthReport);
  assert.equal(budgetEvent({ ...monthReport, spent: '401', atMs: monthReport.atMs + 1 }).id, id);
  for (const other of [
    { quota: 'default/budgets/other' },
    { key: [{ type: 'Tenant', value: 'ads' }] },
    { percent: 81 },
    { startMs: 1 },
    { limit: '600' },
  ]) {
    assert.notEqual(budgetEvent({ ...monthReport, ...other }).id, id);
  }
});

test('a sliding window has an id for each time that it reaches a threshold', () => {
  const minute = { ...monthReport, window: { type: 'Sliding', durationMs: 60_000 } };
  const later = { ...minute, atMs: minute.atMs + 60_000, startMs: 5 };
  assert.equal(thresholdName(later), thresholdName(minute));
  assert.notEqual(budgetEvent(later).id, budgetEvent(minute).id);
});
