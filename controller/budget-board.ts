/** The fullest budgets for the statuses of quota policies, renewed at intervals. */
import type { BudgetStatus } from '../translate/plan.ts';
import type { History } from './observe/contents.ts';
import { fullestBudgets } from './observe/fullest-budgets.ts';
import type { PushServer } from './push/server.ts';
import { same } from './statuses.ts';

export class BudgetBoard {
  readonly #push: Pick<PushServer, 'sidecars'>;
  readonly #history: Pick<History, 'policy'>;
  #budgets: ReadonlyMap<string, readonly BudgetStatus[]> | undefined;

  constructor(push: Pick<PushServer, 'sidecars'>, history: Pick<History, 'policy'>) {
    this.#push = push;
    this.#history = history;
  }

  /** Returns the budgets of a policy (`NAMESPACE/NAME`); undefined: not known yet. */
  of(policy: string): readonly BudgetStatus[] | undefined {
    return this.#budgets && (this.#budgets.get(policy) ?? []);
  }

  /** Takes what the sidecars have reported. Returns whether a status may change. */
  renew(nowMs: number): boolean {
    const reports = this.#push.sidecars().map(({ fleet, budgets }) => {
      // A sidecar reports about its own policy only.
      const quotas = new Set(this.#history.policy(fleet)?.quotas.map(({ id }) => id));
      return budgets.filter(({ quota }) => quotas.has(quota));
    });
    const before = this.#budgets;
    this.#budgets = fullestBudgets(reports, nowMs);
    return before === undefined || !same([...before], [...this.#budgets]);
  }

  /** Another leader knows better. */
  clear(): void {
    this.#budgets = undefined;
  }
}
