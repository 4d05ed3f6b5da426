/**
 * What a sidecar tells the controller about budgets: alerts until the controller has stored them,
 * and the budgets with the least left, when they have changed.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { BudgetReport, ThresholdReport } from '../../contract/budget-report.ts';
import type { BudgetAlertSchema } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';

type WireAlert = MessageInitShape<typeof BudgetAlertSchema>;

export interface BudgetOutboxOptions {
  /** Returns the budgets with the least left. */
  readonly fullest: () => readonly BudgetReport[];
  readonly sendAlert: (alert: WireAlert) => void;
  readonly sendFullest: (budgets: readonly string[]) => void;
  readonly intervalMs?: number;
}

/** About 250 KB. Beyond it, the oldest alert is lost: its log line and metric remain. */
const MAX_ALERTS = 256;
/** Shorter than the controller's, so that statuses are not twice as old. */
const INTERVAL_MS = 10_000;

export class BudgetOutbox {
  readonly #options: BudgetOutboxOptions;
  readonly #alerts = new Map<bigint, string>();
  readonly #timer: NodeJS.Timeout;
  #numbers = 0n;
  #sent = '';

  constructor(options: BudgetOutboxOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#report(), options.intervalMs ?? INTERVAL_MS).unref();
  }

  add(report: ThresholdReport): void {
    const number = ++this.#numbers;
    const content = JSON.stringify(report);
    this.#alerts.set(number, content);
    if (this.#alerts.size > MAX_ALERTS) {
      this.#alerts.delete(this.#alerts.keys().next().value!);
    }
    this.#options.sendAlert({ number, content });
  }

  /** Removes alerts that the controller has stored. */
  kept(numbers: readonly bigint[]): void {
    for (const number of numbers) {
      this.#alerts.delete(number);
    }
  }

  /** Sends everything on a new stream. */
  opened(): void {
    for (const [number, content] of this.#alerts) {
      this.#options.sendAlert({ number, content });
    }
    this.#sent = '';
    this.#report();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #report(): void {
    const budgets = this.#options.fullest().map((each) => JSON.stringify(each));
    const all = budgets.join('\n');
    if (all !== this.#sent) {
      this.#sent = all;
      this.#options.sendFullest(budgets);
    }
  }
}
