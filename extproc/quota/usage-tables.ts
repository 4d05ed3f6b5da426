/**
 * The tables of usage in their SQLite file: one row for each request, and sums by hour. Both are
 * bounded by age, and requests also by the size of the file.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type UsageColumn, type UsageRow, type UsageValue, usageColumns } from './usage-record.ts';

export interface UsageRetention {
  /** How long sums by hour are kept. */
  readonly usageDays: number;
  /** How long single requests are kept; 0: only their sums are. */
  readonly usageRequestDays: number;
}

export const usageDefaults: UsageRetention = { usageDays: 31, usageRequestDays: 7 };

/** The dimensions of the sums by hour. A session lasts hours: its sums come from requests. */
const dimensions = ['tenant', 'user', 'api_key', 'model', 'served', 'route', 'backend', 'currency'] as const;
const sums = [
  'input',
  'output',
  'cached_input',
  'cache_write_input',
  'reasoning_output',
  'audio_input',
  'audio_output',
  'cost',
] as const;

const columns = Object.keys(usageColumns) as UsageColumn[];
const column = (name: UsageColumn) => columns.indexOf(name);
const timeColumn = column('time_ms');
const dimensionColumns = dimensions.map(column);
const sumColumns = sums.map(column);

export const usageSchema = `
  CREATE TABLE usage_written (id INTEGER NOT NULL);
  INSERT INTO usage_written VALUES (0);
  CREATE TABLE usage_request (id INTEGER PRIMARY KEY, ${Object.entries(usageColumns)
    .map(([name, type]) => `${name} ${type}`)
    .join(', ')});
  CREATE INDEX usage_request_id ON usage_request (request_id);
  CREATE TABLE usage_hour (
    hour INTEGER NOT NULL, ${dimensions.map((name) => `${name} TEXT NOT NULL`).join(', ')},
    requests INTEGER NOT NULL, ${sums.map((name) => `${name} INTEGER NOT NULL`).join(', ')},
    PRIMARY KEY (hour, ${dimensions.join(', ')})
  ) WITHOUT ROWID;
`;

/** Also created in files that lack them. `usage_source` names this file in the ids of exports. */
export const exportSchema = `
  CREATE TABLE IF NOT EXISTS usage_export (target TEXT PRIMARY KEY, id INTEGER NOT NULL, dropped INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS usage_source (id TEXT NOT NULL);
`;

const insertRequest = `INSERT INTO usage_request VALUES (?, ${columns.map(() => '?').join(', ')})`;
const insertHour = `INSERT INTO usage_hour VALUES (?, ${[...dimensions, 'requests', ...sums].map(() => '?').join(', ')})`;
const updateHour = `UPDATE usage_hour SET requests = requests + ?, ${sums
  .map((name) => `${name} = min(${name} + ?, ${Number.MAX_SAFE_INTEGER})`)
  .join(', ')} WHERE hour = ? AND ${dimensions.map((name) => `${name} = ?`).join(' AND ')}`;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Ids are at least the microseconds of their time. */
const IDS_PER_MS = 1_000;

/** The most combinations of an hour; the others of that hour share one row. */
const MAX_ROWS_AN_HOUR = 2_000;
const OTHER = '(other)';

/** Rows removed for each request that is written, and at least by one write: they keep up. */
const PRUNED_A_REQUEST = 2;
const LEAST_PRUNED = 100;

/** Beyond this size of the file, the oldest requests are removed before their time. */
const MAX_FILE_BYTES = 512 * 1024 * 1024;

/** One row of a table of usage, by column. */
export type UsageCells = Readonly<Record<string, UsageValue>>;

export class UsageTables {
  readonly #database: DatabaseSync;
  readonly #retention: UsageRetention;
  readonly #statements = new Map<string, StatementSync>();
  /** The hour of the newest request, and how many rows it has. */
  #hour = -1;
  #rowsOfHour = 0;

  constructor(database: DatabaseSync, retention: UsageRetention) {
    this.#database = database;
    this.#retention = retention;
  }

  /**
   * Moves at most this many records from the batch to the tables, within a transaction of the
   * caller, and removes old ones. Ignores records that were written before.
   */
  write(batch: Map<number, UsageRow>, most: number): void {
    if (batch.size === 0 || most === 0) {
      return;
    }
    let moved = 0;
    let last = this.#lastId;
    const insert = this.#statement(insertRequest);
    const hours = new Map<string, number[]>();
    for (const [id, row] of batch) {
      if (moved === most) {
        break;
      }
      batch.delete(id);
      moved++;
      if (id > last) {
        last = id;
        if (this.#retention.usageRequestDays > 0) {
          insert.run(id, ...row);
        }
        addToHour(hours, row);
      }
    }
    for (const [key, amounts] of hours) {
      this.#writeHour(JSON.parse(key) as [number, ...string[]], amounts);
    }
    this.#statement('UPDATE usage_written SET id = ?').run(last);
    this.#prune(last / IDS_PER_MS, Math.max(LEAST_PRUNED, PRUNED_A_REQUEST * moved));
  }

  /** Removes some of what is older than configured, or takes too much space. */
  #prune(nowMs: number, most: number): void {
    const oldest = Math.floor(nowMs - this.#retention.usageRequestDays * DAY_MS) * IDS_PER_MS;
    const removed = this.#statement(
      'DELETE FROM usage_request WHERE id IN (SELECT id FROM usage_request WHERE id < ? ORDER BY id LIMIT ?) RETURNING id',
    ).all(this.#isTooLarge ? Number.MAX_SAFE_INTEGER : oldest, most);
    this.#dropExports(removed.map(({ id }) => Number(id)));
    const hour = Math.floor((nowMs - this.#retention.usageDays * DAY_MS) / HOUR_MS);
    this.#statement('DELETE FROM usage_hour WHERE hour < ?').run(hour);
  }

  /** Counts removed requests that a target has not received. */
  #dropExports(removed: readonly number[]): void {
    const last = removed.at(-1);
    if (last === undefined) {
      return;
    }
    for (const row of this.#statement('SELECT target, id FROM usage_export WHERE id < ?').all(last)) {
      const dropped = removed.filter((id) => id > Number(row['id'])).length;
      this.moveExport(String(row['target']), last, dropped);
    }
  }

  /** Begins to export to a target, if it is new: with the next request. */
  addExport(target: string): void {
    this.#statement('INSERT OR IGNORE INTO usage_export VALUES (?, ?, 0)').run(target, this.#lastId);
  }

  /** Returns the last id that a target has received, and how many it never will. */
  exportOf(target: string): { readonly id: number; readonly dropped: number } {
    const row = this.#statement('SELECT id, dropped FROM usage_export WHERE target = ?').get(target);
    return { id: Number(row?.['id'] ?? 0), dropped: Number(row?.['dropped'] ?? 0) };
  }

  moveExport(target: string, id: number, dropped: number): void {
    this.#statement('UPDATE usage_export SET id = max(id, ?), dropped = dropped + ? WHERE target = ?').run(
      id,
      dropped,
      target,
    );
  }

  /** Returns a name for this file that no other one has. `fresh` is used the first time. */
  source(fresh: string): string {
    this.#statement('INSERT INTO usage_source SELECT ? WHERE NOT EXISTS (SELECT 1 FROM usage_source)').run(fresh);
    return String(this.#statement('SELECT id FROM usage_source').get()?.['id']);
  }

  /** Returns the numbers of the kept hours within the bounds, oldest first. */
  hours(sinceMs: number, untilMs: number): readonly number[] {
    return this.#statement('SELECT DISTINCT hour FROM usage_hour WHERE hour >= ? AND hour < ? ORDER BY hour')
      .all(Math.floor(sinceMs / HOUR_MS), Math.ceil(untilMs / HOUR_MS))
      .map((row) => Number(row['hour']));
  }

  rowsOf(hour: number): readonly UsageCells[] {
    return this.#statement('SELECT * FROM usage_hour WHERE hour = ?').all(hour) as UsageCells[];
  }

  /** Returns an id before those of requests that ended at this time or later. */
  idBefore(timeMs: number): number {
    return Math.min(Math.floor(timeMs) * IDS_PER_MS, Number.MAX_SAFE_INTEGER) - 1;
  }

  /** Returns at most `most` requests after the one with this id, oldest first. */
  requests(afterId: number, untilMs: number, most: number): readonly UsageCells[] {
    return this.#statement('SELECT * FROM usage_request WHERE id > ? AND time_ms < ? ORDER BY id LIMIT ?').all(
      afterId,
      untilMs,
      most,
    ) as UsageCells[];
  }

  /** Returns the newest requests with this id; clients may choose it, so there may be several. */
  find(requestId: string): readonly UsageCells[] {
    return this.#statement('SELECT * FROM usage_request WHERE request_id = ? ORDER BY id DESC LIMIT 20').all(
      requestId,
    ) as UsageCells[];
  }

  get #lastId(): number {
    return Number(this.#statement('SELECT id FROM usage_written').get()?.['id'] ?? 0);
  }

  get #isTooLarge(): boolean {
    const pragma = (name: string) => Number(Object.values(this.#statement(`PRAGMA ${name}`).get() ?? {})[0]);
    return (pragma('page_count') - pragma('freelist_count')) * pragma('page_size') > MAX_FILE_BYTES;
  }

  #writeHour([hour, ...names]: [number, ...string[]], amounts: readonly number[]): void {
    if (hour !== this.#hour) {
      this.#hour = hour;
      this.#rowsOfHour = Number(
        this.#statement('SELECT count(*) AS rows FROM usage_hour WHERE hour = ?').get(hour)?.['rows'],
      );
    }
    const update = this.#statement(updateHour);
    // The currency stays: sums of different currencies have no meaning.
    const shared = names.map((name, index) => (dimensions[index] === 'currency' ? name : OTHER));
    const isFull = () => this.#rowsOfHour >= MAX_ROWS_AN_HOUR;
    if (
      update.run(...amounts, hour, ...names).changes > 0 ||
      (isFull() && update.run(...amounts, hour, ...shared).changes > 0)
    ) {
      return;
    }
    this.#statement(insertHour).run(hour, ...(isFull() ? shared : names), ...amounts);
    this.#rowsOfHour++;
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

/** Adds a request to the sums of its hour. The first amount is the number of requests. */
function addToHour(hours: Map<string, number[]>, row: UsageRow): void {
  const hour = Math.floor(Number(row[timeColumn]) / HOUR_MS);
  const key = JSON.stringify([hour, ...dimensionColumns.map((index) => row[index] ?? '')]);
  let amounts = hours.get(key);
  if (amounts === undefined) {
    amounts = [0, ...sumColumns.map(() => 0)];
    hours.set(key, amounts);
  }
  amounts[0]!++;
  for (let i = 0; i < sumColumns.length; i++) {
    amounts[i + 1]! += Number(row[sumColumns[i]!]);
  }
}
