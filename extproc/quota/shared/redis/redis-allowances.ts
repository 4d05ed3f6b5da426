/**
 * The shared store on Redis or Valkey. Exchanges of one turn of the event loop leave in one write.
 * A request that is repeated while its answer is still due is not sent again: a connection loses
 * nothing, and a slow store would get slower.
 */
import { createHash, hash } from 'node:crypto';
import { Cluster } from 'ioredis';
import type { SharedStoreConfig } from '../../../../contract/shared-store.ts';
import type { Cancel } from '../../store.ts';
import {
  type AllowanceAnswer,
  type AllowanceRequest,
  type AllowanceStore,
  LOSS_MS,
  type SharedWindow,
} from '../allowances.ts';
import type { SharedRest } from '../rest-store.ts';
import { ClusterShards } from './cluster-shards.ts';
import { EXCHANGE_SCRIPT, exchangeArguments, readAnswer } from './exchange-script.ts';
import { closeRedis, openRedis, type RedisClient } from './redis-client.ts';
import { checkInfo, faultOf, type StoreCheck, type StoreFault } from './redis-fault.ts';
import { RedisRests } from './redis-rests.ts';
import { ShardHealth } from './shard-health.ts';
import type { StoreHealthState } from './store-health.ts';

/** Exchanges without an answer; further ones fail at once and are repeated by the caller. */
const MAX_IN_FLIGHT = 4_096;
/** Between two looks for exchanges without an answer, and two probes of a store that is lost. */
const WATCH_MS = 250;
/** How often a store is probed that nothing else uses. */
const PROBE_MS = 5_000;
const PROBE_LOST_MS = 1_000;

const tooSlow: StoreFault = { kind: 'slow', message: `the store takes longer than ${LOSS_MS} ms to answer` };

export interface RedisAllowancesOptions {
  readonly config: SharedStoreConfig;
  readonly random: () => number;
  /** A clock that is never set. */
  readonly steadyMs: () => number;
  readonly schedule: (delayMs: number, callback: () => void) => Cancel;
  /** Called once for each change. */
  readonly onState: (state: StoreHealthState) => void;
  /** Called for each connection that is ready. */
  readonly onConnected: (check: StoreCheck) => void;
  /** The latency of each exchange. */
  readonly onExchange?: (outcome: 'answered' | 'failed', latencyMs: number) => void;
  /** The script to run; tests replace the clock in it. */
  readonly script?: string;
}

interface PendingExchange {
  readonly request: AllowanceRequest;
  readonly done: (answer: AllowanceAnswer | undefined) => void;
  readonly sentMs: number;
}

export class RedisAllowances implements AllowanceStore {
  readonly #options: RedisAllowancesOptions;
  readonly #client: RedisClient;
  readonly #rests: RedisRests;
  readonly #health: ShardHealth;
  /** Undefined: a store of one shard. */
  readonly #shards: ClusterShards | undefined;
  readonly #script: string;
  readonly #sha: string;
  /** By allowance, in the order in which they were sent. */
  readonly #pending = new Map<string, PendingExchange>();
  #batch: PendingExchange[] = [];
  readonly #keys = new WeakMap<SharedWindow, readonly string[]>();
  /** Ids of probes, unique over all replicas. */
  readonly #probeId: string;
  #probes = 0;
  #isTooOld = false;
  /** Set: no exchanges, because a script that fails in the middle keeps half of its effect. */
  #refused: StoreFault | undefined;
  #succeededMs: number;
  #probedMs: number;
  #cancelWatch: Cancel;
  /** Called when the state is known for the first time. */
  #known: () => void = () => {};
  #isClosed = false;

  constructor(options: RedisAllowancesOptions) {
    this.#options = options;
    this.#script = options.script ?? EXCHANGE_SCRIPT;
    this.#sha = createHash('sha1').update(this.#script).digest('hex');
    const changed = (state: StoreHealthState) => {
      this.#known();
      options.onState(state);
    };
    this.#health = new ShardHealth({ schedule: options.schedule, changed });
    this.#probeId = `probe-${options.random()}`;
    this.#succeededMs = options.steadyMs();
    this.#probedMs = this.#succeededMs;
    this.#client = openRedis(options.config, options.random);
    this.#rests = new RedisRests(this.#client, options.config.keyPrefix);
    this.#shards = this.#client instanceof Cluster ? new ClusterShards(this.#client) : undefined;
    this.#client.on('ready', () => this.#check());
    this.#client.on('+node', () => this.#check());
    this.#client.on('error', (error) => this.#failed(faultOf(error)));
    this.#client.on('close', () => this.#failed(undefined));
    this.#cancelWatch = options.schedule(WATCH_MS, this.#watch);
  }

  get state(): StoreHealthState {
    return this.#health.state;
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  /** Connects, and resolves once the store answers or fails, at the latest after `waitMs`. */
  async connect(waitMs: number): Promise<StoreHealthState> {
    this.#client.connect().catch((error: unknown) => this.#failed(faultOf(error)));
    await new Promise<void>((resolve) => {
      const cancel = this.#options.schedule(waitMs, resolve);
      this.#known = () => {
        cancel();
        resolve();
      };
    });
    return this.state;
  }

  exchange(request: AllowanceRequest, done: (answer: AllowanceAnswer | undefined) => void): void {
    const { allowance, number } = request;
    const pending = this.#pending.get(allowance);
    if (pending?.request.number === number) {
      return;
    }
    if (this.#isClosed || this.#isTooOld || this.#refused !== undefined || this.#pending.size >= MAX_IN_FLIGHT) {
      done(undefined);
      return;
    }
    const exchange = { request, done, sentMs: this.#options.steadyMs() };
    this.#pending.set(allowance, exchange);
    if (this.#batch.push(exchange) === 1) {
      queueMicrotask(() => this.#send());
    }
  }

  /** See `RestStore`; resolves with undefined where the store does not answer. */
  async exchangeRests(began: readonly SharedRest[]): Promise<readonly SharedRest[] | undefined> {
    const isUsable = !this.#isClosed && !this.#isTooOld && this.#refused === undefined;
    return isUsable ? await this.#rests.exchange(began) : undefined;
  }

  /** Notes that requests are decided without the store from now on. */
  treatedAsLost(): void {
    if (!this.#isClosed) {
      this.#health.lost(tooSlow);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelWatch();
    this.#health.close();
    closeRedis(this.#client);
  }

  #send(): void {
    const batch = this.#batch;
    this.#batch = [];
    // The nodes of a cluster each need a write of their own.
    if (batch.length === 1 || this.#client instanceof Cluster) {
      for (const exchange of batch) {
        this.#run(exchange);
      }
      return;
    }
    const pipeline = this.#client.pipeline();
    for (const { request } of batch) {
      const keys = this.#keysOf(request);
      pipeline.evalsha(this.#sha, keys.length, ...keys, ...exchangeArguments(request));
    }
    pipeline.exec().then(
      (results) => {
        for (const [index, exchange] of batch.entries()) {
          const [error, reply] = results?.[index] ?? [new Error('no reply')];
          this.#arrived(exchange, error, reply);
        }
      },
      (error: unknown) => {
        for (const exchange of batch) {
          this.#arrived(exchange, error, undefined);
        }
      },
    );
  }

  #run(exchange: PendingExchange): void {
    const keys = this.#keysOf(exchange.request);
    this.#client.evalsha(this.#sha, keys.length, ...keys, ...exchangeArguments(exchange.request)).then(
      (reply) => this.#arrived(exchange, null, reply),
      (error: unknown) => this.#arrived(exchange, error, undefined),
    );
  }

  #arrived(exchange: PendingExchange, error: unknown, reply: unknown): void {
    if (error === null) {
      this.#end(exchange, readAnswer(exchange.request, reply));
      return;
    }
    if (!String((error as Error).message).startsWith('NOSCRIPT')) {
      this.#failed(faultOf(error), this.#shardOf(exchange));
      this.#end(exchange, undefined);
      return;
    }
    // The store is new or was restarted.
    const keys = this.#keysOf(exchange.request);
    this.#client.eval(this.#script, keys.length, ...keys, ...exchangeArguments(exchange.request)).then(
      (again) => this.#end(exchange, readAnswer(exchange.request, again)),
      (fault: unknown) => {
        this.#failed(faultOf(fault), this.#shardOf(exchange));
        this.#end(exchange, undefined);
      },
    );
  }

  #end(exchange: PendingExchange, answer: AllowanceAnswer | undefined): void {
    const { request, done, sentMs } = exchange;
    if (this.#pending.get(request.allowance) === exchange) {
      this.#pending.delete(request.allowance);
    }
    if (this.#isClosed) {
      return;
    }
    if (answer !== undefined) {
      this.#succeeded(exchange);
    }
    this.#options.onExchange?.(answer === undefined ? 'failed' : 'answered', this.#options.steadyMs() - sentMs);
    done(answer);
  }

  readonly #watch = (): void => {
    this.#cancelWatch = this.#options.schedule(WATCH_MS, this.#watch);
    const nowMs = this.#options.steadyMs();
    for (const exchange of this.#pending.values()) {
      if (nowMs - exchange.sentMs < LOSS_MS) {
        break;
      }
      this.#failed(tooSlow, this.#shardOf(exchange));
    }
    // What one shard answers says nothing about the others.
    const quietMs = nowMs - (this.#shards === undefined ? Math.max(this.#succeededMs, this.#probedMs) : this.#probedMs);
    if (quietMs >= (this.state.fault === undefined ? PROBE_MS : PROBE_LOST_MS)) {
      this.#probe(nowMs);
    }
  };

  /** Exchanges something of its own, which takes the same permissions and memory. */
  #probe(nowMs: number): void {
    this.#probedMs = nowMs;
    if (this.#isTooOld) {
      return;
    }
    const done = (answer: AllowanceAnswer | undefined) => {
      this.#refused = answer === undefined ? this.#refused : undefined;
    };
    for (const bucket of this.#probedBuckets()) {
      const exchange = { request: probeRequest(bucket, ++this.#probes), done, sentMs: nowMs };
      this.#pending.set(exchange.request.allowance, exchange);
      this.#run(exchange);
    }
  }

  /** Returns a bucket in each shard. */
  #probedBuckets(): readonly string[] {
    const shards = this.#shards?.all();
    if (this.#shards === undefined || shards === undefined || shards.size === 0) {
      return [this.#probeId];
    }
    this.#health.keepOnly(shards);
    return this.#shards.namesFor(shards, this.#probeId, (bucket) => this.#tagOf(bucket));
  }

  #shardOf({ request }: PendingExchange): string | undefined {
    return this.#shards?.of(this.#tagOf(request.window.bucket));
  }

  async #check(): Promise<void> {
    const nodes = this.#client instanceof Cluster ? this.#client.nodes('master') : [this.#client];
    for (const node of nodes) {
      try {
        const check = checkInfo(await node.info());
        this.#isTooOld = check.fault?.kind === 'version';
        if (check.fault !== undefined) {
          this.#failed(check.fault);
          continue;
        }
        this.#options.onConnected(check);
      } catch {
        // An ACL without INFO; the probe tells what matters.
      }
    }
    this.#probe(this.#options.steadyMs());
  }

  #succeeded(exchange: PendingExchange): void {
    this.#succeededMs = this.#options.steadyMs();
    this.#health.succeeded(this.#health.isAnyFailing ? this.#shardOf(exchange) : undefined);
  }

  #failed(fault: StoreFault | undefined, shard?: string): void {
    if (fault?.kind === 'permission') {
      this.#refused = fault;
    }
    if (!this.#isClosed) {
      this.#health.failed(fault, shard);
    }
  }

  /** Records of one bucket are in one slot of a cluster. Digests bound the length of keys. */
  #keysOf({ window, earlierKeys = [], laterKeys = [] }: AllowanceRequest): readonly string[] {
    let keys = this.#keys.get(window);
    if (keys === undefined) {
      const { bucket, key, previousKey } = window;
      const record = this.#recordOf(bucket, key);
      keys = [record, `${record}:e`, ...(previousKey === '' ? [] : [this.#recordOf(bucket, previousKey)])];
      this.#keys.set(window, keys);
    }
    const others = [...earlierKeys, ...laterKeys];
    return others.length === 0 ? keys : [...keys, ...others.map((key) => this.#recordOf(window.bucket, key))];
  }

  #recordOf(bucket: string, key: string): string {
    return `${this.#tagOf(bucket)}:${digest(key)}`;
  }

  #tagOf(bucket: string): string {
    return `${this.#options.config.keyPrefix}:{${digest(bucket)}}`;
  }
}

/** 132 bits. */
function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}

/** An allowance that ends at once, so the next probe also removes something. */
function probeRequest(bucket: string, number: number): AllowanceRequest {
  const limits = { limit: 1, limitEpoch: 1, limitCounter: 1 };
  const times = { startMs: 0, endMs: Number.POSITIVE_INFINITY, slidingMs: 0 };
  return {
    window: { key: bucket, bucket, type: 'concurrent', ...limits, ...times, previousKey: '' },
    allowance: `${bucket}-${number}`,
    number: 1,
    spent: 0,
    want: 1,
    least: 0,
    ttlMs: 1,
    seenMs: 0,
    operation: 'none',
    operationId: '',
    operationUnits: 0,
  };
}
