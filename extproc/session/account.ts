/**
 * The hold and the record of one request, outside its session, so that a fault of the session
 * cannot lose them.
 */
import type { Charge, FlatCharge, Hold, Overdraft } from '../quota/store.ts';
import type { RequestRecord } from '../record.ts';
import type { SessionServices } from './services.ts';

export class Account {
  readonly #services: Pick<SessionServices, 'store' | 'now' | 'finished'>;
  /** Granted and not settled. */
  #hold: Hold | undefined;
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
    store.settle(this.#hold, charge, now(), (overdrafts) => {
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
    this.#services.finished(record, overdrafts);
  }
}
