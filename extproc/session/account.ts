/**
 * The hold and the record of one request, outside its session, so that a fault of the session
 * cannot lose them.
 */
import type { Charge, FlatCharge, Hold, Overdraft } from '../quota/store.ts';
import { shownAmount, unitNoun } from '../quota/units.ts';
import type { UsageRecord } from '../quota/usage-record.ts';
import type { RequestRecord } from '../record.ts';
import type { SessionServices } from './services.ts';

export class Account {
  readonly #services: Pick<SessionServices, 'store' | 'now' | 'finished'>;
  /** Granted and not settled. */
  #hold: Hold | undefined;
  /** Settled, for the record of usage. */
  #settled: Hold | undefined;
  #recorded = false;

  constructor(services: Pick<SessionServices, 'store' | 'now' | 'finished'>) {
    this.#services = services;
  }

  /** Keeps a hold. Settles it at once where the request has ended meanwhile. */
  granted(hold: Hold): void {
    this.#hold = hold;
    if (this.#recorded) {
      this.settle('nothing', () => {});
    }
  }

  /**
   * Settles the hold, if there is one. A hold that could not be settled stays, so that a second
   * call tries again.
   */
  settle(charge: Charge | FlatCharge, done: (overdrafts: readonly Overdraft[]) => void): void {
    if (this.#hold === undefined) {
      done([]);
      return;
    }
    const { store, now } = this.#services;
    const hold = this.#hold;
    store.settle(hold, charge, now(), (overdrafts) => {
      this.#settled = hold;
      this.#hold = undefined;
      done(overdrafts);
    });
    this.#hold = undefined;
  }

  /** Writes the record, once. */
  record(record: RequestRecord, overdrafts: readonly Overdraft[]): void {
    if (this.#recorded) {
      return;
    }
    this.#recorded = true;
    const { store } = this.#services;
    if (store.keepsUsage && isSettled(record)) {
      store.recordUsage(usageRecord(record, overdrafts), this.#settled);
    }
    this.#services.finished(record, overdrafts);
  }
}

/** Whether a request was admitted by the quotas, or used tokens without one. */
function isSettled({ decision, usage }: RequestRecord): boolean {
  return decision.type === 'admitted' || decision.type === 'cut' || usage !== undefined;
}

function usageRecord(record: RequestRecord, overdrafts: readonly Overdraft[]): UsageRecord {
  const { tenant, user, apiKey } = record.access?.caller ?? {};
  const { requestId, model, route, backend, agent, decision } = record;
  return {
    subject: { requestId, tenant, user, apiKey, model, route, backend, session: agent?.sessionId },
    timeMs: record.endMs,
    served: record.responseModel,
    status: record.status,
    decision: decision.type === 'refused' ? 'none' : decision.type,
    source: record.source,
    usage: record.usage,
    cost: record.cost,
    overdrafts: overdrafts.map(({ bucket: { quota }, amount, cause }) => ({
      quota: quota.id,
      amount: shownAmount(quota, amount),
      unit: unitNoun(quota),
      cause,
    })),
  };
}
