/** Alerts about budgets on one machine: sent to webhooks, kept in the state folder until then. */
import { readFileSync } from 'node:fs';
import { readThresholdReport, type ThresholdReport } from '../contract/budget-report.ts';
import { AlertDesk, type KeptAlerts } from '../notify/alert-desk.ts';
import type { DeliveryCounts, Receiver } from '../notify/webhook-sender.ts';
import { writeAtomicallySync } from '../runtime/files.ts';
import type { Log } from '../runtime/log.ts';
import { standaloneFetchGuard } from '../translate/link/fetch-guard.ts';

export interface BudgetAlertsOptions {
  /** The file of what is known and not sent yet. */
  readonly path: string;
  readonly log: Log;
}

export interface BudgetAlerts {
  /** Replaces the receivers. The first call also takes over what the last run has kept. */
  want(receivers: readonly Receiver[]): void;
  /** Takes a message of extproc, if it has an alert. */
  take(message: unknown): void;
  /** For `/metrics`; empty without receivers. */
  metrics(): string;
  close(): void;
}

/** Alerts of a moment are written together. */
const WRITE_DELAY_MS = 50;

export function newBudgetAlerts({ path, log }: BudgetAlertsOptions): BudgetAlerts {
  let writing: NodeJS.Timeout | undefined;
  let hasRestored = false;
  let hasReceivers = false;
  const write = () => {
    writing = undefined;
    try {
      writeAtomicallySync(path, JSON.stringify(desk.kept()), 0o600);
    } catch (error) {
      log.warn({ err: error }, 'alerts not kept on disk');
    }
  };
  const desk = new AlertDesk({
    guard: standaloneFetchGuard,
    changed: () => {
      writing ??= setTimeout(write, WRITE_DELAY_MS);
    },
    log,
  });
  return {
    want(receivers) {
      hasReceivers = receivers.length > 0;
      desk.want(receivers);
      const kept = hasRestored ? undefined : readKept(path, log);
      hasRestored = true;
      if (kept !== undefined) {
        desk.restore(kept);
      }
    },
    take(message) {
      const report = reportedAlert(message);
      if (report !== undefined && hasReceivers) {
        desk.take(report);
      }
    },
    metrics: () => (hasReceivers ? alertMetrics(desk.counts()) : ''),
    close() {
      desk.close();
      if (writing !== undefined) {
        clearTimeout(writing);
        write();
      }
    },
  };
}

function readKept(path: string, log: Log): KeptAlerts | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as KeptAlerts;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      log.warn({ err: error }, 'kept alerts not readable');
    }
    return undefined;
  }
}

/** Returns the alert in a message of extproc. */
function reportedAlert(message: unknown): ThresholdReport | undefined {
  return typeof message === 'object' && message !== null && 'budgetAlert' in message
    ? readThresholdReport(message.budgetAlert)
    : undefined;
}

/** Returns metrics in the Prometheus format, with the names that the controller has. */
function alertMetrics({ sent, dropped, pending, failing }: DeliveryCounts): string {
  const text = (name: string, type: 'counter' | 'gauge', help: string, value: number) =>
    `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`;
  return (
    text('tallygate_alert_events_sent_total', 'counter', 'Events that webhooks accepted.', sent) +
    text('tallygate_alert_events_dropped_total', 'counter', 'Events that were given up.', dropped) +
    text('tallygate_alert_events_pending', 'gauge', 'Events that no webhook has accepted yet.', pending) +
    text('tallygate_alert_webhooks_failing', 'gauge', 'Webhooks whose last attempt failed.', failing)
  );
}
