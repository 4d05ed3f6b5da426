/**
 * Opens the quota store, in memory only or with a journal. Restores the sums of running windows
 * from the journal, and charges holds that were never settled in full. The store then is the only
 * user of the file.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Quota } from '../../contract/policy.ts';
import { AuditTrail } from './audit.ts';
import { WindowState } from './bucket.ts';
import type { ExportState } from './export/exporter.ts';
import type { ExportHeaders, UsageExportTarget } from './export/target.ts';
import { journalDefaults, LogJournal, type LogJournalOptions } from './journal.ts';
import { JournalDatabase, JournalError, type JournalState, unusable, type WindowRow } from './journal-database.ts';
import { foldLog, logsOf, removeLogs } from './journal-log.ts';
import { JournalBatch } from './journal-record.ts';
import { splitUsage } from './journal-upgrade.ts';
import { JournalWriter } from './journal-writer.ts';
import { MemoryStore } from './memory.ts';
import { type MemoryOptions, memoryDefaults } from './memory-options.ts';
import { quotaDefinition } from './quota-definition.ts';
import { shownAmount, unitNoun } from './units.ts';
import { UsageArchive } from './usage-archive.ts';
import {
  subjectOf,
  USAGE_IDS_PER_MS,
  type UsageLimit,
  type UsageRecord,
  type UsageRow,
  type UsageSubject,
  usageRow,
} from './usage-record.ts';
import { type UsageRetention, usageDefaults } from './usage-tables.ts';

export interface StoreOptions extends Partial<MemoryOptions>, Partial<LogJournalOptions>, Partial<UsageRetention> {
  /** The file of the journal; absent: nothing survives the process. */
  readonly path?: string;
  readonly exports?: readonly UsageExportTarget[];
  readonly exportHeaders?: ExportHeaders;
  readonly onExport?: (state: ExportState) => void;
}

/** The holds that were open when the last process ended. */
export interface Recovered {
  readonly holds: number;
  /** What was charged for them, by quota, as operators see amounts. */
  readonly charged: ReadonlyMap<string, { readonly amount: number | string; readonly unit: string }>;
}

export interface OpenStore {
  readonly store: MemoryStore;
  readonly recovered: Recovered;
  /** Undefined where no usage is kept. */
  readonly usage: UsageArchive | undefined;
  readonly audit: AuditTrail;
  /** Records of usage that were not kept, because too many waited for the disk. */
  readonly usageLost: () => number;
}

/** Throws a JournalError that names the file and the fix. */
export function openQuotaStore(options: StoreOptions = {}): OpenStore {
  const { path } = options;
  const memory = { ...memoryDefaults, ...options };
  if (path === undefined) {
    const recovered = { holds: 0, charged: new Map() };
    const audit = new AuditTrail([], () => {});
    return { store: new MemoryStore(memory, undefined), recovered, usage: undefined, audit, usageLost: () => 0 };
  }
  let unlock = () => {};
  try {
    mkdirSync(dirname(path), { recursive: true });
    unlock = lock(path);
    splitUsage(path);
    return openJournal(path, { ...journalDefaults, ...options }, memory, unlock);
  } catch (error) {
    unlock();
    throw unusable(path, error);
  }
}

function openJournal(
  path: string,
  options: LogJournalOptions & StoreOptions,
  memory: MemoryOptions,
  unlock: () => void,
): OpenStore {
  const { onDamage } = options;
  const { usageDays, usageRequestDays } = { ...usageDefaults, ...options };
  const database = new JournalDatabase(path);
  const logs = logsOf(path);
  const logsWithUsage = logs.filter((log) => foldLog(database, path, log, onDamage));
  const journal = new LogJournal(options);
  journal.startUsageAt(Math.max(database.lastUsageId + 1, Math.floor(memory.nowMs()) * USAGE_IDS_PER_MS));
  const archive =
    usageDays > 0
      ? new UsageArchive({
          journalPath: path,
          retention: { usageDays, usageRequestDays },
          exports: options.exports ?? [],
          exportHeaders: options.exportHeaders ?? {},
          onExport: options.onExport ?? (() => {}),
          onTrouble: options.onUsageTrouble,
        })
      : undefined;
  const store = new MemoryStore({ ...memory, keepsUsage: archive !== undefined }, journal, () => {
    archive?.pause();
    unlock();
  });
  const recovered = restore(store, journal, database.load(), memory.nowMs(), (windowsLost) =>
    onDamage({ file: path, lines: 0, linesLost: 0, firstLostAtByte: undefined, cutBytes: 0, windowsLost }),
  );
  const log = Math.max(database.applied, ...logs) + 1;
  const batch = new JournalBatch();
  const { records, usage } = journal.take();
  for (const record of records) {
    batch.fold(record);
  }
  database.replace(batch, { log, usage });
  database.sync();
  removeLogs(path, archive === undefined ? logs : logs.filter((one) => !logsWithUsage.includes(one)));
  if (archive !== undefined) {
    addWaiting(archive, database, logsWithUsage);
  }
  journal.start(new JournalWriter(database, path, log + 1, options, archive));
  const kept = database.audit();
  journal.startAuditAt(Math.max(0, ...kept.keys()) + 1);
  const audit = new AuditTrail([...kept.values()], (entry) => journal.audit(entry));
  return { store, recovered, usage: archive, audit, usageLost: () => journal.usageLost };
}

/** Hands over the usage of earlier processes, in the order of its ids. */
function addWaiting(archive: UsageArchive, database: JournalDatabase, logs: readonly number[]): void {
  const recovered = database.recoveredUsage();
  const numbers = [...logs, ...recovered.map(({ log }) => log)].sort((one, other) => one - other);
  for (const number of numbers) {
    const of = recovered.find(({ log }) => log === number);
    if (of === undefined) {
      archive.addLog(number);
    } else {
      archive.addRecovered(of, () => database.forgetRecoveredUsage(number));
    }
  }
}

/** Acquires a lock that ends with the process, however it ends. */
function lock(path: string): () => void {
  const file = new DatabaseSync(`${path}.lock`);
  try {
    file.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    file.close();
    if (!String(error).includes('locked')) {
      throw error;
    }
    throw new JournalError(
      `quota journal ${path} is in use by another process: stop that process, or name another file (${String(error)})`,
    );
  }
  return () => file.close();
}

function restore(
  store: MemoryStore,
  journal: LogJournal,
  state: JournalState,
  nowMs: number,
  onLost: (windows: number) => void,
): Recovered {
  const quotas = new Map<string, JournaledQuota>();
  for (const [id, text] of state.quotas) {
    const quota = readQuota(id, text);
    if (quota !== undefined) {
      quotas.set(id, quota);
    }
  }
  const lost = state.windows.filter((row) => !quotas.has(row.quota)).length;
  if (lost > 0) {
    onLost(lost);
  }
  const windows = new Map<number, WindowState>();
  const newestFirst = [...state.windows].reverse();
  for (const row of newestFirst) {
    const quota = quotas.get(row.quota)?.quota;
    const window = quota === undefined ? undefined : restoreWindow(store, row, quota);
    if (window !== undefined) {
      windows.set(row.id, window);
    }
  }
  for (const [id, { removedMs }] of quotas) {
    if (removedMs !== undefined) {
      store.table.restoreRemoved(id, removedMs);
    }
  }
  const charged = new Map<Quota, number>();
  for (const { parts, subject } of state.holds) {
    const limits: UsageLimit[] = [];
    let cost: UsageRecord['cost'];
    for (const [id, held] of parts) {
      const window = windows.get(id);
      if (window !== undefined && held > 0 && !window.returnsHolds) {
        window.bucket.carryOverdraft(window, window.charge(held, nowMs));
        const { quota } = window.bucket.definition;
        charged.set(quota, (charged.get(quota) ?? 0) + held);
        const amount = shownAmount(quota, held);
        const key = window.bucket.values;
        limits.push({ quota: quota.id, key, held: amount, charged: amount, unit: unitNoun(quota) });
        if (quota.limit.type === 'Cost') {
          cost = { nanos: held, currency: quota.limit.currency, catalog: undefined };
        }
      }
    }
    if (store.keepsUsage) {
      journal.usage(recoveredUsage(subjectOf(subject), limits, cost, nowMs));
    }
  }
  for (const bucket of store.table.discardEmpty(nowMs)) {
    journal.window(bucket.window);
  }
  const shown = [...charged].map(
    ([quota, amount]) => [quota.id, { amount: shownAmount(quota, amount), unit: unitNoun(quota) }] as const,
  );
  return { holds: state.holds.length, charged: new Map(shown) };
}

/** Returns the record of a request whose process ended before it did: its tokens are unknown. */
function recoveredUsage(
  subject: UsageSubject,
  limits: readonly UsageLimit[],
  cost: UsageRecord['cost'],
  timeMs: number,
): UsageRow {
  const hold = { inputTokens: 0, outputTokens: 0, extensions: 0, extendedTokens: 0, limits };
  const unknown = { served: undefined, status: undefined, source: undefined, usage: undefined };
  return usageRow({ ...unknown, subject, timeMs, decision: 'recovered', cost, overdrafts: [] }, hold);
}

interface JournaledQuota {
  readonly quota: Quota;
  /** Since when no policy has the quota. */
  readonly removedMs: number | undefined;
}

/** Returns undefined for text that this program did not write. */
function readQuota(id: string, text: string): JournaledQuota | undefined {
  try {
    const { removedMs, ...quota } = JSON.parse(text) as Quota & Pick<JournaledQuota, 'removedMs'>;
    quotaDefinition(quota);
    return quota.id === id && Number.isSafeInteger(quota.limit.amount) ? { quota, removedMs } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Restores a window. The newest window of a bucket is its current one; older ones have open holds.
 */
function restoreWindow(store: MemoryStore, row: WindowRow, quota: Quota): WindowState | undefined {
  const ref = { quota, key: row.key, values: row.values };
  const known = store.table.buckets.get(row.key);
  const bucket = known ?? store.table.add(ref, row.startMs);
  if (bucket.definition.kind !== row.kind) {
    return undefined;
  }
  const { startMs, endMs } = bucket.window;
  const window = known === undefined ? bucket.window : new WindowState(0, bucket, startMs, endMs, undefined);
  window.restore(row.spent, row.carried, row.over);
  window.granted = row.granted;
  window.grantedUntilMs = row.grantedUntilMs === 0 ? Number.POSITIVE_INFINITY : row.grantedUntilMs;
  for (const [number, amount] of row.segments) {
    window.sliding?.set(number, amount);
  }
  return window;
}
