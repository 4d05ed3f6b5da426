/**
 * The tables of usage in their SQLite file: single requests, and sums by hour. Both are bounded by
 * age, and requests also by the size of the file.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { blockTable, REQUESTS_PER_BLOCK, UsageBlocks, type UsageCells } from './usage-blocks.ts';
import { HOUR_MS, hourTable, OpenHours, UsageHours } from './usage-hours.ts';
import { isUsageRow, USAGE_IDS_PER_MS, type UsageRow } from './usage-record.ts';

export interface UsageRetention {
  /** How long sums by hour are kept. */
  readonly usageDays: number;
  /** How long single requests are kept; 0: only their sums are. */
  readonly usageRequestDays: number;
}

export const usageDefaults: UsageRetention = { usageDays: 31, usageRequestDays: 7 };

export const usageSchema = `
  CREATE TABLE usage_written (id INTEGER NOT NULL);
  INSERT INTO usage_written VALUES (0);
  ${blockTable}
  ${hourTable}
`;

/** Also created in files that lack them. `usage_source` names this file in the ids of exports. */
export const exportSchema = `
  CREATE TABLE IF NOT EXISTS usage_export (target TEXT PRIMARY KEY, id INTEGER NOT NULL, dropped INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS usage_source (id TEXT NOT NULL);
`;

const DAY_MS = 24 * HOUR_MS;

/** How long requests that are not kept wait for the shared store. */
const UNSHARED_KEPT_MS = DAY_MS;

/** Blocks removed for each that is written, and at least by one write: they keep up. */
const PRUNED_A_BLOCK = 2;
const LEAST_PRUNED = 20;

/** Beyond this size of the file, the oldest requests are removed before their time. */
const MAX_FILE_BYTES = 512 * 1024 * 1024;

const newline = Buffer.from('\n');

export class UsageTables {
  readonly #database: DatabaseSync;
  readonly #retention: UsageRetention;
  readonly #blocks: UsageBlocks;
  readonly #hours: UsageHours;
  readonly #statements = new Map<string, StatementSync>();
  /** The cursor of the shared store, which needs single requests until it has them. */
  sharedBy: string | undefined;

  constructor(database: DatabaseSync, retention: UsageRetention) {
    this.#database = database;
    this.#retention = retention;
    this.#blocks = new UsageBlocks(database);
    this.#hours = new UsageHours(database);
  }

  /**
   * Writes what `read` adds, texts of `usageText` in the order of their ids, and removes old
   * requests and hours. Ignores records that were written before. The caller has a transaction.
   */
  write(read: (add: (text: Buffer) => void) => void): void {
    const batch = new UsageBatch(this.lastId);
    let blocks = 0;
    const writeBlock = () => {
      const { requests, text } = batch.takeBlock();
      if (requests > 0 && (this.#retention.usageRequestDays > 0 || this.sharedBy !== undefined)) {
        this.#blocks.add(batch.lastId, requests, text);
        blocks++;
      }
    };
    read((text) => {
      batch.add(text);
      if (batch.requests >= REQUESTS_PER_BLOCK) {
        writeBlock();
      }
      if (batch.hours.isFull) {
        this.#hours.write(batch.hours.take());
      }
    });
    writeBlock();
    this.#hours.write(batch.hours.take());
    this.#statement('UPDATE usage_written SET id = ?').run(batch.lastId);
    this.#prune(batch.lastId / USAGE_IDS_PER_MS, Math.max(LEAST_PRUNED, PRUNED_A_BLOCK * blocks));
  }

  /** Removes some of what is older than configured, or takes too much space. */
  #prune(nowMs: number, most: number): void {
    const oldest = this.#oldestKept(nowMs);
    this.#blocks.remove(this.#isTooLarge ? Number.MAX_SAFE_INTEGER : oldest, most, (last) => this.#dropExports(last));
    this.#hours.removeBefore(nowMs - this.#retention.usageDays * DAY_MS);
  }

  #oldestKept(nowMs: number): number {
    const { usageRequestDays } = this.#retention;
    if (usageRequestDays === 0 && this.sharedBy !== undefined) {
      return Math.max(this.exportOf(this.sharedBy).id + 1, (nowMs - UNSHARED_KEPT_MS) * USAGE_IDS_PER_MS);
    }
    return Math.floor(nowMs - usageRequestDays * DAY_MS) * USAGE_IDS_PER_MS;
  }

  /** Counts the requests up to an id that a target has not received. */
  #dropExports(last: number): void {
    for (const row of this.#statement('SELECT target, id FROM usage_export WHERE id < ?').all(last)) {
      this.moveExport(String(row['target']), last, this.#blocks.count(Number(row['id']), last));
    }
  }

  /** Begins to export to a target after this id, if it is new: by default with the next request. */
  addExport(target: string, afterId: number = this.lastId): void {
    this.#statement('INSERT OR IGNORE INTO usage_export VALUES (?, ?, 0)').run(target, afterId);
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

  /** Exports requests after this id again. */
  rewindExport(target: string, id: number): void {
    this.#statement('UPDATE usage_export SET id = ? WHERE target = ?').run(id, target);
  }

  /** Returns a name for this file that no other one has. `fresh` is used the first time. */
  source(fresh: string): string {
    this.#statement('INSERT INTO usage_source SELECT ? WHERE NOT EXISTS (SELECT 1 FROM usage_source)').run(fresh);
    return String(this.#statement('SELECT id FROM usage_source').get()?.['id']);
  }

  /** Returns the numbers of the kept hours within the bounds, oldest first. */
  hours(sinceMs: number, untilMs: number): readonly number[] {
    return this.#hours.hours(sinceMs, untilMs);
  }

  rowsOf(hour: number): readonly UsageCells[] {
    return this.#hours.rowsOf(hour);
  }

  /** Returns an id before those of requests that ended at this time or later. */
  idBefore(timeMs: number): number {
    return Math.min(Math.floor(timeMs) * USAGE_IDS_PER_MS, Number.MAX_SAFE_INTEGER) - 1;
  }

  /** Returns at most `most` requests after the one with this id, oldest first. */
  requests(afterId: number, untilMs: number, most: number): readonly UsageCells[] {
    return this.#blocks.requests(afterId, untilMs, most);
  }

  /** Returns the newest requests with this id. Reads all requests, in a second at most. */
  find(requestId: string): readonly UsageCells[] {
    return this.#blocks.find(requestId);
  }

  /** The id of the last request that was written; 0: none. */
  get lastId(): number {
    return Number(this.#statement('SELECT id FROM usage_written').get()?.['id'] ?? 0);
  }

  get #isTooLarge(): boolean {
    const pragma = (name: string) => Number(Object.values(this.#statement(`PRAGMA ${name}`).get() ?? {})[0]);
    return (pragma('page_count') - pragma('freelist_count')) * pragma('page_size') > MAX_FILE_BYTES;
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

/** Requests that are read and not yet written. */
class UsageBatch {
  readonly hours = new OpenHours();
  lastId: number;
  requests = 0;
  #texts: Buffer[] = [];

  constructor(lastId: number) {
    this.lastId = lastId;
  }

  add(text: Buffer): void {
    const [lastId, ...rows] = JSON.parse(text.toString()) as [number, ...UsageRow[]];
    const known = Math.max(0, this.lastId - (lastId - rows.length));
    if (lastId <= this.lastId) {
      return;
    }
    const fresh = known === 0 ? rows : rows.slice(known);
    for (const row of fresh) {
      if (isUsageRow(row)) {
        this.hours.add(row);
      }
    }
    const kept = known === 0 ? text : Buffer.from(JSON.stringify([lastId, ...fresh]));
    this.#texts.push(kept, newline);
    this.requests += fresh.length;
    this.lastId = lastId;
  }

  takeBlock(): { readonly requests: number; readonly text: Buffer } {
    const block = { requests: this.requests, text: Buffer.concat(this.#texts.slice(0, -1)) };
    this.requests = 0;
    this.#texts = [];
    return block;
  }
}
