/**
 * The table of single requests. A row is a block of requests that were written together, in the
 * JSON of the journal: a row and an index entry for each request would take several times the time.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { addUsage } from './journal-record.ts';
import {
  COLUMNS_WITHOUT_IMAGES,
  USAGE_IDS_PER_MS,
  type UsageColumn,
  type UsageRow,
  type UsageValue,
  usageColumns,
} from './usage-record.ts';

/** `id`: that of the last request. `text`: lines of `usageText`. */
export const blockTable = `CREATE TABLE usage_block (
  id INTEGER PRIMARY KEY, requests INTEGER NOT NULL, text BLOB NOT NULL
);`;

/** About 150 KB, and as many as one batch of exports. */
export const REQUESTS_PER_BLOCK = 200;

const columns = Object.keys(usageColumns) as UsageColumn[];

/** Moves the requests of a table with a row for each into blocks. */
export const blocksOfRows = `
  ${blockTable}
  INSERT INTO usage_block
    SELECT max(id), count(*), CAST(group_concat('[' || id || ',' || json_array(${columns.slice(0, COLUMNS_WITHOUT_IMAGES).join()}) || ']', char(10)) AS BLOB)
    FROM (SELECT *, (row_number() OVER (ORDER BY id) - 1) / ${REQUESTS_PER_BLOCK} AS block FROM usage_request ORDER BY id)
    GROUP BY block;
  DROP TABLE usage_request;
`;

/** One row of a table of usage, by column. */
export type UsageCells = Readonly<Record<string, UsageValue>>;

/** How far a time may be behind its id, after the clock was set back or the disk was away. */
const MOST_BEHIND_MS = 3_600_000;

/** The most requests that share an id and are found. */
const MAX_FOUND = 20;

/** Returns the row of values by column. */
export function rowOf(cells: UsageCells): UsageRow {
  return columns.map((column) => cells[column] ?? null);
}

export class UsageBlocks {
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #next: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#insert = database.prepare('INSERT INTO usage_block VALUES (?, ?, ?)');
    this.#next = database.prepare('SELECT text FROM usage_block WHERE id > ? ORDER BY id LIMIT 1');
  }

  add(lastId: number, requests: number, text: Uint8Array): void {
    this.#insert.run(lastId, requests, text);
  }

  /** Returns at most `most` requests after the one with this id, oldest first. */
  requests(afterId: number, untilMs: number, most: number): readonly UsageCells[] {
    const found: UsageCells[] = [];
    let last = afterId;
    while (found.length < most && last <= (untilMs + MOST_BEHIND_MS) * USAGE_IDS_PER_MS) {
      const rows = this.#blockAfter(last);
      if (rows.size === 0) {
        break;
      }
      for (const [id, row] of rows) {
        if (id > last && found.length < most && Number(row[0]) < untilMs) {
          found.push(cellsOf(id, row));
        }
        last = Math.max(last, id);
      }
    }
    return found;
  }

  /** Returns the newest requests with this id; clients may choose it, so there may be several. */
  find(requestId: string): readonly UsageCells[] {
    const found: UsageCells[] = [];
    const needle = Buffer.from(JSON.stringify(requestId).slice(1, -1));
    const blocks = this.#database
      .prepare('SELECT text FROM usage_block WHERE instr(text, ?) > 0 ORDER BY id DESC')
      .iterate(needle);
    for (const { text } of blocks) {
      const rows = [...rowsOf(text as Uint8Array)].reverse();
      found.push(...rows.map(([id, row]) => cellsOf(id, row)).filter((row) => row['request_id'] === requestId));
      if (found.length >= MAX_FOUND) {
        break;
      }
    }
    return found.slice(0, MAX_FOUND);
  }

  /** Counts the requests after one id, up to the last one of a block. */
  count(afterId: number, lastId: number): number {
    const rows = this.#blockAfter(afterId);
    const end = Math.max(afterId, ...rows.keys());
    const later = this.#database
      .prepare('SELECT total(requests) AS requests FROM usage_block WHERE id > ? AND id <= ?')
      .get(end, lastId);
    return [...rows.keys()].filter((id) => id > afterId).length + Number(later?.['requests']);
  }

  /**
   * Removes at most `most` of the oldest blocks whose requests have lower ids. Calls `onRemove`
   * first, with the last id that will be gone.
   */
  remove(beforeId: number, most: number, onRemove: (lastId: number) => void): void {
    const last = this.#database
      .prepare('SELECT max(id) AS id FROM (SELECT id FROM usage_block WHERE id < ? ORDER BY id LIMIT ?)')
      .get(beforeId, most)?.['id'];
    if (typeof last === 'number') {
      onRemove(last);
      this.#database.prepare('DELETE FROM usage_block WHERE id <= ?').run(last);
    }
  }

  #blockAfter(id: number): Map<number, UsageRow> {
    const block = this.#next.get(id);
    return block === undefined ? new Map() : rowsOf(block['text'] as Uint8Array);
  }
}

function rowsOf(text: Uint8Array): Map<number, UsageRow> {
  const rows = new Map<number, UsageRow>();
  for (const line of Buffer.from(text.buffer, text.byteOffset, text.length).toString().split('\n')) {
    addUsage(line, rows);
  }
  return rows;
}

/** Returns the values of a row by column. */
export function cellsOf(id: number, row: UsageRow): UsageCells {
  const all: Record<string, UsageValue> = { id };
  for (let index = 0; index < columns.length; index++) {
    all[columns[index]!] = row[index] ?? null;
  }
  return all;
}
