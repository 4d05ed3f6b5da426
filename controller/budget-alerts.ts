/**
 * Alerts about budgets in a cluster. The leader records them as Events and sends them to webhooks.
 * It keeps what is known and not sent yet in a Secret of its namespace, so that the next leader
 * goes on; a Secret, because keys may name people.
 */
import type { ThresholdReport } from '../contract/budget-report.ts';
import { exhaustedAtMs } from '../contract/forecast.ts';
import { AlertDesk, type KeptAlerts } from '../notify/alert-desk.ts';
import type { DeliveryCounts, Receiver } from '../notify/webhook-sender.ts';
import { errorMessage } from '../runtime/error-message.ts';
import type { Log } from '../runtime/log.ts';
import type { KubeClient } from './api/client.ts';
import type { EventRecord } from './api/events.ts';
import type { KubeObject } from './api/object.ts';
import { secrets } from './resources.ts';

const NAME = 'tallygate-budget-alerts';
const ALERTS_FIELD = 'alerts';
/** Alerts of a moment are written together. */
const WRITE_DELAY_MS = 100;
const RETRY_MS = 5_000;
/** Others come again on the next stream of their sidecar. */
const MAX_EARLY = 10_000;

export interface ClusterAlertsOptions {
  readonly client: KubeClient;
  /** The controller's own. */
  readonly namespace: string;
  readonly guard: ConstructorParameters<typeof AlertDesk>[0]['guard'];
  /** Whether the sidecars of a fleet enforce a quota: they report about no other. */
  readonly enforces: (fleet: string, quota: string) => boolean;
  /** Called once for each alert. */
  readonly raised: (report: ThresholdReport) => void;
  readonly log: Log;
}

export class ClusterAlerts {
  readonly #options: ClusterAlertsOptions;
  readonly #desk: AlertDesk;
  #term: AbortSignal | undefined;
  #receivers: readonly Receiver[] | undefined;
  /** Alerts that came before the Secret was read. */
  #early: (() => void)[] = [];
  /** Called when what they wait for is written. */
  #unwritten: (() => void)[] = [];
  #hasChanged = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ClusterAlertsOptions) {
    this.#options = options;
    this.#desk = new AlertDesk({
      guard: options.guard,
      changed: () => this.#changed(),
      raised: options.raised,
      log: options.log,
    });
  }

  /**
   * Replaces the receivers. Once per term, reads what the leader before has kept. Returns whether
   * that succeeded. Call after the policies are published.
   */
  async follow(receivers: readonly Receiver[], term: AbortSignal): Promise<boolean> {
    if (this.#term === term && this.#receivers === receivers) {
      return true;
    }
    const { client, namespace, log } = this.#options;
    const isNew = this.#term !== term;
    let kept: KeptAlerts | undefined;
    try {
      kept = isNew ? this.#parsed(await client.get(secrets, namespace, NAME, term)) : undefined;
    } catch (error) {
      log.warn({ secret: NAME, err: error }, 'kept alerts not read');
      return false;
    }
    this.#receivers = receivers;
    this.#desk.want(receivers);
    if (isNew) {
      this.#term = term;
      term.addEventListener('abort', () => this.#rest(), { once: true });
      this.#desk.restore(kept ?? { known: [], pending: [] });
      for (const take of this.#early.splice(0)) {
        take();
      }
    }
    return true;
  }

  /** Takes an alert, and calls `stored` when the next leader would know it. */
  take(report: ThresholdReport, fleet: string, stored: () => void): void {
    if (this.#term === undefined || this.#term.aborted) {
      if (this.#early.length < MAX_EARLY) {
        this.#early.push(() => this.take(report, fleet, stored));
      }
      return;
    }
    if (!this.#options.enforces(fleet, report.quota)) {
      stored();
      return;
    }
    this.#unwritten.push(stored);
    this.#desk.take(report);
    this.#changed();
  }

  counts(): DeliveryCounts {
    return this.#desk.counts();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#desk.close();
  }

  #changed(): void {
    this.#hasChanged = true;
    this.#timer ??= setTimeout(() => void this.#write(), WRITE_DELAY_MS).unref();
  }

  async #write(): Promise<void> {
    const { client, namespace, log } = this.#options;
    const term = this.#term;
    if (term === undefined || term.aborted) {
      this.#timer = undefined;
      return;
    }
    this.#hasChanged = false;
    const stored = this.#unwritten.splice(0);
    const text = JSON.stringify(this.#desk.kept());
    let delayMs = WRITE_DELAY_MS;
    try {
      const head = { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name: NAME }, type: 'Opaque' };
      const data = { [ALERTS_FIELD]: Buffer.from(text).toString('base64') };
      await client.apply(secrets, { ...head, data } as KubeObject, { signal: term });
      for (const done of stored) {
        done();
      }
    } catch (error) {
      if (!term.aborted) {
        log.warn({ secret: NAME, err: error }, 'alerts not kept');
        this.#unwritten.unshift(...stored);
        this.#hasChanged = true;
        delayMs = RETRY_MS;
      }
    }
    this.#timer = this.#hasChanged ? setTimeout(() => void this.#write(), delayMs).unref() : undefined;
  }

  /** Another leader goes on. Sidecars send it what was not stored. */
  #rest(): void {
    this.#desk.clear();
    this.#receivers = undefined;
    this.#early = [];
    this.#unwritten = [];
  }

  #parsed(secret: KubeObject | undefined): KeptAlerts | undefined {
    const { [ALERTS_FIELD]: text = '' } = (secret?.['data'] ?? {}) as Readonly<Record<string, string | undefined>>;
    try {
      return text === '' ? undefined : (JSON.parse(Buffer.from(text, 'base64').toString('utf8')) as KeptAlerts);
    } catch (error) {
      this.#options.log.warn({ secret: NAME, problem: errorMessage(error) }, 'kept alerts not readable');
      return undefined;
    }
  }
}

/** Returns the Event of an alert. */
export function alertEvent(report: ThresholdReport, object: KubeObject): EventRecord {
  const reason = report.percent === 100 ? 'BudgetExhausted' : 'BudgetThresholdReached';
  return { object, type: 'Warning', reason, note: alertNote(report) };
}

function alertNote(report: ThresholdReport): string {
  const { quota, key, hidesKey, percent, spent, limit, currency, type, startMs, endMs, atMs } = report;
  const name = quota.slice(quota.lastIndexOf('/') + 1);
  const of = hidesKey ? '' : key.map(({ type: part, name: named, value }) => `${named ?? part} ${value}`).join(', ');
  const endsMs = exhaustedAtMs({ spent: Number(spent), limit: Number(limit), startMs, endMs }, atMs);
  const forecast = endsMs === undefined ? '' : `; at this rate it is exhausted at ${new Date(endsMs).toISOString()}`;
  return `Budget ${name}${of && ` of ${of}`}: ${percent}% spent (${spent} of ${limit} ${currency ?? type})${forecast}`;
}
