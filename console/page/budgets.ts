/** Budgets with what is left of them and when they end. */
import { type ComponentChildren, h } from 'preact';
import type { Bounded, BudgetRow } from '../api/source.ts';
import { shownAmount, shownMinute } from './format.ts';
import { type Column, DataTable, Section } from './parts.ts';
import { usePolled } from './polled.ts';

const EVERY_MS = 5_000;

const columns: readonly Column<BudgetRow>[] = [
  { head: 'quota', cell: ({ quota }) => quota || '–' },
  {
    head: 'of',
    cell: ({ key, keyNames }) => key.map((value, nth) => `${keyNames[nth] ?? 'key'} ${value}`).join(', ') || '–',
  },
  { head: 'window', cell: ({ window }) => window },
  { head: 'used', cell: usedMeter },
  { head: 'spent', isNumber: true, cell: ({ spent, currency }) => shownAmount(spent, currency) },
  { head: 'held', isNumber: true, cell: ({ held, currency }) => shownAmount(held, currency) },
  { head: 'limit', isNumber: true, cell: ({ limit, currency }) => shownAmount(limit, currency) },
  { head: 'forecast', cell: forecast },
  { head: 'resets', cell: ({ resetAt }) => (resetAt === undefined ? 'never' : shownMinute(resetAt)) },
];

export function BudgetsSection(): ComponentChildren {
  return h(Section<BudgetRow>, {
    id: 'budgets',
    title: 'Budgets',
    polled: usePolled<Bounded<BudgetRow>>('budgets', EVERY_MS),
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

function usedMeter({ quota, spent, held, limit }: BudgetRow): ComponentChildren {
  const used = Number(spent) + Number(held);
  const percent = Math.floor((100 * used) / Math.max(Number(limit), Number.MIN_VALUE));
  const meter = h('meter', {
    min: 0,
    max: 100,
    low: 75,
    high: 90,
    optimum: 0,
    value: Math.min(percent, 100),
    'aria-label': `Used of ${quota}`,
  });
  return h('span', null, meter, ` ${percent} %`);
}

function forecast({ spent, limit, exhaustedAt, resetAt }: BudgetRow): ComponentChildren {
  if (Number(spent) >= Number(limit)) {
    return h('span', { class: 'late' }, 'spent');
  }
  return exhaustedAt === undefined
    ? resetAt === undefined
      ? '–'
      : 'lasts'
    : h('span', { class: 'late' }, `at this rate spent on ${shownMinute(exhaustedAt)}`);
}
