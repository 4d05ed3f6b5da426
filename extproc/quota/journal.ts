/**
 * Makes grants survive the process. Changes are noted as they occur; `flush` appends the changed
 * states to a log as one line: one write, without waiting for the disk, so a killed process loses
 * nothing that was flushed. Twice a second the log is folded into the SQLite file and synced
 * (`journal-writer.ts`).
 */
import type { Quota } from '../../contract/policy.ts';
import type { WindowState } from './bucket.ts';
import type { OpenHold } from './hold.ts';
import { type JournalRecord, journalLine } from './journal-record.ts';
import type { JournalWriter, JournalWriterOptions } from './journal-writer.ts';
import type { Journal } from './memory.ts';

export interface LogJournalOptions extends JournalWriterOptions {
  /**
   * How long a settlement may be deferred to share a write with the next grant. If the process dies
   * first, the hold is charged in full, so this never undercharges. Halves the number of writes.
   */
  readonly settlementDelayMs: number;
  /**
   * Called with the reason while grants cannot be written or synced, at most about once a second.
   */
  readonly onTrouble: (error: unknown) => void;
  /** Called when everything that could not be written has been written. */
  readonly onRecovery: () => void;
}

export const journalDefaults: LogJournalOptions = {
  maxLogBytes: 256 * 1024 * 1024,
  foldEveryMs: 500,
  settlementDelayMs: 25,
  onTrouble: (error) => process.emitWarning(String(error)),
  onRecovery: () => {},
  onDamage: (damage) => process.emitWarning(`quota journal: ${JSON.stringify(damage)}`),
};

/** The pause after a failed write: what fails may be slow, too. */
const RETRY_MS = 100;
const TROUBLE_INTERVAL_MS = 1_000;

export class LogJournal implements Journal {
  readonly #options: LogJournalOptions;
  #writer: Pick<JournalWriter, 'append' | 'close'> | undefined;
  #dirtyWindows: WindowState[] = [];
  #dirtyHolds: OpenHold[] = [];
  #goneWindows: number[] = [];
  readonly #dirtyQuotas = new Map<string, object | null>();
  /** A change must be written before anything that it covers is sent. */
  #urgent = false;
  #timer: NodeJS.Timeout | undefined;
  failure: string | undefined;
  #failedAtMs = Number.NEGATIVE_INFINITY;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: LogJournalOptions) {
    this.#options = options;
  }

  /** Starts to write flushes. */
  start(writer: Pick<JournalWriter, 'append' | 'close'>): void {
    this.#writer = writer;
  }

  window(window: WindowState, mayWait = false): void {
    this.#urgent ||= !mayWait;
    if (!window.dirty) {
      window.dirty = true;
      this.#dirtyWindows.push(window);
    }
  }

  windowGone(window: WindowState): void {
    if (window.journaled) {
      this.#goneWindows.push(window.id);
    }
    window.gone = true;
  }

  hold(hold: OpenHold): void {
    if (!hold.dirty && hold.parts.length > 0) {
      hold.dirty = true;
      this.#dirtyHolds.push(hold);
      if (!hold.settled) {
        this.#urgent = true;
        for (const { window } of hold.parts) {
          if (!window.journaled) {
            this.window(window);
          }
        }
      }
    }
  }

  quota(id: string, quota: Quota | undefined, removedMs?: number): void {
    this.#urgent = true;
    this.#dirtyQuotas.set(id, quota === undefined ? null : removedMs === undefined ? quota : { ...quota, removedMs });
  }

  flush(): void {
    if (this.#urgent) {
      this.#write();
    } else if (this.#timer === undefined && !this.#isClean) {
      this.#timer = setTimeout(() => this.#write(), this.#options.settlementDelayMs).unref();
    }
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const writer = this.#writer;
    if (writer === undefined || (this.#isClean && this.failure === undefined)) {
      return;
    }
    if (this.failure !== undefined && performance.now() - this.#failedAtMs < RETRY_MS) {
      this.#retryLater();
      return;
    }
    try {
      writer.append(journalLine(this.#line()));
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#clean();
    if (this.failure !== undefined) {
      this.failure = undefined;
      this.#options.onRecovery();
    }
  }

  /** Returns all changes since the last flush as a line, which counts as written. */
  take(): string {
    const line = this.#line();
    this.#clean();
    return line;
  }

  close(): void {
    this.#failedAtMs = Number.NEGATIVE_INFINITY;
    this.#write();
    this.#writer?.close();
    this.#writer = undefined;
  }

  get #isClean(): boolean {
    const changes =
      this.#dirtyHolds.length + this.#dirtyWindows.length + this.#goneWindows.length + this.#dirtyQuotas.size;
    return changes === 0;
  }

  #line(): string {
    const records: string[] = [];
    for (const [id, quota] of this.#dirtyQuotas) {
      records.push(encoded(['q', id, quota === null ? null : JSON.stringify(quota)]));
    }
    for (const window of this.#dirtyWindows) {
      if (!window.gone) {
        addWindow(records, window);
      }
    }
    for (const id of this.#goneWindows) {
      records.push(`["x",${id}]`);
    }
    for (const hold of this.#dirtyHolds) {
      if (!hold.settled) {
        records.push(`["h",${hold.number},[${hold.parts.map(({ window, held }) => `[${window.id},${held}]`).join()}]]`);
      } else if (hold.journaled) {
        records.push(`["d",${hold.number}]`);
      }
    }
    return `[${records.join()}]`;
  }

  #clean(): void {
    this.#urgent = false;
    for (const window of this.#dirtyWindows) {
      window.dirty = false;
      window.journaled = true;
      window.reshaped = false;
      window.dirtySegment = Number.POSITIVE_INFINITY;
    }
    for (const hold of this.#dirtyHolds) {
      hold.dirty = false;
      hold.journaled = true;
    }
    this.#dirtyWindows = [];
    this.#dirtyHolds = [];
    this.#goneWindows = [];
    // Clearing a Map allocates a new table, even if the Map is empty.
    if (this.#dirtyQuotas.size > 0) {
      this.#dirtyQuotas.clear();
    }
  }

  /** Keeps the changes and schedules a retry. Until then, quotas that fail closed grant nothing. */
  #failed(error: unknown): void {
    this.failure = error instanceof Error ? error.message : String(error);
    this.#failedAtMs = performance.now();
    this.#retryLater();
    this.#dirtyHolds = this.#dirtyHolds.filter((hold) => !hold.settled || hold.journaled);
    this.#dirtyWindows = this.#dirtyWindows.filter((window) => !window.gone);
    if (this.#failedAtMs - this.#reportedAtMs >= TROUBLE_INTERVAL_MS) {
      this.#reportedAtMs = this.#failedAtMs;
      this.#options.onTrouble(error);
    }
  }

  #retryLater(): void {
    this.#timer ??= setTimeout(() => this.#write(), RETRY_MS).unref();
  }
}

/**
 * Formats the records of every request by hand: they are numbers only, and this takes a fifth of
 * the time.
 */
function addWindow(records: string[], window: WindowState): void {
  const { id, bucket, sliding } = window;
  const isWhole = !window.journaled || window.reshaped;
  if (isWhole) {
    const quota = bucket.definition.quota.id;
    records.push(encoded(['b', id, quota, bucket.key, bucket.values, window.kind, window.startMs]));
  }
  records.push(`["w",${id},${sliding === undefined ? window.spent : 0},${window.carried},${window.over}]`);
  if (sliding !== undefined) {
    const from = isWhole ? 0 : window.dirtySegment;
    for (let nth = sliding.numbers.length - 1; nth >= 0 && (sliding.numbers[nth] ?? 0) >= from; nth--) {
      records.push(`["s",${id},${sliding.numbers[nth]},${sliding.amounts[nth]}]`);
    }
  }
}

function encoded(record: JournalRecord): string {
  return JSON.stringify(record);
}
