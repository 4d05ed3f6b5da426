/**
 * Sends the single requests of this gateway to the shared store, in the order of their ids. The
 * store takes each once, however often it arrives. While the store is away, requests wait in the
 * file of usage; what a failover of the store forgot is sent again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage } from '../../runtime/error-message.ts';
import type { ExportState } from './export/exporter.ts';
import type { UsageCells } from './usage-blocks.ts';
import { HOUR_MS } from './usage-hours.ts';
import type { UsageTables } from './usage-tables.ts';

/** Requests of one hour, in the order of their ids. */
export interface HourOfRequests {
  /** The name of the file of usage that they come from. */
  readonly source: string;
  readonly hour: number;
  /** An id before those of all rows. */
  readonly afterId: number;
  /** The last id of the source and hour that the store has confirmed; 0: none is known. */
  readonly confirmedId: number;
  readonly rows: readonly UsageCells[];
}

export interface TakenRequests {
  /** False: the store has some of the rows, or has forgotten rows that it had confirmed. */
  readonly isTaken: boolean;
  /** The last id that the store had before. */
  readonly knownId: number;
}

/** The shared store, as far as it keeps usage. */
export interface UsageTaker {
  /** Takes all rows or none. Rejects with the reason if the store does not confirm. */
  take(requests: HourOfRequests): Promise<TakenRequests>;
  /** Removes the oldest usage beyond the size that the store keeps, now and then. */
  prune(): Promise<void>;
}

export interface UsageSharingOptions {
  /** The name of the cursor: one for each store. */
  readonly cursor: string;
  readonly source: string;
  readonly signal: AbortSignal;
  readonly onState: (state: ExportState) => void;
  /** The pause when nothing is left to send. */
  readonly pollMs?: number;
  /** The first pause after a failure; it doubles up to ten seconds. */
  readonly retryMs?: number;
}

/** The target of the state of sharing. */
export const SHARED_STORE = 'shared store';

/** About 250 KB before compression. */
const MAX_ROWS = 500;
const MAX_RETRY_MS = 10_000;
/** Requests end in the order of time, so few hours are open at once. */
const MAX_CONFIRMED_HOURS = 8;

export class UsageSharing {
  readonly #tables: UsageTables;
  readonly #store: UsageTaker;
  readonly #options: UsageSharingOptions;
  /** The last confirmed id by hour. */
  readonly #confirmed = new Map<number, number>();
  #wake = new AbortController();
  #failure: string | undefined;
  #reported = '';

  constructor(tables: UsageTables, store: UsageTaker, options: UsageSharingOptions) {
    this.#tables = tables;
    this.#store = store;
    this.#options = options;
    tables.addExport(options.cursor, 0);
  }

  /** The last id that was sent. */
  get sentId(): number {
    return this.#tables.exportOf(this.#options.cursor).id;
  }

  /** Sends new requests now, and not after the pause. */
  wake(): void {
    this.#wake.abort();
  }

  /** Waits until everything written so far is sent, but not for a store that fails. */
  async settle(waitMs: number): Promise<void> {
    const endMs = performance.now() + waitMs;
    const lastId = this.#tables.lastId;
    while (this.sentId < lastId && this.#failure === undefined && performance.now() < endMs) {
      this.wake();
      await sleep(10);
    }
  }

  /** Runs until the signal. */
  async run(): Promise<void> {
    const { signal, pollMs = 1_000, retryMs = 500 } = this.#options;
    let pauseMs = retryMs;
    while (!signal.aborted) {
      try {
        if (!(await this.#sendNext())) {
          this.#report(undefined);
          await this.#store.prune();
          await this.#pause(pollMs);
        }
        pauseMs = retryMs;
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        this.#report(errorMessage(error));
        await sleep(pauseMs * (0.75 + Math.random() / 4), undefined, { signal }).catch(() => {});
        pauseMs = Math.min(MAX_RETRY_MS, pauseMs * 2);
      }
    }
  }

  /** Returns false if there is nothing to send. */
  async #sendNext(): Promise<boolean> {
    const { cursor } = this.#options;
    const afterId = this.sentId;
    const rows = this.#tables.requests(afterId, Number.MAX_SAFE_INTEGER, MAX_ROWS);
    const last = rows.at(-1);
    if (last === undefined) {
      // Rows that are not readable are passed over.
      this.#tables.moveExport(cursor, this.#tables.lastId, 0);
      return false;
    }
    for (const [hour, ofHour] of Map.groupBy(rows, hourOf)) {
      const forgottenAfter = await this.#sendHour(hour, afterId, ofHour);
      if (forgottenAfter !== undefined) {
        // An emptied store may lack other hours, too. What it has it does not take again.
        this.#confirmed.clear();
        this.#tables.rewindExport(cursor, forgottenAfter);
        return true;
      }
    }
    this.#tables.moveExport(cursor, Number(last['id']), 0);
    return true;
  }

  /** Returns an id after which the store has forgotten what it had confirmed, if it has. */
  async #sendHour(hour: number, after: number, ofHour: readonly UsageCells[]): Promise<number | undefined> {
    const { source } = this.#options;
    let afterId = after;
    let rows = ofHour;
    while (rows.length > 0) {
      const confirmedId = this.#confirmed.get(hour) ?? 0;
      const { isTaken, knownId } = await this.#store.take({ source, hour, afterId, confirmedId, rows });
      if (!isTaken && knownId <= afterId) {
        return knownId;
      }
      afterId = isTaken ? Number(rows.at(-1)!['id']) : knownId;
      this.#confirm(hour, afterId);
      rows = rows.filter(({ id }) => Number(id) > afterId);
    }
    return undefined;
  }

  #confirm(hour: number, id: number): void {
    this.#confirmed.set(hour, id);
    if (this.#confirmed.size > MAX_CONFIRMED_HOURS) {
      this.#confirmed.delete(Math.min(...this.#confirmed.keys()));
    }
  }

  #report(failure: string | undefined): void {
    this.#failure = failure;
    const { cursor, signal, onState } = this.#options;
    const state = { target: SHARED_STORE, failure, dropped: this.#tables.exportOf(cursor).dropped };
    if (JSON.stringify(state) !== this.#reported && !signal.aborted) {
      this.#reported = JSON.stringify(state);
      onState(state);
    }
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: AbortSignal.any([this.#options.signal, this.#wake.signal]) }).catch(() => {});
    if (this.#wake.signal.aborted) {
      this.#wake = new AbortController();
    }
  }
}

function hourOf(row: UsageCells): number {
  return Math.floor(Number(row['time_ms']) / HOUR_MS);
}
