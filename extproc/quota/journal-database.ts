/**
 * The SQLite file of the journal: what is spent in every window and what is held, at most a second
 * behind the logs beside it.
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { MAX_AUDIT_ENTRIES } from './audit.ts';
import type { HoldParts, HoldSubject, JournalBatch, JournaledHold, WindowChange } from './journal-record.ts';
import { SEGMENTS_PER_WINDOW } from './sliding.ts';

/**
 * The `user_version` of the file. A change of the tables below or of the log lines raises it and
 * adds a migration from the version before. Version 2 added checksums to lines; its tables are
 * those of version 1. Version 3 added usage and the subjects of holds. Version 4 moved usage to a
 * file of its own (`journal-upgrade.ts`), and added what operators do.
 */
const SCHEMA_VERSION = 4;

/** The `application_id` of the file, "Tlly": distinguishes it from other SQLite files. */
export const APPLICATION_ID = 0x546c6c79;

export const journalSchema = `
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
  CREATE TABLE applied (log INTEGER NOT NULL, usage INTEGER NOT NULL DEFAULT 0);
  INSERT INTO applied VALUES (0, 0);
  CREATE TABLE quota (id TEXT PRIMARY KEY, definition TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE window (
    id INTEGER PRIMARY KEY, quota TEXT NOT NULL, bucket TEXT NOT NULL, key_values TEXT NOT NULL, kind TEXT NOT NULL, start_ms INTEGER NOT NULL,
    spent INTEGER NOT NULL DEFAULT 0, carried INTEGER NOT NULL DEFAULT 0, over INTEGER NOT NULL DEFAULT 0,
    granted INTEGER NOT NULL DEFAULT 0, granted_until_ms INTEGER NOT NULL DEFAULT 0
  );
  CREATE TABLE segment (window INTEGER NOT NULL, number INTEGER NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (window, number)) WITHOUT ROWID;
  CREATE TABLE hold (id INTEGER PRIMARY KEY, parts TEXT NOT NULL, subject TEXT);
  CREATE TABLE recovered (log INTEGER PRIMARY KEY, usage TEXT NOT NULL);
  CREATE TABLE audit (id INTEGER PRIMARY KEY, entry TEXT NOT NULL);
`;

/** From version 1 or 2. */
const migration = `
  ALTER TABLE hold ADD COLUMN subject TEXT;
  ALTER TABLE applied ADD COLUMN usage INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE window ADD COLUMN granted INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE window ADD COLUMN granted_until_ms INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE recovered (log INTEGER PRIMARY KEY, usage TEXT NOT NULL);
  CREATE TABLE audit (id INTEGER PRIMARY KEY, entry TEXT NOT NULL);
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** Names the unusable file and the fix. */
export class JournalError extends Error {}

export interface WindowRow {
  readonly id: number;
  readonly quota: string;
  readonly key: string;
  readonly values: readonly string[];
  readonly kind: string;
  readonly startMs: number;
  readonly spent: number;
  readonly carried: number;
  readonly over: number;
  readonly granted: number;
  /** 0: until the window ends. */
  readonly grantedUntilMs: number;
  readonly segments: readonly (readonly [number: number, amount: number])[];
}

export interface HoldRow {
  readonly parts: HoldParts;
  readonly subject: HoldSubject | undefined;
}

export interface JournalState {
  /** JSON by id. */
  readonly quotas: ReadonlyMap<string, string>;
  /** Ordered by id, oldest first. */
  readonly windows: readonly WindowRow[];
  readonly holds: readonly HoldRow[];
}

/** The usage of holds that were found open at a start. */
export interface RecoveredUsage {
  /** A number among those of the logs, which orders the ids of usage. */
  readonly log: number;
  /** In the form of `usageText`. */
  readonly usage: string;
}

export class JournalDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #unknownWindows = 0;

  /** Opens or creates the file. Throws a JournalError for an unusable file. */
  constructor(path: string) {
    // SQLite creates files with the umask's permissions; keys of tenants must be readable by the
    // owner only.
    closeSync(openSync(path, 'a', 0o600));
    this.#database = new DatabaseSync(path);
    try {
      this.#prepare(path);
    } catch (error) {
      this.#database.close();
      throw error instanceof JournalError ? error : damaged(path, error);
    }
  }

  /** The number of the last log that was folded in completely. */
  get applied(): number {
    return Number(this.#statement('SELECT log FROM applied').get()?.['log'] ?? 0);
  }

  /** The id of the last record of usage in the logs that were folded in. */
  get lastUsageId(): number {
    return Number(this.#statement('SELECT usage FROM applied').get()?.['usage'] ?? 0);
  }

  /** Writes the states of one log atomically. Returns the number of unknown windows in it. */
  write(batch: JournalBatch, log: number): number {
    this.#unknownWindows = 0;
    this.#transaction(() => this.#writeEntries(batch, log, Number.POSITIVE_INFINITY));
    return this.#unknownWindows;
  }

  /**
   * Moves this many entries from the batch to the file. Returns whether the batch is empty, so that
   * the log is complete.
   */
  writeSome(batch: JournalBatch, log: number, entries: number): boolean {
    this.#transaction(() => this.#writeEntries(batch, log, entries));
    return batch.isEmpty;
  }

  /** Replaces all states, and keeps the usage of the holds that were open. */
  replace(batch: JournalBatch, { log, usage }: RecoveredUsage): void {
    this.#transaction(() => {
      this.#database.exec('DELETE FROM quota; DELETE FROM window; DELETE FROM segment; DELETE FROM hold;');
      if (usage !== '') {
        this.#statement('INSERT INTO recovered VALUES (?, ?)').run(log, usage);
      }
      this.#writeEntries(batch, log, Number.POSITIVE_INFINITY);
    });
  }

  /** Returns what operators did, oldest first, by id. */
  audit(): ReadonlyMap<number, string> {
    const rows = this.#statement('SELECT * FROM audit ORDER BY id').all();
    return new Map(rows.map(({ id, entry }) => [Number(id), String(entry)]));
  }

  recoveredUsage(): readonly RecoveredUsage[] {
    return this.#statement('SELECT * FROM recovered ORDER BY log')
      .all()
      .map(({ log, usage }) => ({ log: Number(log), usage: String(usage) }));
  }

  forgetRecoveredUsage(log: number): void {
    if (this.#database.isOpen) {
      this.#statement('DELETE FROM recovered WHERE log = ?').run(log);
    }
  }

  /** Stops waiting for the disk: the caller syncs the WAL and then calls `checkpoint`. */
  leaveSyncToOthers(): void {
    this.#database.exec('PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0;');
  }

  /** Waits until everything is on the disk. */
  sync(): void {
    this.#database.exec('PRAGMA synchronous = NORMAL; PRAGMA wal_checkpoint(TRUNCATE);');
  }

  checkpoint(): void {
    this.#database.exec('PRAGMA wal_checkpoint(PASSIVE);');
  }

  load(): JournalState {
    const segments = new Map<number, [number, number][]>();
    for (const row of this.#statement('SELECT * FROM segment ORDER BY window, number').iterate()) {
      const window = Number(row['window']);
      const list = segments.get(window) ?? [];
      segments.set(window, list);
      list.push([Number(row['number']), Number(row['amount'])]);
    }
    const windows: WindowRow[] = [];
    for (const row of this.#statement('SELECT * FROM window ORDER BY id').iterate()) {
      windows.push({
        id: Number(row['id']),
        quota: String(row['quota']),
        key: String(row['bucket']),
        values: JSON.parse(String(row['key_values'])) as readonly string[],
        kind: String(row['kind']),
        startMs: Number(row['start_ms']),
        spent: Number(row['spent']),
        carried: Number(row['carried']),
        over: Number(row['over']),
        granted: Number(row['granted']),
        grantedUntilMs: Number(row['granted_until_ms']),
        segments: segments.get(Number(row['id'])) ?? [],
      });
    }
    const quotas = this.#statement('SELECT * FROM quota').all();
    const holds = this.#statement('SELECT parts, subject FROM hold ORDER BY id').all();
    return {
      quotas: new Map(quotas.map((row) => [String(row['id']), String(row['definition'])])),
      windows,
      holds: holds.map(({ parts, subject }) => ({
        parts: JSON.parse(String(parts)) as HoldParts,
        subject: (JSON.parse(String(subject)) as HoldSubject | null) ?? undefined,
      })),
    };
  }

  close(): void {
    this.#database.close();
  }

  #prepare(path: string): void {
    const pragma = (name: string) => Object.values(this.#database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
    const version = Number(pragma('user_version'));
    const isNew =
      Number(this.#database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get()?.['tables']) === 0;
    if (!isNew && Number(pragma('application_id')) !== APPLICATION_ID) {
      throw new JournalError(`quota journal ${path} is the SQLite file of another program: name another file`);
    }
    if (version > SCHEMA_VERSION) {
      throw new JournalError(
        `quota journal ${path} was written by a newer version (schema ${version}, this version reads up to ${SCHEMA_VERSION}): run that version, or move the file away to start with empty budgets`,
      );
    }
    this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
    if (isNew) {
      this.#transaction(() => this.#database.exec(journalSchema));
    } else if (version < SCHEMA_VERSION) {
      this.#transaction(() => this.#database.exec(migration));
    }
    const check = pragma('quick_check');
    if (check !== 'ok') {
      throw damaged(path, check);
    }
  }

  /**
   * Writes entries within a transaction. The log counts as applied with its last entry; until then
   * a restart reads it again, which does no harm.
   */
  #writeEntries(batch: JournalBatch, log: number, entries: number): void {
    let left = entries;
    for (const [id, definition] of batch.quotas) {
      if (left-- <= 0) {
        return;
      }
      batch.quotas.delete(id);
      if (definition === null) {
        this.#statement('DELETE FROM quota WHERE id = ?').run(id);
      } else {
        this.#statement('INSERT OR REPLACE INTO quota VALUES (?, ?)').run(id, definition);
      }
    }
    for (const [id, change] of batch.windows) {
      if (left-- <= 0) {
        return;
      }
      batch.windows.delete(id);
      this.#writeWindow(id, change);
    }
    for (const hold of batch.holds.size === 0 ? [] : batch.holds.all()) {
      if (left-- <= 0) {
        return;
      }
      batch.holds.delete(hold);
      this.#writeHold(hold);
    }
    for (const [id, entry] of batch.audit) {
      if (left-- <= 0) {
        return;
      }
      batch.audit.delete(id);
      this.#statement('INSERT OR IGNORE INTO audit VALUES (?, ?)').run(id, entry);
      this.#statement('DELETE FROM audit WHERE id <= ?').run(id - MAX_AUDIT_ENTRIES);
    }
    this.#statement('UPDATE applied SET log = ?, usage = max(usage, ?)').run(log, batch.lastUsageId);
  }

  #writeHold({ id, parts, subject: known }: JournaledHold): void {
    if (parts === undefined) {
      this.#statement('DELETE FROM hold WHERE id = ?').run(id);
      return;
    }
    const subject = known === undefined ? null : JSON.stringify(known);
    this.#statement(
      `INSERT INTO hold VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET parts = excluded.parts, subject = coalesce(excluded.subject, subject)`,
    ).run(id, JSON.stringify(parts), subject);
  }

  #writeWindow(id: number, change: WindowChange | undefined): void {
    if (change === undefined || change.identity !== undefined) {
      this.#statement('DELETE FROM window WHERE id = ?').run(id);
      this.#statement('DELETE FROM segment WHERE window = ?').run(id);
    }
    if (change?.identity !== undefined) {
      const { quota, key, values, kind, startMs } = change.identity;
      this.#statement(
        'INSERT INTO window (id, quota, bucket, key_values, kind, start_ms) VALUES (?, ?, ?, ?, ?, ?)',
      ).run(id, quota, key, JSON.stringify(values), kind, startMs);
    }
    if (change?.sums !== undefined) {
      const update = this.#statement('UPDATE window SET spent = ?, carried = ?, over = ? WHERE id = ?');
      this.#unknownWindows += update.run(...change.sums, id).changes === 0 ? 1 : 0;
    }
    if (change?.grant !== undefined) {
      this.#statement('UPDATE window SET granted = ?, granted_until_ms = ? WHERE id = ?').run(...change.grant, id);
    }
    let newest = 0;
    for (const [number, amount] of change?.segments ?? []) {
      this.#statement('INSERT OR REPLACE INTO segment VALUES (?, ?, ?)').run(id, number, amount);
      newest = Math.max(newest, number);
    }
    if (newest > 0) {
      this.#statement('DELETE FROM segment WHERE window = ? AND number < ?').run(id, newest - SEGMENTS_PER_WINDOW - 2);
    }
  }

  #transaction(run: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      run();
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) {
        this.#database.exec('ROLLBACK');
      }
      throw error;
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/**
 * Wraps errors of the system or SQLite about an unusable file or folder; returns other errors
 * unchanged.
 */
export function unusable(path: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (error instanceof JournalError || !/^(E[A-Z]+|ERR_SQLITE_ERROR)$/.test(code)) {
    return error;
  }
  return new JournalError(
    `quota journal ${path} cannot be opened (${(error as Error).message}): use a writable folder with free space, or name another file`,
  );
}

/**
 * Reports a damaged file and leaves it: only its owner knows whether a backup is better than empty
 * budgets.
 */
export function damaged(path: string, cause: unknown): JournalError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new JournalError(
    `quota journal ${path} cannot be read (${reason}): restore a backup, or move the file (with ${path}-wal and ${path}.log-*) away to start with empty budgets`,
  );
}
