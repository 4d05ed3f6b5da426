/** The table of sums by hour. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { UsageCells } from './usage-blocks.ts';
import { type UsageColumn, type UsageRow, type UsageValue, usageColumns } from './usage-record.ts';

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

export const hourTable = `CREATE TABLE usage_hour (
  hour INTEGER NOT NULL, ${dimensions.map((name) => `${name} TEXT NOT NULL`).join(', ')},
  requests INTEGER NOT NULL, ${sums.map((name) => `${name} INTEGER NOT NULL`).join(', ')},
  PRIMARY KEY (hour, ${dimensions.join(', ')})
) WITHOUT ROWID;`;

const insertHour = `INSERT INTO usage_hour VALUES (?, ${[...dimensions, 'requests', ...sums].map(() => '?').join(', ')})`;
const updateHour = `UPDATE usage_hour SET requests = requests + ?, ${sums
  .map((name) => `${name} = min(${name} + ?, ${Number.MAX_SAFE_INTEGER})`)
  .join(', ')} WHERE hour = ? AND ${dimensions.map((name) => `${name} = ?`).join(' AND ')}`;

export const HOUR_MS = 3_600_000;

/** The most combinations of an hour; the others of that hour share one row. */
const MAX_ROWS_AN_HOUR = 2_000;
export const OTHER = '(other)';

/** The most sums kept in memory before they are written. */
const MAX_OPEN_SUMS = 2_000;

interface HourSums {
  readonly hour: number;
  readonly names: readonly string[];
  /** The first amount is the number of requests. */
  readonly amounts: number[];
}

export class UsageHours {
  readonly #count: StatementSync;
  readonly #update: StatementSync;
  readonly #insert: StatementSync;
  readonly #remove: StatementSync;
  readonly #hours: StatementSync;
  readonly #rows: StatementSync;

  constructor(database: DatabaseSync) {
    this.#count = database.prepare('SELECT count(*) AS rows FROM usage_hour WHERE hour = ?');
    this.#update = database.prepare(updateHour);
    this.#insert = database.prepare(insertHour);
    this.#remove = database.prepare('DELETE FROM usage_hour WHERE hour < ?');
    this.#hours = database.prepare('SELECT DISTINCT hour FROM usage_hour WHERE hour >= ? AND hour < ? ORDER BY hour');
    this.#rows = database.prepare('SELECT * FROM usage_hour WHERE hour = ?');
  }

  /** Adds sums to the table. */
  write(sums: readonly HourSums[]): void {
    const rowsOf = new Map<number, number>();
    for (const { hour, names, amounts } of sums) {
      const rows = rowsOf.get(hour) ?? Number(this.#count.get(hour)?.['rows']);
      rowsOf.set(hour, rows + this.#writeHour(hour, names, amounts, rows >= MAX_ROWS_AN_HOUR));
    }
  }

  removeBefore(timeMs: number): void {
    this.#remove.run(Math.floor(timeMs / HOUR_MS));
  }

  /** Returns the numbers of the kept hours within the bounds, oldest first. */
  hours(sinceMs: number, untilMs: number): readonly number[] {
    const rows = this.#hours.all(Math.floor(sinceMs / HOUR_MS), Math.ceil(untilMs / HOUR_MS));
    return rows.map((row) => Number(row['hour']));
  }

  rowsOf(hour: number): readonly UsageCells[] {
    return this.#rows.all(hour) as UsageCells[];
  }

  /** Returns the number of new rows. */
  #writeHour(hour: number, names: readonly string[], amounts: readonly number[], isFull: boolean): number {
    const shared = otherNames(names);
    if (
      this.#update.run(...amounts, hour, ...names).changes > 0 ||
      (isFull && this.#update.run(...amounts, hour, ...shared).changes > 0)
    ) {
      return 0;
    }
    this.#insert.run(hour, ...(isFull ? shared : names), ...amounts);
    return 1;
  }
}

/** Returns the names of the sum that combinations beyond the bound share. */
export function otherNames(names: readonly string[]): readonly string[] {
  // The currency stays: sums of different currencies have no meaning.
  return names.map((name, index) => (dimensions[index] === 'currency' ? name : OTHER));
}

/** Returns the sums of these requests. */
export function hourSums(rows: readonly UsageRow[]): readonly HourSums[] {
  const hours = new OpenHours();
  for (const row of rows) {
    hours.add(row);
  }
  return hours.take();
}

/** Returns a sum by column, as a row of the table. */
export function hourCells({ hour, names, amounts }: HourSums): UsageCells {
  const cells: Record<string, UsageValue> = { hour, requests: amounts[0] ?? 0 };
  for (const [index, name] of dimensions.entries()) {
    cells[name] = names[index] ?? '';
  }
  for (const [index, name] of sums.entries()) {
    cells[name] = amounts[index + 1] ?? 0;
  }
  return cells;
}

/** Sums up requests in memory, so that each combination is written once. */
export class OpenHours {
  readonly #sums = new Map<string, HourSums>();

  get isFull(): boolean {
    return this.#sums.size >= MAX_OPEN_SUMS;
  }

  add(row: UsageRow): void {
    const hour = Math.floor(Number(row[timeColumn]) / HOUR_MS);
    let key = String(hour);
    for (let i = 0; i < dimensionColumns.length; i++) {
      const name = String(row[dimensionColumns[i]!] ?? '');
      // The length keeps names apart whatever they contain.
      key += `,${name.length},${name}`;
    }
    let sums = this.#sums.get(key);
    if (sums === undefined) {
      const names = dimensionColumns.map((index) => String(row[index] ?? ''));
      sums = { hour, names, amounts: [0, ...sumColumns.map(() => 0)] };
      this.#sums.set(key, sums);
    }
    const { amounts } = sums;
    amounts[0]!++;
    for (let i = 0; i < sumColumns.length; i++) {
      amounts[i + 1]! += Number(row[sumColumns[i]!]);
    }
  }

  /** Returns the sums, and begins anew. */
  take(): readonly HourSums[] {
    const all = [...this.#sums.values()];
    this.#sums.clear();
    return all;
  }
}
