import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BudgetReport } from '../../contract/budget-report.ts';
import { fullestBudgets } from './fullest-budgets.ts';

const startMs = Date.parse('2026-11-01T00:00:00Z');
const endMs = Date.parse('2026-12-01T00:00:00Z');
const nowMs = Date.parse('2026-11-11T00:00:00Z');

function report(key: string, spent: string, more: Partial<BudgetReport> = {}): BudgetReport {
  return {
    quota: 'app/budgets/month',
    key: [{ type: 'Tenant', value: key }],
    type: 'Cost',
    currency: 'USD',
    window: { type: 'Calendar', unit: 'Month' },
    spent,
    held: '0.5',
    limit: '500',
    startMs,
    endMs,
    ...more,
  };
}

test('amounts of proxies that count apart add up exactly, also the limit', () => {
  const [budget, ...others] = fullestBudgets([[report('a', '200.1')], [report('a', '200.2')]], nowMs).get(
    'app/budgets',
  )!;
  assert.deepEqual(others, []);
  assert.deepEqual(budget, {
    quota: 'month',
    key: ['a'],
    spent: '400.3',
    held: '1',
    limit: '1000',
    currency: 'USD',
    proxies: 2,
    exhaustedAt: '2026-11-25T23:33:00Z',
  });
});

test('with a shared store, every proxy knows the total, and only holds add up', () => {
  const shared = { isShared: true };
  const all = [[report('a', '300', shared)], [report('a', '301', shared)]];
  const [budget] = fullestBudgets(all, nowMs).get('app/budgets')!;
  assert.deepEqual([budget?.spent, budget?.held, budget?.limit, budget?.proxies], ['301', '1', '500', undefined]);
});

test('a policy shows its ten fullest budgets, fullest first', () => {
  const reports = Array.from({ length: 25 }, (_, nth) => report(`team-${nth}`, String(nth * 10)));
  const other = { ...report('x', '1'), quota: 'app/other/month' };
  const found = fullestBudgets([[...reports, other]], nowMs);
  assert.deepEqual(
    found.get('app/budgets')?.map(({ key }) => key[0]),
    Array.from({ length: 10 }, (_, nth) => `team-${24 - nth}`),
  );
  assert.equal(found.get('app/other')?.length, 1);
});

test('a budget that lasts until the end of its window has no forecast', () => {
  const [budget] = fullestBudgets([[report('a', '100')]], nowMs).get('app/budgets')!;
  assert.equal(budget?.exhaustedAt, undefined);
});
