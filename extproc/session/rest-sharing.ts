/**
 * Tells other replicas what rests here, and learns what rests there, beside the requests. While the
 * store does not answer, each replica is on its own; what it could not tell is told later.
 */
import type { RestStore } from '../quota/shared/rest-store.ts';
import type { Cancel } from '../quota/store.ts';
import type { PassiveHealth } from './passive-health.ts';

/** How long a rest can be unknown to the other replicas. */
const INTERVAL_MS = 1_000;
/** Rests come in bursts: one exchange takes all of this time. */
const GATHER_MS = 20;
/** Without an answer for so long, the exchange counts as failed. */
const PATIENCE_MS = 5_000;
/** How far the end of an own rest may differ when it comes back from the store. */
const TOLERANCE_MS = 2_000;

export interface RestSharingOptions {
  readonly store: RestStore;
  readonly health: PassiveHealth;
  readonly nowMs: () => number;
  readonly schedule: (delayMs: number, callback: () => void) => Cancel;
}

/** A rest that this replica tells. */
interface ToldRest {
  readonly untilMs: number;
  /** The store has it. */
  isStored: boolean;
}

export class RestSharing {
  readonly #options: RestSharingOptions;
  /** By name; the policy bounds the number. */
  readonly #told = new Map<string, ToldRest>();
  #cancel: Cancel | undefined;
  #isSoon = false;
  /** The number of the exchange that is awaited, and since when. */
  #awaited: { readonly sinceMs: number } | undefined;

  constructor(options: RestSharingOptions) {
    this.#options = options;
  }

  /** Begins or stops to share. */
  use(isShared: boolean): void {
    this.close();
    if (isShared) {
      this.#options.health.tellReplicas((name, forMs) => this.#began(name, forMs));
      this.#cancel = this.#options.schedule(INTERVAL_MS, this.#exchange);
    }
  }

  close(): void {
    this.#options.health.tellReplicas(undefined);
    this.#cancel?.();
    this.#cancel = undefined;
    this.#awaited = undefined;
    this.#isSoon = false;
    this.#told.clear();
  }

  #began(name: string, forMs: number): void {
    const untilMs = this.#options.nowMs() + forMs;
    if (untilMs <= (this.#told.get(name)?.untilMs ?? 0)) {
      return;
    }
    this.#told.set(name, { untilMs, isStored: false });
    if (!this.#isSoon) {
      this.#isSoon = true;
      this.#cancel?.();
      this.#cancel = this.#options.schedule(GATHER_MS, this.#exchange);
    }
  }

  readonly #exchange = (): void => {
    const { store, health, nowMs, schedule } = this.#options;
    const atMs = nowMs();
    this.#isSoon = false;
    this.#cancel = schedule(INTERVAL_MS, this.#exchange);
    if (this.#awaited !== undefined && atMs - this.#awaited.sinceMs < PATIENCE_MS) {
      return;
    }
    const sent: ToldRest[] = [];
    const began = this.#untold(atMs, sent);
    const awaited = { sinceMs: atMs };
    this.#awaited = awaited;
    store.exchangeRests(began, (rests) => {
      if (this.#awaited !== awaited) {
        return;
      }
      this.#awaited = undefined;
      if (rests === undefined) {
        return;
      }
      for (const rest of sent) {
        rest.isStored = true;
      }
      const answeredMs = nowMs();
      health.learn(
        rests.filter(({ name, forMs }) => !this.#isOwn(name, answeredMs + forMs)),
        answeredMs,
      );
    });
  };

  /** Returns what the store does not have yet, and forgets what has ended. */
  #untold(atMs: number, sent: ToldRest[]): { readonly name: string; readonly forMs: number }[] {
    const began = [];
    for (const [name, rest] of this.#told) {
      const forMs = rest.untilMs - atMs;
      if (forMs <= 0) {
        this.#told.delete(name);
      } else if (!rest.isStored) {
        sent.push(rest);
        began.push({ name, forMs });
      }
    }
    return began;
  }

  /** Whether a rest is known here, because it began here. */
  #isOwn(name: string, untilMs: number): boolean {
    const own = this.#told.get(name);
    return own !== undefined && untilMs <= own.untilMs + TOLERANCE_MS;
  }
}
