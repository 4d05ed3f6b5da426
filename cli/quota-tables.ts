/** Budgets, and what operators changed of them, as text. */
import type { AuditEntry } from '../extproc/quota/audit.ts';
import type { Budget, GrantedBudget, ResetBudgets } from '../extproc/quota/operator.ts';
import { table } from './table.ts';

/** Something that may come from a pod of a cluster. */
export type OfPod<T> = T & { readonly pod?: string };

/** Puts the pods before the other columns, if there are any. */
function podTable(
  of: readonly { readonly pod?: string }[],
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const hasPods = of.some(({ pod }) => pod !== undefined);
  return hasPods
    ? table(
        ['POD', ...head],
        rows.map((row, nth) => [of[nth]!.pod ?? '-', ...row]),
      )
    : table(head, rows);
}

export function auditTable(entries: readonly OfPod<AuditEntry>[]): string {
  if (entries.length === 0) {
    return 'Nothing was reset or granted.\n';
  }
  return podTable(
    entries,
    ['TIME', 'BY', 'ACTION', 'QUOTA', 'KEY', 'AMOUNT', 'REASON'],
    entries.map(({ time, by, action, quota: id, key, amount, spent, currency, reason }) => [
      time,
      by || '-',
      action,
      id,
      key?.join(',') || '-',
      withCurrency(amount ?? spent ?? '', currency),
      reason ?? '-',
    ]),
  );
}

export function budgetTable(budgets: readonly OfPod<Budget>[]): string {
  if (budgets.length === 0) {
    return 'No budget is in use.\n';
  }
  return podTable(
    budgets,
    ['QUOTA', 'KEY', 'WINDOW', 'SPENT', 'HELD', 'LIMIT', 'RESETS', 'EXHAUSTED'],
    budgets.map(({ quota: id, key, window, spent, held, limit, currency, resetAt, exhaustedAt }) =>
      [
        id,
        key.join(',') || '-',
        window,
        spent,
        held,
        withCurrency(limit, currency),
        resetAt ?? 'never',
        exhaustedAt ?? '-',
      ].map(String),
    ),
  );
}

export function resetText({ budgets, spent, currency }: ResetBudgets): string {
  return `${budgets} ${budgets === 1 ? 'budget' : 'budgets'} reset, ${withCurrency(spent, currency)} was spent`;
}

export function grantText({ amount, limit, currency }: GrantedBudget): string {
  return `granted ${withCurrency(amount, currency)}, the limit of this window is ${withCurrency(limit, currency)}`;
}

function withCurrency(amount: number | string, currency: string | undefined): string {
  return currency === undefined ? String(amount) : `${amount} ${currency}`;
}
