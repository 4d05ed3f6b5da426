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
export interface StoreState {
  readonly fault?: StoreFault;
}

export interface StoreHealthOptions {
  readonly schedule: (delayMs: number, callback: () => void) => Cancel;
  readonly changed: (state: StoreState) => void;
}

export class StoreHealth {
  readonly #options: StoreHealthOptions;
  #state: StoreState = { fault: { kind: 'unreachable', message: 'the store has not answered yet' } };
  #fault: StoreFault | undefined;
  #cancel: Cancel | undefined;

  constructor(options: StoreHealthOptions) {
    this.#options = options;
  }

  get state(): StoreState {
    return this.#state;
  }

  succeeded(): void {
    this.#stopWaiting();
    if (this.#state.fault !== undefined) {
      this.#change({});
    }
  }

  failed(fault: StoreFault): void {
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

  close(): void {
    this.#stopWaiting();
  }

  #stopWaiting(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #change(state: StoreState): void {
    this.#state = state;
    this.#options.changed(state);
  }
}
