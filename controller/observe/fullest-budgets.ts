/** The fullest budgets of each policy, from what the sidecars report. Pure. */
import type { BudgetReport } from '../../contract/budget-report.ts';
import { exhaustedAtMs } from '../../contract/forecast.ts';
import { addDecimals } from '../../contract/money.ts';
import type { BudgetStatus } from '../../translate/plan.ts';

/** In the status of one policy. */
const MAX_BUDGETS = 10;
const MINUTE_MS = 60_000;

interface Total {
  readonly first: BudgetReport;
  spent: string;
  held: string;
  limit: string;
  startMs: number | undefined;
  endMs: number | undefined;
  /** Those that count it apart; 0: all count together. */
  proxies: number;
}

/**
 * Returns the fullest budgets by policy (`NAMESPACE/NAME`), fullest first. Where each proxy counts
 * apart, all its amounts add up, also the limit.
 */
export function fullestBudgets(
  sidecars: Iterable<readonly BudgetReport[]>,
  nowMs: number,
): ReadonlyMap<string, readonly BudgetStatus[]> {
  const totals = new Map<string, Total>();
  for (const report of [...sidecars].flat()) {
    const id = JSON.stringify([report.quota, report.key.map(({ value }) => value)]);
    const total = totals.get(id);
    if (total === undefined) {
      const { spent, held, limit, startMs, endMs, isShared } = report;
      totals.set(id, { first: report, spent, held, limit, startMs, endMs, proxies: isShared ? 0 : 1 });
    } else {
      add(total, report);
    }
  }
  const fullest = [...totals.values()].toSorted((one, other) => share(other) - share(one));
  const byPolicy = Map.groupBy(fullest, ({ first }) => first.quota.slice(0, first.quota.lastIndexOf('/')));
  return new Map(
    [...byPolicy].map(([policy, all]) => [
      policy,
      all.slice(0, MAX_BUDGETS).map((total) => budgetStatus(total, nowMs)),
    ]),
  );
}

function add(total: Total, { spent, held, limit, startMs, endMs, isShared }: BudgetReport): void {
  total.held = addDecimals(total.held, held);
  total.startMs = earlier(total.startMs, startMs);
  total.endMs = earlier(total.endMs, endMs);
  if (isShared) {
    // All report the same total, some of them a little later.
    total.spent = Number(spent) > Number(total.spent) ? spent : total.spent;
  } else {
    total.spent = addDecimals(total.spent, spent);
    total.limit = addDecimals(total.limit, limit);
    total.proxies++;
  }
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : Math.min(one, other);
}

function share({ spent, held, limit }: Total): number {
  return Number(limit) === 0 ? 1 : (Number(spent) + Number(held)) / Number(limit);
}

function budgetStatus({ first, spent, held, limit, startMs, endMs, proxies }: Total, nowMs: number): BudgetStatus {
  const atMs = exhaustedAtMs({ spent: Number(spent), limit: Number(limit), startMs, endMs }, nowMs);
  return {
    quota: first.quota.slice(first.quota.lastIndexOf('/') + 1),
    key: first.key.map(({ value }) => value),
    spent,
    held,
    limit,
    ...(first.currency !== undefined && { currency: first.currency }),
    ...(proxies > 1 && { proxies }),
    // Whole minutes: a status that differs by seconds would be written each time.
    ...(atMs !== undefined && { exhaustedAt: instant(Math.round(atMs / MINUTE_MS) * MINUTE_MS) }),
  };
}

function instant(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
