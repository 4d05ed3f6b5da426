/** The usage of all gateways in a Redis or Valkey: sums by hour and single requests. */
import { createHash, hash } from 'node:crypto';
import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';
import { Cluster } from 'ioredis';
import type { SharedStoreConfig } from '../../../../contract/shared-store.ts';
import { cellsOf, rowOf, type UsageCells } from '../../usage-blocks.ts';
import { HOUR_MS, hourCells, hourSums, otherNames } from '../../usage-hours.ts';
import type { UsageRow } from '../../usage-record.ts';
import type { HourOfRequests, TakenRequests, UsageTaker } from '../../usage-sharing.ts';
import type { UsageRetention } from '../../usage-tables.ts';
import { closeRedis, openRedis, type RedisClient } from './redis-client.ts';
import { faultOf } from './redis-fault.ts';
import { type HourKeys, hourKeys, TAKE_SCRIPT } from './usage-script.ts';

/** What the store keeps at most: budgets need the same memory. */
export interface SharedUsageBounds {
  readonly sumBytes: number;
  readonly requestBytes: number;
  /** The combinations of names in one hour; the others share one. */
  readonly sumsAnHour: number;
  /** How often one of the gateways removes what is beyond. */
  readonly pruneEveryMs: number;
}

export const sharedUsageBounds: SharedUsageBounds = {
  sumBytes: 64 * 1024 * 1024,
  requestBytes: 128 * 1024 * 1024,
  sumsAnHour: 5_000,
  pruneEveryMs: 60_000,
};

/** Beyond this part of the store's memory, usage waits with the gateways. */
const MOST_OF_MEMORY = 0.8;
const MEMORY_CHECK_MS = 30_000;

/** Blocks read at once: some 100 KB each before compression. */
const BLOCKS_PER_READ = 16;
/** Commands sent at once. */
const HOURS_PER_READ = 64;

const DAY_MS = 24 * HOUR_MS;
/** Clocks of gateways differ. */
const KEPT_LONGER_MS = HOUR_MS;
const MAX_FOUND = 20;

const compress = promisify(deflateRaw);
const decompress = promisify(inflateRaw);

/** Grants one gateway in each interval, by the time of the store. */
const TURN_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local next = tonumber(redis.call('HGET', KEYS[1], 'next') or 0)
if next > now and next <= now + ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'next', string.format('%.0f', now + ARGV[1]))
return 1
`;

/** A time span of single requests or hours. */
export interface TimeSpan {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** Returns a name that two configurations of one store share. */
export function storeName({ mode, addresses, sentinelMaster, database, keyPrefix }: SharedStoreConfig): string {
  return digest(JSON.stringify([mode, [...addresses].sort(), sentinelMaster ?? '', database ?? 0, keyPrefix]));
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}

export class SharedUsage implements UsageTaker {
  readonly #client: RedisClient;
  readonly #keyPrefix: string;
  readonly #retention: UsageRetention;
  readonly #bounds: SharedUsageBounds;
  #memoryCheckedMs = Number.NEGATIVE_INFINITY;
  #pruneAtMs = 0;
  #fault: string | undefined;

  constructor(config: SharedStoreConfig, retention: UsageRetention, bounds: SharedUsageBounds = sharedUsageBounds) {
    this.#keyPrefix = config.keyPrefix;
    this.#retention = retention;
    this.#bounds = bounds;
    this.#client = openRedis(config, Math.random);
    this.#client.on('error', (error) => {
      this.#fault = faultOf(error)?.message ?? this.#fault;
    });
    this.#client.on('ready', () => {
      this.#fault = undefined;
    });
  }

  /** Connects; commands fail until the store answers. */
  async connect(): Promise<void> {
    await this.#client.connect().catch(() => {});
  }

  async take({ source, hour, afterId, confirmedId, rows }: HourOfRequests): Promise<TakenRequests> {
    await this.#checkMemory();
    const { usageDays, usageRequestDays } = this.#retention;
    const endMs = (hour + 1) * HOUR_MS + KEPT_LONGER_MS;
    const block = usageRequestDays > 0 ? await packed(rows) : '';
    const lastId = Number(rows.at(-1)!['id']);
    const ids = [afterId, lastId, confirmedId];
    const until = [endMs + usageDays * DAY_MS, endMs + usageRequestDays * DAY_MS];
    const sums = hourSums(rows.map(rowOf)).flatMap(({ names, amounts }) => [
      JSON.stringify(names),
      JSON.stringify(otherNames(names)),
      amounts.join(),
    ]);
    const { taken, sums: sumsKey, requests } = this.#keysOf(hour);
    const given = [source, block, ...ids, ...until, this.#bounds.sumsAnHour, ...sums];
    const reply = (await this.#script(TAKE_SCRIPT, [taken, sumsKey, requests], given)) as readonly [string, string];
    return { isTaken: String(reply[0]) === '1', knownId: Number(reply[1]) };
  }

  /** Yields the sums of each hour of the span, oldest first. */
  async *hourPages(span: TimeSpan): AsyncGenerator<readonly UsageCells[]> {
    for (const hours of this.#hoursOf(span, this.#retention.usageDays)) {
      const pages = await this.#all(hours, (hour) => this.#client.hgetall(this.#keysOf(hour).sums));
      for (const [index, page] of pages.entries()) {
        yield Object.entries(page).map(([names, amounts]) =>
          hourCells({
            hour: hours[index]!,
            names: JSON.parse(names) as string[],
            amounts: amounts.split(',').map(Number),
          }),
        );
      }
    }
  }

  /** Yields the single requests of the span; those of one hour in no order. */
  async *requestPages({ sinceMs, untilMs }: TimeSpan): AsyncGenerator<readonly UsageCells[]> {
    for (const hours of this.#hoursOf({ sinceMs, untilMs }, this.#retention.usageRequestDays)) {
      for (const hour of hours) {
        for await (const blocks of this.#blocks(hour)) {
          const rows = blocks.flatMap(unpacked);
          yield rows.filter(({ time_ms: time }) => Number(time) >= sinceMs && Number(time) < untilMs);
        }
      }
    }
  }

  /** Returns requests with this id, newest hours first. Reads all requests. */
  async find(requestId: string): Promise<readonly UsageCells[]> {
    const found: UsageCells[] = [];
    const needle = JSON.stringify(requestId).slice(1, -1);
    const span = { sinceMs: 0, untilMs: Date.now() + KEPT_LONGER_MS };
    for (const hour of [...this.#hoursOf(span, this.#retention.usageRequestDays)].flat().reverse()) {
      for await (const blocks of this.#blocks(hour)) {
        const rows = blocks.filter((block) => block.includes(needle)).flatMap(unpacked);
        found.push(...rows.filter((row) => row['request_id'] === requestId));
      }
      if (found.length >= MAX_FOUND) {
        break;
      }
    }
    return found.sort((one, other) => Number(other['time_ms']) - Number(one['time_ms'])).slice(0, MAX_FOUND);
  }

  async prune(): Promise<void> {
    const { pruneEveryMs, sumBytes, requestBytes } = this.#bounds;
    if (performance.now() < this.#pruneAtMs) {
      return;
    }
    this.#pruneAtMs = performance.now() + pruneEveryMs;
    if (Number(await this.#script(TURN_SCRIPT, [`${this.#keyPrefix}:usage:prune`], [pruneEveryMs])) === 0) {
      return;
    }
    const left = { s: sumBytes, r: requestBytes };
    const span = { sinceMs: 0, untilMs: Date.now() + DAY_MS };
    for (const hours of [...this.#hoursOf(span, this.#retention.usageDays)].reverse()) {
      const sizes = await this.#all(hours, (hour) => this.#client.hmget(this.#keysOf(hour).taken, 's', 'r'));
      for (const [index, [sums, requests]] of [...sizes.entries()].reverse()) {
        left.s -= Number(sums ?? 0);
        left.r -= Number(requests ?? 0);
        const { taken, sums: sumsKey, requests: requestsKey } = this.#keysOf(hours[index]!);
        if (left.s < 0 && Number(sums ?? 0) > 0) {
          await this.#client.del(sumsKey);
          await this.#client.hset(taken, 's', 0);
        }
        if (left.r < 0 && Number(requests ?? 0) > 0) {
          await this.#client.del(requestsKey);
          await this.#client.hset(taken, 'r', 0);
        }
      }
    }
  }

  close(): void {
    closeRedis(this.#client);
  }

  /** Yields the decompressed blocks of an hour, some at a time, in the order of their last ids. */
  async *#blocks(hour: number): AsyncGenerator<readonly Buffer[]> {
    const { requests } = this.#keysOf(hour);
    const fields = await this.#run(this.#client.hkeys(requests));
    fields.sort((one, other) => idOf(one) - idOf(other));
    for (let at = 0; at < fields.length; at += BLOCKS_PER_READ) {
      const read = this.#client.hmgetBuffer(requests, ...fields.slice(at, at + BLOCKS_PER_READ));
      const blocks = (await this.#run(read)).filter((block) => block !== null);
      yield await Promise.all(blocks.map((block) => decompress(block)));
    }
  }

  /** Yields the hours of a span that may be kept, some at a time, oldest first. */
  *#hoursOf({ sinceMs, untilMs }: TimeSpan, keptDays: number): Generator<readonly number[]> {
    const nowMs = Date.now();
    const first = Math.floor(Math.max(sinceMs, nowMs - keptDays * DAY_MS - 2 * HOUR_MS) / HOUR_MS);
    const end = Math.ceil(Math.min(untilMs, nowMs + DAY_MS) / HOUR_MS);
    for (let at = first; at < end; at += HOURS_PER_READ) {
      yield Array.from({ length: Math.min(HOURS_PER_READ, end - at) }, (_, nth) => at + nth);
    }
  }

  #keysOf(hour: number): HourKeys {
    return hourKeys(this.#keyPrefix, hour);
  }

  #all<T>(hours: readonly number[], ask: (hour: number) => Promise<T>): Promise<T[]> {
    return this.#run(Promise.all(hours.map(ask)));
  }

  async #script(script: string, keys: readonly string[], given: readonly (string | number | Buffer)[]) {
    const sha = createHash('sha1').update(script).digest('hex');
    try {
      return await this.#client.evalsha(sha, keys.length, ...keys, ...given);
    } catch (error) {
      if (!String((error as Error).message).startsWith('NOSCRIPT')) {
        throw this.#explained(error);
      }
    }
    return await this.#run(this.#client.eval(script, keys.length, ...keys, ...given));
  }

  async #run<T>(asked: Promise<T>): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /** Leaves out the arguments that an error of the client has. */
  #explained(error: unknown): Error {
    return new Error(faultOf(error)?.message ?? this.#fault ?? 'the store does not answer');
  }

  async #checkMemory(): Promise<void> {
    if (performance.now() - this.#memoryCheckedMs < MEMORY_CHECK_MS) {
      return;
    }
    const nodes = this.#client instanceof Cluster ? this.#client.nodes('master') : [this.#client];
    for (const node of nodes) {
      const info = await node.info('memory').catch(() => '');
      const number = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
      const most = number('maxmemory') * MOST_OF_MEMORY;
      if (most > 0 && number('used_memory') > most) {
        throw new Error(`the memory of the store is more than ${100 * MOST_OF_MEMORY}% used: raise maxmemory`);
      }
    }
    this.#memoryCheckedMs = performance.now();
  }
}

function idOf(field: string): number {
  return Number(field.slice(field.lastIndexOf(':') + 1));
}

/** Compresses rows as JSON arrays that begin with the id. */
async function packed(rows: readonly UsageCells[]): Promise<Buffer> {
  const lines = rows.map((row) => [Number(row['id']), ...rowOf(row)]);
  return await compress(JSON.stringify(lines), { level: 3 });
}

function unpacked(block: Buffer): readonly UsageCells[] {
  const lines = JSON.parse(block.toString()) as readonly [number, ...UsageRow][];
  return lines.map(([id, ...row]) => cellsOf(id, row));
}
