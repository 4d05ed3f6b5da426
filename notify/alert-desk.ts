/**
 * Takes the alerts of all data planes, leaves out repetitions, and sends the others to webhooks.
 * What is known and what could not be sent yet can be kept, so that the next process goes on: then
 * a receiver gets each alert at least once.
 */
import type { ThresholdReport } from '../contract/budget-report.ts';
import { type BudgetEvent, budgetEvent, thresholdName } from './budget-event.ts';
import {
  type DeliveryCounts,
  deliveryIntervals,
  type PendingEvent,
  type Receiver,
  WebhookSender,
  type WebhookSenderOptions,
} from './webhook-sender.ts';

/** What survives a restart. */
export interface KeptAlerts {
  /** Names of thresholds that were reported, and when they may be forgotten. */
  readonly known: readonly (readonly [name: string, untilMs: number])[];
  readonly pending: readonly PendingEvent[];
}

export interface AlertDeskOptions extends Omit<WebhookSenderOptions, 'changed'> {
  /** Called when `kept()` has changed. */
  readonly changed: () => void;
  /** Called once for each alert. */
  readonly raised?: (report: ThresholdReport, event: BudgetEvent) => void;
}

/** Names of 22 characters: about 160 KB. */
const MAX_KNOWN = 4_000;
/** The longest window and its overlap with others. */
const MAX_KNOWN_MS = 32 * 86_400_000;
/** A lifetime budget that was reset reports again after this time. */
const LIFETIME_KNOWN_MS = 86_400_000;

export class AlertDesk {
  readonly #options: AlertDeskOptions;
  readonly #sender: WebhookSender;
  readonly #now: () => number;
  readonly #known = new Map<string, number>();

  constructor(options: AlertDeskOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#sender = new WebhookSender(options);
  }

  want(receivers: readonly Receiver[]): void {
    this.#sender.want(receivers);
  }

  /** Takes over what an earlier process has kept. Call after `want`. */
  restore({ known, pending }: KeptAlerts): void {
    for (const [name, untilMs] of known) {
      this.#known.set(name, untilMs);
    }
    this.#sender.restore(pending);
  }

  /** Forgets everything, because another process goes on. */
  clear(): void {
    this.#known.clear();
    this.#sender.want([]);
  }

  kept(): KeptAlerts {
    return { known: [...this.#known], pending: this.#sender.pending() };
  }

  /** Takes an alert. Ignores one that is known, or too old to help. */
  take(report: ThresholdReport): void {
    const nowMs = this.#now();
    const name = thresholdName(report);
    this.#forget(nowMs);
    if (this.#known.has(name) || report.atMs < nowMs - deliveryIntervals.maxAgeMs) {
      return;
    }
    this.#known.set(name, knownUntilMs(report, nowMs));
    const event = budgetEvent(report);
    this.#options.raised?.(report, event);
    this.#sender.send(policyOf(report), event);
    this.#options.changed();
  }

  counts(): DeliveryCounts {
    return this.#sender.counts();
  }

  close(): void {
    this.#sender.close();
  }

  #forget(nowMs: number): void {
    for (const [name, untilMs] of this.#known) {
      if (untilMs <= nowMs || this.#known.size >= MAX_KNOWN) {
        this.#known.delete(name);
      }
    }
  }
}

/** Returns `NAMESPACE/POLICY`. */
function policyOf({ quota }: ThresholdReport): string {
  return quota.slice(0, quota.lastIndexOf('/'));
}

function knownUntilMs({ window, endMs, atMs }: ThresholdReport, nowMs: number): number {
  const untilMs =
    window.type === 'Sliding'
      ? atMs + (window.durationMs ?? 0)
      : window.type === 'Calendar' && endMs !== undefined
        ? endMs
        : atMs + LIFETIME_KNOWN_MS;
  return Math.min(untilMs, nowMs + MAX_KNOWN_MS);
}
