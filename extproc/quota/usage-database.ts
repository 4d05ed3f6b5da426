/** The SQLite file of usage, beside the journal. The usage worker is its only user. */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { APPLICATION_ID as JOURNAL_ID } from './journal-database.ts';
import { readLogLines } from './journal-log.ts';
import { readUsage } from './journal-record.ts';
import { blocksOfRows } from './usage-blocks.ts';
import { exportSchema, type UsageRetention, UsageTables, usageSchema } from './usage-tables.ts';

/** The `application_id` of the file, "Tlyu". */
const APPLICATION_ID = 0x546c7975;

/** The `user_version` of the file. */
const SCHEMA_VERSION = 1;

const stamp = `PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION};`;

/** A journal of schema version 3, whose other tables were copied into a new file. */
const migration = `
  DROP TABLE applied; DROP TABLE quota; DROP TABLE window; DROP TABLE segment; DROP TABLE hold;
  ${blocksOfRows}
  ${stamp}
`;

/** SQLite's log shrinks to this size after the usage of a large log is written. */
const WAL_BYTES = 16 * 1024 * 1024;

/** How long another process may still write after it gave up the lock of the journal. */
const BUSY_TIMEOUT_MS = 5_000;

export function usagePath(journalPath: string): string {
  return `${journalPath}.usage`;
}

export class UsageDatabase {
  readonly #database: DatabaseSync;
  readonly tables: UsageTables;

  /** Opens or creates the file. Throws for an unusable file. */
  constructor(path: string, retention: UsageRetention) {
    closeSync(openSync(path, 'a', 0o600));
    this.#database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    try {
      this.#prepare(path);
    } catch (error) {
      this.#database.close();
      throw error;
    }
    this.tables = new UsageTables(this.#database, retention);
  }

  /** Writes the usage of a log. What was written before, also a part of the log, counts once. */
  writeLog(file: string): void {
    this.#transaction(() => this.tables.write((add) => readLogLines(file, (line) => readUsage(line, add))));
  }

  /** Writes the usage of a text of `usageText`. */
  writeText(usage: string): void {
    this.#transaction(() => this.tables.write((add) => add(Buffer.from(usage))));
  }

  close(): void {
    this.#database.close();
  }

  #prepare(path: string): void {
    const pragma = (name: string) => Number(Object.values(this.#database.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
    const isNew = this.#database.prepare('SELECT 1 FROM sqlite_schema').get() === undefined;
    const application = pragma('application_id');
    const isJournal = application === JOURNAL_ID && pragma('user_version') === 3;
    if (!isNew && !isJournal && (application !== APPLICATION_ID || pragma('user_version') > SCHEMA_VERSION)) {
      throw new Error(
        `${path} is the file of another program or a newer version: move it away to start without earlier usage`,
      );
    }
    // The log is removed after the commit, which thus waits for the disk.
    this.#database.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${WAL_BYTES};`,
    );
    if (isNew || isJournal) {
      this.#transaction(() => this.#database.exec(isNew ? `${usageSchema} ${stamp}` : migration));
    }
    this.#database.exec(exportSchema);
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
}
