/** The part of the usage worker for the shared store: sends requests, and reads those of all. */
import { randomUUID } from 'node:crypto';
import type { SharedStoreConfig } from '../../contract/shared-store.ts';
import type { ExportState } from './export/exporter.ts';
import type { SharedUsage } from './shared/redis/shared-usage.ts';
import type { UsageCells } from './usage-blocks.ts';
import { type ExplainedRequest, explained } from './usage-explain.ts';
import { HOUR_MS } from './usage-hours.ts';
import { type RecordPage, type RecordQuery, recordLines } from './usage-records.ts';
import { requestPages, sumsOf, type UsageQuery, type UsageSums, usageReport } from './usage-report.ts';
import { UsageSharing } from './usage-sharing.ts';
import type { UsageRetention, UsageTables } from './usage-tables.ts';

/**
 * - `local`: the usage of this gateway.
 * - `shared`: what the shared store has, of all gateways.
 * - `unshared`: the usage of this gateway that the shared store does not have.
 */
export const usageSets = ['local', 'shared', 'unshared'] as const;

export type UsageSet = (typeof usageSets)[number];

export const NO_SHARED_STORE = 'the gateway has no shared store';

/** How long a report waits for requests to be sent, so that nothing is left out or counts twice. */
const SETTLE_MS = 2_000;
/** A process that ends leaves the rest in its file. */
const SETTLE_AT_END_MS = 700;

/** Reports of all records that are read at the same time, and one that was left. */
const MAX_OPEN_PAGES = 9;

export class UsageShare {
  readonly #tables: UsageTables;
  readonly #retention: UsageRetention;
  readonly #onState: (state: ExportState) => void;
  readonly #pages = new Map<number, AsyncGenerator<readonly UsageCells[]>>();
  #lastPages = 0;
  #store: SharedUsage | undefined;
  #sharing: UsageSharing | undefined;
  #ending = new AbortController();

  constructor(tables: UsageTables, retention: UsageRetention, onState: (state: ExportState) => void) {
    this.#tables = tables;
    this.#retention = retention;
    this.#onState = onState;
  }

  /** Shares with this store from now on; undefined: with none. */
  async use(config: SharedStoreConfig | undefined): Promise<void> {
    this.#end();
    this.#tables.sharedBy = undefined;
    if (config === undefined) {
      return;
    }
    // Most gateways share nothing, and need no client.
    const { SharedUsage, storeName } = await import('./shared/redis/shared-usage.ts');
    const store = new SharedUsage(config, this.#retention);
    const cursor = `store:${storeName(config)}`;
    const source = this.#tables.source(randomUUID());
    const { signal } = this.#ending;
    this.#store = store;
    this.#tables.sharedBy = cursor;
    this.#sharing = new UsageSharing(this.#tables, store, { cursor, source, signal, onState: this.#onState });
    void store.connect();
    void this.#sharing.run();
  }

  wake(): void {
    this.#sharing?.wake();
  }

  async report(query: UsageQuery, of: UsageSet): Promise<readonly UsageSums[]> {
    if (of === 'shared') {
      const store = this.#required;
      const pages = query.by.includes('session') ? store.requestPages(query) : store.hourPages(query);
      return sumsOf(pages, query.by, query.only);
    }
    if (of === 'local' || this.#sharing === undefined) {
      return usageReport(this.#tables, query);
    }
    await this.#sharing.settle(SETTLE_MS);
    return sumsOf(requestPages(this.#tables, wholeHours(query), this.#sharing.sentId), query.by, query.only);
  }

  async explain(requestId: string): Promise<readonly ExplainedRequest[]> {
    return (await this.#required.find(requestId)).map(explained);
  }

  /** Returns an id after which this gateway's unshared requests follow. */
  async unsharedAfter(): Promise<number> {
    await this.#sharing?.settle(SETTLE_MS);
    return this.#sharing?.sentId ?? 0;
  }

  /** Returns the next page of the requests of all gateways; `afterId` names an earlier query. */
  async requests({ afterId, ...span }: RecordQuery): Promise<RecordPage> {
    const store = this.#required;
    const id = afterId ?? ++this.#lastPages;
    const pages = this.#pages.get(id) ?? (afterId === undefined ? store.requestPages(span) : undefined);
    const next = await pages?.next();
    this.#pages.delete(id);
    if (pages === undefined || next === undefined || next.done === true) {
      return { lines: '', lastId: undefined };
    }
    this.#pages.set(id, pages);
    const [oldest] = this.#pages.keys();
    if (this.#pages.size > MAX_OPEN_PAGES && oldest !== undefined) {
      this.#pages.delete(oldest);
    }
    return { lines: recordLines(next.value), lastId: id };
  }

  async close(): Promise<void> {
    await this.#sharing?.settle(SETTLE_AT_END_MS);
    this.#end();
  }

  get #required(): SharedUsage {
    if (this.#store === undefined) {
      throw new Error(NO_SHARED_STORE);
    }
    return this.#store;
  }

  #end(): void {
    this.#ending.abort();
    this.#ending = new AbortController();
    this.#pages.clear();
    this.#store?.close();
    this.#store = undefined;
    this.#sharing = undefined;
  }
}

/** Single requests count for the same hours as sums. */
function wholeHours(query: UsageQuery): UsageQuery {
  const { sinceMs, untilMs, by } = query;
  return by.includes('session')
    ? query
    : {
        ...query,
        sinceMs: Math.floor(sinceMs / HOUR_MS) * HOUR_MS,
        untilMs: Math.ceil(untilMs / HOUR_MS) * HOUR_MS,
      };
}
