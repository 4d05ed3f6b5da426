/**
 * Whether the shared store answers. It is lost once nothing has succeeded for `LOST_AFTER_MS`, so a
 * connection that is replaced at once changes nothing; what cannot pass by itself counts at once.
 */
import type { Cancel } from '../../store.ts';
import type { StoreFault } from './redis-fault.ts';

const LOST_AFTER_MS = 500;

/** Faults that only an operator ends. */
const lasting: ReadonlySet<StoreFault['kind']> = new Set(['login', 'permission', 'version']);

/** Absent `fault`: available. */
export interface StoreHealthState {
  readonly fault?: StoreFault;
}

export interface StoreHealthOptions {
  readonly schedule: (delayMs: number, callback: () => void) => Cancel;
  readonly changed: (state: StoreHealthState) => void;
}

/** The state before anything is known. */
export const unanswered: StoreHealthState = {
  fault: { kind: 'unreachable', message: 'the store has not answered yet' },
};

export class StoreHealth {
  readonly #options: StoreHealthOptions;
  #state: StoreHealthState;
  #fault: StoreFault | undefined;
  #cancel: Cancel | undefined;

  constructor(options: StoreHealthOptions, state = unanswered) {
    this.#options = options;
    this.#state = state;
  }

  get state(): StoreHealthState {
    return this.#state;
  }

  succeeded(): void {
    this.#stopWaiting();
    if (this.#state.fault !== undefined) {
      this.#change({});
    }
  }

  /** Treats the store as lost at once, for the fault that is known or else for this one. */
  lost(fault: StoreFault): void {
    if (this.#state.fault === undefined) {
      const known = this.#cancel === undefined ? fault : (this.#fault ?? fault);
      this.#stopWaiting();
      this.#change({ fault: known });
    }
  }

  close(): void {
    this.#stopWaiting();
  }

  /** Undefined: there is no connection, and its error may be known already. */
  failed(fault: StoreFault | undefined): void {
    if (fault === undefined && (this.#state.fault !== undefined || this.#cancel !== undefined)) {
      return;
    }
    this.#noteFailure(fault ?? { kind: 'unreachable', message: 'the connection to the store is lost' });
  }

  #noteFailure(fault: StoreFault): void {
    this.#fault = fault;
    if (this.#state.fault !== undefined || lasting.has(fault.kind)) {
      this.#stopWaiting();
      if (this.#state.fault?.message !== fault.message) {
        this.#change({ fault });
      }
      return;
    }
    this.#cancel ??= this.#options.schedule(LOST_AFTER_MS, () => {
      this.#cancel = undefined;
      this.#change({ fault: this.#fault! });
    });
  }

  #stopWaiting(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #change(state: StoreHealthState): void {
    this.#state = state;
    this.#options.changed(state);
  }
}
