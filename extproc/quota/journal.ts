/**
 * Makes grants survive the process. Changes are noted as they occur; `flush` appends the changed
 * states to a log as one line: one write, without waiting for the disk, so a killed process loses
 * nothing that was flushed. Twice a second the log is folded into the SQLite file and synced
 * (`journal-writer.ts`).
 */
import type { Quota } from '../../contract/policy.ts';
import { IntegerTable, type IntegerTableEntry } from '../../runtime/integer-table.ts';
import type { OpenHold, WindowState } from './bucket.ts';
import { type HoldParts, type JournalRecord, journalLine, recordsText, usageText } from './journal-record.ts';
import type { JournalWriter, JournalWriterOptions } from './journal-writer.ts';
import type { Journal } from './persistence.ts';
import { subjectRow, USAGE_IDS_PER_MS, type UsageRow } from './usage-record.ts';

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
  /**
   * Called when everything that could not be written has been written, except for the records of
   * usage beyond those that may wait.
   */
  readonly onRecovery: (usageLost: number) => void;
  /** Called with the reason while usage cannot be moved to its file. */
  readonly onUsageTrouble: (error: unknown) => void;
}

/** What the journal writes to. */
export type LogWriter = Pick<JournalWriter, 'append' | 'close' | 'takesUsage'>;

/** Changes in the parts of a line. */
export interface JournalChanges {
  readonly records: readonly JournalRecord[];
  /** Empty: none. */
  readonly usage: string;
}

export const journalDefaults: LogJournalOptions = {
  maxLogBytes: 256 * 1024 * 1024,
  foldEveryMs: 500,
  settlementDelayMs: 25,
  onTrouble: (error) => process.emitWarning(String(error)),
  onRecovery: () => {},
  onUsageTrouble: (error) => process.emitWarning(`usage: ${String(error)}`),
  onDamage: (damage) => process.emitWarning(`quota journal: ${JSON.stringify(damage)}`),
};

/** The pause after a failed write: what fails may be slow, too. */
const RETRY_MS = 100;
const TROUBLE_INTERVAL_MS = 1_000;

/** Records of usage that wait while nothing can be written, about 500 bytes each. */
const MAX_WAITING_USAGE = 20_000;

/** What the journal has of a window. */
interface WindowEntry {
  /** Whether the window has been written. */
  journaled: boolean;
  dirty: boolean;
  /** Whether the whole window must be written again: the journal cannot drop single segments. */
  reshaped: boolean;
  /** The newest segment that was written, and its amount. Older segments never change. */
  lastSegment: number;
  lastAmount: number;
}

/** What the journal has of a hold. */
class HoldEntry implements IntegerTableEntry {
  readonly id: number;
  readonly hold: OpenHold;
  journaled = false;
  dirty = false;
  nextInSlot: this | undefined = undefined;

  constructor(hold: OpenHold) {
    this.id = hold.number;
    this.hold = hold;
  }
}

export class LogJournal implements Journal {
  readonly #options: LogJournalOptions;
  #writer: LogWriter | undefined;
  #dirtyWindows: WindowState[] = [];
  readonly #windows = new Map<number, WindowEntry>();
  readonly #holds = new IntegerTable<HoldEntry>();
  #dirtyHolds: HoldEntry[] = [];
  #goneWindows: number[] = [];
  readonly #dirtyQuotas = new Map<string, object | null>();
  /** Entries of the operators' audit. */
  #audit: JournalRecord[] = [];
  #nextAuditId = 1;
  /** Records of usage, encoded. */
  #usage: string[] = [];
  /** Since the last recovery. */
  #usageLost = 0;
  /** Records of usage that were not kept. */
  usageLost = 0;
  #nextUsageId = 1;
  /** The id of the last record in the line of `#changes`. */
  #lastUsageId = 0;
  #newestUsageMs = 0;
  /** A change must be written before anything that it covers is sent. */
  #urgent = false;
  #timer: NodeJS.Timeout | undefined;
  failure: string | undefined;
  #failedAtMs = Number.NEGATIVE_INFINITY;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: LogJournalOptions) {
    this.#options = options;
  }

  /** Sets the id of the next record of usage, greater than any before. */
  startUsageAt(id: number): void {
    this.#nextUsageId = id;
  }

  /** Starts to write flushes. */
  start(writer: LogWriter): void {
    this.#writer = writer;
  }

  window(window: WindowState, mayWait = false): void {
    this.#urgent ||= !mayWait;
    this.#markDirty(window);
  }

  windowReshaped(window: WindowState): void {
    this.#urgent = true;
    this.#markDirty(window).reshaped = true;
  }

  windowGone(window: WindowState): void {
    if (this.#windows.get(window.id)?.journaled) {
      this.#goneWindows.push(window.id);
    }
    this.#windows.delete(window.id);
  }

  hold(hold: OpenHold): void {
    if (hold.parts.length === 0) {
      return;
    }
    let entry = this.#holds.get(hold.number);
    if (entry === undefined) {
      entry = new HoldEntry(hold);
      this.#holds.add(entry);
    }
    if (entry.dirty) {
      return;
    }
    entry.dirty = true;
    this.#dirtyHolds.push(entry);
    if (!hold.settled) {
      this.#urgent = true;
      for (const { window } of hold.parts) {
        if (window.share === undefined && !this.#windows.get(window.id)?.journaled) {
          this.#markDirty(window);
        }
      }
    }
  }

  quota(id: string, quota: Quota | undefined, removedMs?: number): void {
    this.#urgent = true;
    this.#dirtyQuotas.set(id, quota === undefined ? null : removedMs === undefined ? quota : { ...quota, removedMs });
  }

  usage(row: UsageRow): void {
    if (this.#usage.length >= MAX_WAITING_USAGE || this.#writer?.takesUsage === false) {
      this.usageLost++;
      this.#usageLost++;
      return;
    }
    this.#newestUsageMs = Math.max(this.#newestUsageMs, Number(row[0]));
    this.#usage.push(JSON.stringify(row));
  }

  /** Sets the id of the next entry of the operators' audit, greater than any before. */
  startAuditAt(id: number): void {
    this.#nextAuditId = id;
  }

  /** Written with the next flush, together with what the operator changed in the same turn. */
  audit(entry: string): void {
    this.#urgent = true;
    this.#audit.push(['a', this.#nextAuditId++, entry]);
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
      const { records, usage } = this.#changes();
      writer.append(journalLine(recordsText(records), usage), records, usage === '' ? 0 : this.#lastUsageId);
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#clean();
    if (this.failure !== undefined) {
      this.failure = undefined;
      this.#options.onRecovery(this.#usageLost);
      this.#usageLost = 0;
    }
  }

  /** Returns all changes since the last flush, which count as written. */
  take(): JournalChanges {
    const changes = this.#changes();
    this.#clean();
    return changes;
  }

  close(): void {
    this.#failedAtMs = Number.NEGATIVE_INFINITY;
    this.#write();
    this.#writer?.close();
    this.#writer = undefined;
  }

  get #isClean(): boolean {
    const changes =
      this.#dirtyHolds.length +
      this.#dirtyWindows.length +
      this.#goneWindows.length +
      this.#dirtyQuotas.size +
      this.#audit.length +
      this.#usage.length;
    return changes === 0;
  }

  #changes(): JournalChanges {
    const records: JournalRecord[] = [];
    for (const [id, quota] of this.#dirtyQuotas) {
      records.push(['q', id, quota === null ? null : JSON.stringify(quota)]);
    }
    for (const window of this.#dirtyWindows) {
      const entry = this.#windows.get(window.id);
      if (entry !== undefined) {
        addWindow(records, window, entry);
      }
    }
    for (const id of this.#goneWindows) {
      records.push(['x', id]);
    }
    for (const { hold, journaled } of this.#dirtyHolds) {
      if (!hold.settled) {
        records.push(['h', hold.number, ownParts(hold)]);
        if (!journaled && hold.subject !== undefined) {
          records.push(['i', hold.number, subjectRow(hold.subject)]);
        }
      } else if (journaled) {
        records.push(['d', hold.number]);
      }
    }
    records.push(...this.#audit);
    const firstUsageId = Math.max(this.#nextUsageId, this.#newestUsageMs * USAGE_IDS_PER_MS);
    this.#lastUsageId = firstUsageId + this.#usage.length - 1;
    return { records, usage: usageText(this.#lastUsageId, this.#usage) };
  }

  #clean(): void {
    this.#urgent = false;
    for (const window of this.#dirtyWindows) {
      const entry = this.#windows.get(window.id);
      if (entry !== undefined) {
        entry.dirty = false;
        entry.journaled = true;
        entry.reshaped = false;
        entry.lastSegment = window.sliding?.numbers.at(-1) ?? 0;
        entry.lastAmount = window.sliding?.amounts.at(-1) ?? 0;
      }
    }
    for (const entry of this.#dirtyHolds) {
      entry.dirty = false;
      entry.journaled = true;
      if (entry.hold.settled) {
        this.#holds.delete(entry);
      }
    }
    this.#dirtyWindows = [];
    this.#dirtyHolds = [];
    this.#goneWindows = [];
    this.#audit = [];
    if (this.#usage.length > 0) {
      this.#nextUsageId = this.#lastUsageId + 1;
      this.#usage = [];
    }
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
    this.#dirtyHolds = this.#dirtyHolds.filter((entry) => {
      const isNeeded = !entry.hold.settled || entry.journaled;
      if (!isNeeded) {
        this.#holds.delete(entry);
      }
      return isNeeded;
    });
    this.#dirtyWindows = this.#dirtyWindows.filter((window) => this.#windows.has(window.id));
    if (this.#failedAtMs - this.#reportedAtMs >= TROUBLE_INTERVAL_MS) {
      this.#reportedAtMs = this.#failedAtMs;
      this.#options.onTrouble(error);
    }
  }

  #markDirty(window: WindowState): WindowEntry {
    let entry = this.#windows.get(window.id);
    if (entry === undefined) {
      entry = { journaled: false, dirty: false, reshaped: false, lastSegment: 0, lastAmount: 0 };
      this.#windows.set(window.id, entry);
    }
    if (!entry.dirty) {
      entry.dirty = true;
      this.#dirtyWindows.push(window);
    }
    return entry;
  }

  #retryLater(): void {
    this.#timer ??= setTimeout(() => this.#write(), RETRY_MS).unref();
  }
}

function addWindow(records: JournalRecord[], window: WindowState, entry: WindowEntry): void {
  const { id, bucket, sliding } = window;
  const isWhole = !entry.journaled || entry.reshaped;
  if (isWhole) {
    const quota = bucket.definition.quota.id;
    records.push(['b', id, quota, bucket.key, bucket.values, window.kind, window.startMs]);
  }
  records.push(['w', id, sliding === undefined ? window.spent : 0, window.carried, window.over]);
  if (window.granted > 0) {
    const untilMs = Number.isFinite(window.grantedUntilMs) ? window.grantedUntilMs : 0;
    records.push(['g', id, window.granted, untilMs]);
  }
  if (sliding === undefined) {
    return;
  }
  for (let index = sliding.numbers.length - 1; index >= 0; index--) {
    const number = sliding.numbers[index]!;
    const amount = sliding.amounts[index]!;
    if (!isWhole && (number < entry.lastSegment || (number === entry.lastSegment && amount === entry.lastAmount))) {
      break;
    }
    records.push(['s', id, number, amount]);
  }
}

/** Returns the parts of a hold that only this process counts; the shared store knows the others. */
function ownParts({ parts }: OpenHold): HoldParts {
  const own: (readonly [window: number, units: number])[] = [];
  for (const { window, held } of parts) {
    if (window.share === undefined) {
      own.push([window.id, held]);
    }
  }
  return own;
}
