/** Budgets with what is left of them and when they end. */
import { type ComponentChildren, h } from 'preact';
import type { Bounded, BudgetRow } from '../api/source.ts';
import { budgetOwner, shownAmount, shownMinute, shownNumber, usedPercent } from './format.ts';
import { type Column, DataTable, Section } from './parts.ts';
import type { Polled } from './polled.ts';

const columns: readonly Column<BudgetRow>[] = [
  { head: 'quota', cell: ({ quota }) => quota || '–' },
  { head: 'of', cell: (budget) => budgetOwner(budget) || '–' },
  { head: 'window', cell: ({ window }) => window },
  { head: 'used', isShort: true, cell: usedMeter },
  { head: 'spent', isNumber: true, cell: ({ spent, currency }) => shownAmount(spent, currency) },
  { head: 'held', isNumber: true, cell: ({ held, currency }) => shownAmount(held, currency) },
  { head: 'limit', isNumber: true, cell: ({ limit, currency }) => shownAmount(limit, currency) },
  { head: 'forecast', cell: forecast },
  { head: 'resets', isShort: true, cell: ({ resetAt }) => (resetAt === undefined ? 'never' : shownMinute(resetAt)) },
];

export function BudgetsSection({ polled }: { readonly polled: Polled<Bounded<BudgetRow>> }): ComponentChildren {
  return h(Section<BudgetRow>, {
    id: 'budgets',
    title: 'Budgets',
    polled,
    empty: 'No budget has anything spent or held.',
    children: (rows) =>
      h(DataTable<BudgetRow>, {
        caption: 'Budgets',
        rows,
        columns,
        keyOf: ({ quota, key }) => JSON.stringify([quota, key]),
      }),
  });
}

function usedMeter(budget: BudgetRow): ComponentChildren {
  const percent = usedPercent(budget);
  const meter = h('meter', {
    min: 0,
    max: 100,
    low: 75,
    high: 90,
    optimum: 0,
    value: Math.min(percent, 100),
    'aria-label': `Used of ${budget.quota}`,
  });
  return h('span', null, meter, ` ${shownNumber(percent)} %`);
}

function forecast({ spent, limit, exhaustedAt, resetAt }: BudgetRow): ComponentChildren {
  if (Number(spent) >= Number(limit)) {
    return h('span', { class: 'late' }, 'spent');
  }
  return exhaustedAt === undefined
    ? resetAt === undefined
      ? '–'
      : 'lasts'
    : h('span', { class: 'late' }, `spent on ${shownMinute(exhaustedAt)}`);
}
