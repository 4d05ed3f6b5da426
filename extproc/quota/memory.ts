/**
 * The ledger of one process: every bucket in memory, every change told to a journal. Demands come in, decisions and overdrafts go out.
 * Nothing here blocks: requests that only holds of others stop stand in line (`wait-list.ts`) and are answered as those holds are released.
 */
import type { Quota } from '../../contract/policy.ts';
import {
  type AdmissionVerdict,
  evaluateAdmission,
  evaluateExtension,
  failsClosed,
  fixedNeed,
  freeIn,
  restFor,
} from './admit.ts';
import { Bucket, drawsInput, drawsOutput, type WindowState } from './bucket.ts';
import { BucketTable } from './bucket-table.ts';
import { cost, type HoldPart, OpenHold } from './hold.ts';
import { reclaim } from './reclaim.ts';
import { bucketSnapshot, TightestScan } from './snapshot.ts';
import type {
  BucketRef,
  BucketSnapshot,
  BucketState,
  Cancel,
  Charge,
  Decision,
  Demand,
  Hold,
  OutputDemand,
  Overdraft,
  QuotaKeys,
  QuotaStore,
} from './store.ts';
import { WaitList, type WaitListOptions } from './wait-list.ts';

export interface MemoryOptions extends WaitListOptions {
  /** Keys that have something spent or held, of all quotas; each takes about 1 KB. See `BucketTable` for how quotas share them. */
  readonly maxBuckets: number;
  /** A quota has so many keys that new ones will soon be refused. */
  readonly onNearlyFull: (keys: QuotaKeys) => void;
}

export const memoryDefaults: MemoryOptions = {
  maxBuckets: 100_000,
  onNearlyFull: () => {},
  maxWaitingPerBucket: 1_000,
  maxWaiting: 10_000,
  nowMs: Date.now,
  schedule: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  onError: (error) => {
    throw error;
  },
};

/** Where changes are made to last. It is told what has changed and reads it when it is flushed, so only the last state of a tick is written. */
export interface Journal {
  /** `mayWait`: a hold that is journaled already covers the change. */
  window(window: WindowState, mayWait?: boolean): void;
  windowGone(window: WindowState): void;
  hold(hold: OpenHold): void;
  quota(id: string, quota: Quota | undefined, removedMs?: number): void;
  /** Why nothing can be written at the moment. */
  readonly failure: string | undefined;
  flush(): void;
  close(): void;
}

/** A client that was refused because of holds, of a full table or of the journal may ask again so soon. */
const heldRetryMs = 1_000;

type Refusal = Extract<Decision, { readonly type: 'refused' }>;
type Fits = Extract<AdmissionVerdict, { readonly type: 'fits' }>;

export class MemoryStore implements QuotaStore {
  readonly table: BucketTable;
  readonly #scan: TightestScan;
  readonly #journal: Journal | undefined;
  readonly #waitList: WaitList;
  #holds = 0;
  #windows = 0;
  #openHolds = 0;
  readonly #shadowRefusals = new Map<string, number>();

  readonly #afterClose: () => void;
  readonly #onError: (error: unknown) => void;

  constructor(options: MemoryOptions, journal: Journal | undefined, afterClose: () => void = () => {}) {
    this.#journal = journal;
    this.#afterClose = afterClose;
    this.#onError = options.onError;
    this.#waitList = new WaitList(options);
    this.table = new BucketTable(
      {
        newWindowId: () => ++this.#windows,
        changed: (window) => journal?.window(window),
        ended: (window) => this.#drop(window),
        redefined: (id, quota, removedMs) => journal?.quota(id, quota, removedMs),
        nearlyFull: options.onNearlyFull,
      },
      options.maxBuckets,
    );
    this.#scan = new TightestScan(this.table.buckets);
  }

  define(quotas: readonly Quota[], atMs: number): void {
    this.table.define(quotas, atMs);
  }

  reserve(demand: Demand, done: (decision: Decision) => void): Cancel {
    checkTokens(demand.inputTokens, demand.output.want, demand.output.least);
    const arrival = this.#waitList.arrive();
    const decision = this.#decide(demand, arrival, demand.atMs);
    if (!(decision instanceof Bucket)) {
      done(decision);
      return nothing;
    }
    let blockedBy = decision;
    const refuse = (atMs: number) => done(this.#refusal(demand, atMs, 'held', blockedBy.ref, heldRetryMs));
    const again = (atMs: number): (() => void) | Bucket => {
      const next = this.#decide(demand, arrival, atMs);
      if (next instanceof Bucket) {
        blockedBy = next;
        return next;
      }
      return () => done(next);
    };
    const buckets = demand.buckets.map((ref) => this.table.find(ref, demand.atMs));
    const waiter = this.#waitList.wait(decision, arrival, queueTimeoutMs(buckets), again, refuse);
    if (waiter === undefined) {
      refuse(demand.atMs);
      return nothing;
    }
    return () => this.#waitList.cancel(waiter);
  }

  extend(hold: Hold, output: OutputDemand, atMs: number, done: (outputTokens: number) => void): Cancel {
    const open = own(hold);
    checkTokens(output.want, output.least, 0);
    if (open.settled) {
      throw new Error(`invariant: hold ${hold.id} is settled already`);
    }
    done(output.mode === 'none' ? 0 : this.#lengthen(open, output, atMs));
    return nothing;
  }

  settle(hold: Hold, charge: Charge | undefined, atMs: number): readonly Overdraft[] {
    const open = own(hold);
    if (open.settled) {
      throw new Error(`invariant: hold ${hold.id} is settled already`);
    }
    const possible = charge !== undefined && areTokens(charge.inputTokens, charge.outputTokens, 0);
    open.release();
    this.#openHolds--;
    const overdrafts: Overdraft[] = [];
    for (const part of open.parts) {
      const { bucket } = part.window;
      const charged = possible ? cost(part, charge) : part.held;
      const tokens = this.#charge(part, charged, atMs);
      if (tokens > 0 && bucket.enforced) {
        const cause = !possible || charged <= part.held ? 'in_flight' : charge.cause;
        overdrafts.push({ bucket: bucket.ref, tokens, cause });
      }
    }
    this.#journal?.hold(open);
    for (const { window } of open.parts) {
      this.#waitList.released(window.bucket);
      if (window !== window.bucket.window) {
        this.#drop(window);
      }
    }
    this.#waitList.advance();
    if (charge !== undefined && !possible) {
      this.#onError(new Error(`invariant: hold ${hold.id} is charged in full, for its charge is no number of tokens`));
    }
    return overdrafts;
  }

  snapshot(buckets: readonly BucketRef[], atMs: number): readonly BucketSnapshot[] {
    return buckets.map((ref) => bucketSnapshot(ref, this.table.find(ref, atMs), atMs));
  }

  flush(): void {
    this.#journal?.flush();
  }

  top(count: number, atMs: number): readonly BucketState[] {
    return this.#scan.top(count, atMs);
  }

  keys(count: number): readonly QuotaKeys[] {
    return this.table.keys(count);
  }

  /** Sizes for gauges, and refusals that `Shadow` quotas would have made, by quota. */
  counts() {
    return {
      buckets: this.table.buckets.size,
      openHolds: this.#openHolds,
      waiting: this.#waitList.waiting,
      shadowRefusals: this.#shadowRefusals as ReadonlyMap<string, number>,
    };
  }

  get journalFailure(): string | undefined {
    return this.#journal?.failure;
  }

  /** An operator gives a bucket its whole limit again. */
  reset(bucket: Bucket): void {
    bucket.reset();
    this.#waitList.released(bucket);
    this.#waitList.advance();
  }

  close(): void {
    this.#waitList.close();
    this.#journal?.close();
    this.#afterClose();
  }

  #decide(demand: Demand, arrival: number, atMs: number): Decision | Bucket {
    const unwritten = this.journalFailure === undefined ? undefined : demand.buckets.find(failsClosed);
    if (unwritten !== undefined) {
      return this.#refusal(demand, atMs, 'journal', unwritten, heldRetryMs);
    }
    const buckets = this.table.open(demand.buckets, atMs);
    if ('key' in buckets) {
      return this.#refusal(demand, atMs, 'keys', buckets, heldRetryMs);
    }
    for (;;) {
      const verdict = evaluateAdmission(buckets, demand, atMs);
      switch (verdict.type) {
        case 'fits':
          return passing(buckets, arrival) ?? this.#admit(buckets, demand, verdict, atMs);
        case 'held': {
          const { bucket, missing } = verdict;
          const waits = passing(buckets, arrival) !== undefined;
          if (waits || !reclaim(bucket.window, missing, 'usual', undefined, this.#shrunk)) {
            return bucket;
          }
          break;
        }
        case 'count-first':
          return verdict;
        case 'refused':
          return this.#refusal(demand, atMs, verdict.reason, verdict.bucket.ref, verdict.retryAfterMs);
      }
    }
  }

  /** Grants more output, out of what others do not use if need be; less than `least`: the rest of a budget that ends here. */
  #lengthen(hold: OpenHold, output: OutputDemand, atMs: number): number {
    for (const { window } of hold.parts) {
      window.expire(atMs);
    }
    if (
      this.journalFailure !== undefined &&
      hold.parts.some((part) => part.drawsOutput && failsClosed(part.window.bucket.ref))
    ) {
      return 0;
    }
    let verdict = evaluateExtension(hold.parts, output);
    while (typeof verdict !== 'number') {
      const isFreed =
        reclaim(verdict, output.least - freeIn(verdict), 'used', hold, this.#shrunk) || recountsInput(hold);
      verdict = isFreed ? evaluateExtension(hold.parts, output) : restFor(hold.parts);
    }
    if (verdict > 0) {
      hold.grow(verdict);
      this.#journal?.hold(hold);
    }
    return verdict;
  }

  readonly #shrunk = (hold: OpenHold): void => this.#journal?.hold(hold);

  #admit(buckets: readonly Bucket[], demand: Demand, { outputTokens, usualTokens }: Fits, atMs: number): Decision {
    const shadowRefused = this.#shadowsThatRefuse(buckets, demand);
    const parts: HoldPart[] = [];
    for (const bucket of buckets) {
      const { window } = bucket;
      const { type } = bucket.definition.quota.limit;
      if (type === 'Requests') {
        window.charge(1, atMs);
        this.#journal?.window(window);
        continue;
      }
      const part = {
        window,
        held: 0,
        drawsInput: drawsInput(type),
        drawsOutput: drawsOutput(type),
        lease: undefined,
        nth: 0,
      };
      part.held = cost(part, { inputTokens: demand.inputTokens, outputTokens, cause: 'in_flight' });
      parts.push(part);
    }
    const isLease = demand.output.mode === 'lease';
    const hold = new OpenHold(demand.id, ++this.#holds, parts, demand.inputTokens, isLease ? usualTokens : undefined);
    this.#openHolds++;
    this.#journal?.hold(hold);
    const snapshots = buckets.map((bucket) => bucketSnapshot(bucket.ref, bucket, atMs));
    const decision = { type: 'granted', hold, outputTokens, snapshots } as const;
    return shadowRefused === undefined ? decision : { ...decision, shadowRefused };
  }

  #shadowsThatRefuse(buckets: readonly Bucket[], demand: Demand): readonly string[] | undefined {
    let refused: string[] | undefined;
    for (const bucket of buckets) {
      const { quota } = bucket.definition;
      const { output } = demand;
      const least = drawsOutput(quota.limit.type) && output.mode !== 'none' ? output.least : 0;
      const need = fixedNeed(bucket, demand.inputTokens) + least;
      if (quota.mode === 'Shadow' && need > bucket.limit - bucket.window.used - bucket.window.held) {
        refused ??= [];
        refused.push(quota.id);
        this.#shadowRefusals.set(quota.id, (this.#shadowRefusals.get(quota.id) ?? 0) + 1);
      }
    }
    return refused;
  }

  #refusal(
    demand: Demand,
    atMs: number,
    reason: Refusal['reason'],
    bucket: BucketRef,
    retryAfterMs: number | undefined,
  ): Refusal {
    const refused = { type: 'refused', reason, bucket, snapshots: this.snapshot(demand.buckets, atMs) } as const;
    return retryAfterMs === undefined ? refused : { ...refused, retryAfterMs };
  }

  /** Gives by how much the charge passed the limit. */
  #charge({ window, held }: HoldPart, tokens: number, atMs: number): number {
    if (tokens === 0) {
      return 0;
    }
    window.bucket.roll(atMs);
    const over = window.charge(tokens, atMs);
    this.#journal?.window(window, tokens <= held);
    window.bucket.carryOverdraft(window, over);
    return over;
  }

  /** It has ended; holds that are open keep it. */
  #drop(window: WindowState): void {
    if (window.openHolds === 0) {
      this.#journal?.windowGone(window);
    }
  }
}

const nothing: Cancel = () => {};

/** The bucket in which an admission that fits would pass others that came before. */
function passing(buckets: readonly Bucket[], arrival: number): Bucket | undefined {
  return buckets.find((bucket) => bucket.enforced && isAhead(bucket, arrival));
}

function isAhead({ line }: Bucket, arrival: number): boolean {
  return line?.first !== undefined && line.first.arrival < arrival;
}

/** True: it holds less input than before. */
function recountsInput(hold: OpenHold): boolean {
  const counted = hold.holder?.countedInput();
  return counted !== undefined && hold.lowerInput(counted);
}

function own(hold: Hold): OpenHold {
  if (!(hold instanceof OpenHold)) {
    throw new Error(`invariant: hold ${hold.id} is not of this store`);
  }
  return hold;
}

/** The smallest of the quotas whose holds a request may have to wait for. Requests are never held, they are spent at once. */
function queueTimeoutMs(buckets: readonly (Bucket | undefined)[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const bucket of buckets) {
    if (bucket?.enforced && bucket.definition.quota.limit.type !== 'Requests') {
      least = Math.min(least, bucket.definition.quota.queueTimeoutMs);
    }
  }
  return Number.isFinite(least) ? least : 0;
}

function checkTokens(one: number, two: number, three: number): void {
  if (!areTokens(one, two, three)) {
    throw new Error('invariant: tokens are whole numbers, not below 0');
  }
}

/** Each of them and their sum is exact. */
function areTokens(one: number, two: number, three: number): boolean {
  return (
    one >= 0 &&
    two >= 0 &&
    three >= 0 &&
    Number.isInteger(one) &&
    Number.isInteger(two) &&
    Number.isSafeInteger(one + two + three)
  );
}
