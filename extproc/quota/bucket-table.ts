/**
 * All live buckets by their key, in a bounded table. Empty buckets are dropped as new ones are
 * created, and no quota can take the room of others.
 *
 * Half of the table is divided evenly among the quotas. Of the other half, a quota may take as many
 * keys as it leaves free: however many quotas are flooded with keys, something is left for the next
 * one. Only a new key of a quota without room is refused. A shared overflow bucket would
 * let a key spend there now and have a whole budget later.
 */
import type { Quota } from '../../contract/policy.ts';
import { isOlder, type PolicyRevision } from '../../contract/policy-version.ts';
import type { Claim } from './admit.ts';
import { Bucket, type BucketHost } from './bucket.ts';
import { type QuotaDefinition, quotaDefinition } from './quota-definition.ts';
import type { BucketRef, Draw, QuotaKeys } from './store.ts';

/**
 * Old buckets inspected for each new one: the sweep keeps pace with new keys, and no request pays
 * for a whole sweep.
 */
const SWEPT_PER_NEW_KEY = 8;

/**
 * How long lifetime budgets of a removed quota are kept, so that a rename or a mistaken deletion
 * can be undone the next day.
 */
export const REMOVED_GRACE_MS = 24 * 3_600_000;

/**
 * Shares of a quota's allowance of keys: at the first it is reported, below the second it may be
 * reported again.
 */
const NEARLY_FULL_SHARE = 0.8;
const RELAXED_SHARE = 0.6;

interface TableEntry {
  newest: QuotaDefinition;
  buckets: number;
  /** Whether the policy in force has the quota. */
  isDefined: boolean;
  /** Since when the policy in force lacks the quota. */
  removedMs: number | undefined;
  isNearlyFull: boolean;
}

export interface BucketTableHost extends BucketHost {
  /**
   * The definition of a quota with buckets is new or has changed; undefined: its last bucket is
   * gone.
   */
  redefined(id: string, quota: Quota | undefined, removedMs?: number): void;
  nearlyFull(keys: QuotaKeys): void;
}

export class BucketTable {
  readonly buckets = new Map<string, Bucket>();
  readonly #quotas = new Map<string, TableEntry>();
  /** The policy that the definitions are from. */
  #revision: PolicyRevision = { epoch: 0, counter: 0 };
  #unswept: MapIterator<Bucket> = this.buckets.values();
  readonly #host: BucketTableHost;
  readonly #half: number;
  /**
   * The share of each quota in the divided half, and what all quotas together have taken of the
   * other half.
   */
  #share = 0;
  #taken = 0;

  constructor(host: BucketTableHost, maxBuckets: number) {
    this.#host = host;
    this.#half = Math.floor(maxBuckets / 2);
  }

  /** Replaces the definitions. Returns false where a newer revision has set them. */
  define(quotas: readonly Quota[], revision: PolicyRevision, atMs: number): boolean {
    if (isOlder(revision, this.#revision)) {
      return false;
    }
    this.#revision = revision;
    const named = new Set<string>();
    for (const quota of quotas) {
      named.add(quota.id);
      const entry = this.#entry(quota);
      entry.isDefined = true;
      if (JSON.stringify(entry.newest.quota) !== JSON.stringify(quota)) {
        entry.newest = quotaDefinition(quota);
        this.#notifyHost(entry);
      }
      this.#setRemoved(entry, undefined);
    }
    for (const [id, entry] of this.#quotas) {
      if (!named.has(id)) {
        entry.isDefined = false;
        if (entry.buckets === 0) {
          this.#quotas.delete(id);
        } else {
          // A clock that was ahead must not delay the end of the grace period.
          this.#setRemoved(entry, Math.min(entry.removedMs ?? atMs, atMs));
        }
      }
    }
    this.#divide();
    return true;
  }

  /** Restores from the journal since when a quota is removed. */
  restoreRemoved(id: string, removedMs: number): void {
    const entry = this.#quotas.get(id);
    if (entry !== undefined) {
      this.#setRemoved(entry, removedMs);
    }
  }

  /** Returns at most `count` quotas, those with the most keys first. */
  keys(count: number): readonly QuotaKeys[] {
    return [...this.#quotas.values()]
      .filter(({ buckets }) => buckets > 0)
      .sort((one, other) => other.buckets - one.buckets)
      .slice(0, count)
      .map((entry) => this.#keysOf(entry));
  }

  /**
   * Adds the buckets of the draws with their current windows to `claims`, and creates those that
   * are missing. Returns the reference for which there is no room; undefined: there is room for
   * all. Leaves out draws in a unit that the quota no longer counts: they were planned under an
   * older policy, as those of holds in windows of the old unit.
   */
  open(draws: readonly Draw[], atMs: number, claims: Claim[]): BucketRef | undefined {
    if (draws.some(({ bucket }) => !this.buckets.has(bucket.key))) {
      this.#sweep(atMs);
    }
    for (let index = 0; index < draws.length; index++) {
      const draw = draws[index]!;
      const ref = draw.bucket;
      const bucket = this.find(ref, atMs) ?? (this.#hasRoom(ref.quota) ? this.add(ref, atMs) : undefined);
      if (bucket === undefined) {
        return ref;
      }
      if (bucket.definition.unit === draw.unit) {
        claims.push({ bucket, draw, index });
      }
    }
    return undefined;
  }

  /** Returns the newest definition of a quota; undefined: no policy has it. */
  quotaOf(id: string): Quota | undefined {
    const entry = this.#quotas.get(id);
    return entry?.isDefined ? entry.newest.quota : undefined;
  }

  /** Returns the bucket, which is added if there is room; undefined: there is none. */
  findOrAdd(ref: BucketRef, atMs: number): Bucket | undefined {
    const known = this.find(ref, atMs);
    if (known !== undefined) {
      return known;
    }
    this.#sweep(atMs);
    return this.#hasRoom(ref.quota) ? this.add(ref, atMs) : undefined;
  }

  /** Returns the bucket with its current window; undefined: there is none. */
  find(ref: BucketRef, atMs: number): Bucket | undefined {
    const bucket = this.buckets.get(ref.key);
    if (bucket !== undefined) {
      const { newest } = this.#entry(ref.quota);
      if (bucket.definition === newest) {
        bucket.roll(atMs);
      } else {
        bucket.adopt(newest, atMs);
      }
    }
    return bucket;
  }

  add(ref: BucketRef, atMs: number): Bucket {
    const entry = this.#entry(ref.quota);
    this.#taken += entry.buckets >= this.#share ? 1 : 0;
    entry.buckets++;
    if (entry.buckets === 1) {
      this.#notifyHost(entry);
    }
    const bucket = new Bucket(ref, entry.newest, this.#host, atMs);
    this.buckets.set(ref.key, bucket);
    if (!entry.isNearlyFull && entry.buckets >= NEARLY_FULL_SHARE * this.#mostOf(entry)) {
      entry.isNearlyFull = true;
      this.#host.nearlyFull(this.#keysOf(entry));
    }
    return bucket;
  }

  /** Advances all buckets to `atMs`, drops empty ones and returns the others. */
  discardEmpty(atMs: number): Iterable<Bucket> {
    for (const bucket of this.buckets.values()) {
      bucket.roll(atMs);
      if (this.#isOver(bucket, atMs)) {
        this.#remove(bucket);
      }
    }
    return this.buckets.values();
  }

  /**
   * Returns the entry of a quota. The definition in a request counts only where the store has none:
   * a session that began under an older policy may draw on a quota that was removed, and never
   * changes a defined one.
   */
  #entry(quota: Quota): TableEntry {
    let entry = this.#quotas.get(quota.id);
    if (entry === undefined) {
      const newest = quotaDefinition(quota);
      entry = { newest, buckets: 0, isDefined: false, removedMs: undefined, isNearlyFull: false };
      this.#quotas.set(quota.id, entry);
      this.#divide();
    }
    return entry;
  }

  #setRemoved(entry: TableEntry, removedMs: number | undefined): void {
    if (entry.removedMs !== removedMs) {
      entry.removedMs = removedMs;
      this.#notifyHost(entry);
    }
  }

  #notifyHost({ newest, buckets, removedMs }: TableEntry): void {
    if (buckets > 0) {
      this.#host.redefined(newest.quota.id, newest.quota, removedMs);
    }
  }

  #divide(): void {
    this.#share = Math.floor(this.#half / Math.max(1, this.#quotas.size));
    this.#taken = 0;
    for (const { buckets } of this.#quotas.values()) {
      this.#taken += Math.max(0, buckets - this.#share);
    }
  }

  #hasRoom(quota: Quota): boolean {
    const entry = this.#entry(quota);
    return entry.buckets < this.#mostOf(entry);
  }

  /** Returns how many keys a quota may have if no other quota gets more. */
  #mostOf({ buckets }: TableEntry): number {
    const beyond = Math.max(0, buckets - this.#share);
    const free = this.#half - this.#taken;
    const more = Math.max(0, Math.ceil((free - beyond) / 2));
    return Math.max(buckets, this.#share) + more;
  }

  #keysOf(entry: TableEntry): QuotaKeys {
    return { quota: entry.newest.quota.id, keys: entry.buckets, most: this.#mostOf(entry) };
  }

  #sweep(atMs: number): void {
    for (let count = 0; count < SWEPT_PER_NEW_KEY; count++) {
      const next = this.#unswept.next();
      if (next.done) {
        this.#unswept = this.buckets.values();
        return;
      }
      const bucket = next.value;
      bucket.roll(atMs);
      if (this.#isOver(bucket, atMs)) {
        this.#remove(bucket);
      }
    }
  }

  /** Whether nothing is left to remember, or the grace period of a removed quota has passed. */
  #isOver(bucket: Bucket, atMs: number): boolean {
    if (bucket.openHolds > 0 || bucket.waiting > 0 || bucket.openAllowances > 0) {
      return false;
    }
    const { quota } = bucket.definition;
    const removedMs = this.#quotas.get(quota.id)?.removedMs ?? Number.POSITIVE_INFINITY;
    const isUntouched = bucket.window.used === 0 && bucket.window.granted === 0;
    return isUntouched || (quota.window.type === 'Lifetime' && atMs - removedMs >= REMOVED_GRACE_MS);
  }

  #remove(bucket: Bucket): void {
    this.buckets.delete(bucket.key);
    this.#host.ended(bucket.window);
    const { id } = bucket.definition.quota;
    const entry = this.#quotas.get(id);
    if (entry === undefined) {
      return;
    }
    entry.buckets--;
    this.#taken -= entry.buckets >= this.#share ? 1 : 0;
    entry.isNearlyFull &&= entry.buckets >= RELAXED_SHARE * this.#mostOf(entry);
    if (entry.buckets === 0) {
      this.#host.redefined(id, undefined);
      if (!entry.isDefined) {
        this.#quotas.delete(id);
        this.#divide();
      }
    }
  }
}
