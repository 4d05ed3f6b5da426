/**
 * All live buckets by their key, bounded: buckets in which nothing is left to remember are let go as new ones come, and no quota can take the room of others.
 *
 * Half of the table is shared out evenly among the quotas. Of the other half, a quota may take as many keys as are still free there: however many quotas are
 * flooded with keys, something is left for the next one. A new key of a quota that has no room is refused, and only that. To put it into one bucket with others
 * would let a key spend there now and have a whole budget of its own later.
 */
import type { Quota } from '../../contract/policy.ts';
import type { Claim } from './admit.ts';
import { Bucket, type BucketHost, definition, type QuotaDefinition } from './bucket.ts';
import type { BucketRef, Draw, QuotaKeys } from './store.ts';

/** A new key looks at so many old ones, so the whole directory is swept in step with what comes, and no request pays for all of it. */
const sweptForEachNew = 8;

/** So long the lifetime budgets of a quota that no policy names any more are remembered: a rename or a deletion by mistake can be undone the next day. */
export const removedGraceMs = 24 * 3_600_000;

/** Shares of what a quota may have: at the first it is told of, and below the second it may be told of again. */
const nearlyFullShare = 0.8;
const relaxedShare = 0.6;

interface TableEntry {
  newest: QuotaDefinition;
  buckets: number;
  /** Definitions that were replaced: sessions that began under them still name them. */
  readonly replaced: WeakSet<Quota>;
  /** The policy in force names it. */
  isDefined: boolean;
  /** Since when the policy in force does not name it any more. */
  removedMs: number | undefined;
  isNearlyFull: boolean;
}

export interface BucketTableHost extends BucketHost {
  /** A quota that has buckets is new here or has changed; undefined: it has no bucket any more. */
  redefined(id: string, quota: Quota | undefined, removedMs?: number): void;
  nearlyFull(keys: QuotaKeys): void;
}

export class BucketTable {
  readonly buckets = new Map<string, Bucket>();
  readonly #quotas = new Map<string, TableEntry>();
  #unswept: MapIterator<Bucket> = this.buckets.values();
  readonly #host: BucketTableHost;
  readonly #half: number;
  /** What each quota has of the half that is shared out, and what all together have taken of the other one. */
  #share = 0;
  #taken = 0;

  constructor(host: BucketTableHost, maxBuckets: number) {
    this.#host = host;
    this.#half = Math.floor(maxBuckets / 2);
  }

  /** The policy in force has these quotas and no others. */
  define(quotas: readonly Quota[], atMs: number): void {
    const named = new Set<string>();
    for (const quota of quotas) {
      named.add(quota.id);
      const entry = this.#quotas.get(quota.id) ?? this.#newEntry(quota);
      entry.isDefined = true;
      if (entry.newest.quota !== quota) {
        entry.replaced.delete(quota);
        this.#redefine(entry, quota);
      }
      this.#setRemoved(entry, undefined);
    }
    for (const [id, entry] of this.#quotas) {
      if (!named.has(id)) {
        entry.isDefined = false;
        if (entry.buckets === 0) {
          this.#quotas.delete(id);
        } else {
          // A clock that was ahead must not put the end off.
          this.#setRemoved(entry, Math.min(entry.removedMs ?? atMs, atMs));
        }
      }
    }
    this.#shareOut();
  }

  /** Takes up what a journal kept of a quota that has buckets. */
  restoreRemoved(id: string, removedMs: number): void {
    const entry = this.#quotas.get(id);
    if (entry !== undefined) {
      this.#setRemoved(entry, removedMs);
    }
  }

  /** The quotas with the most keys, at most `count`. */
  keys(count: number): readonly QuotaKeys[] {
    return [...this.#quotas.values()]
      .filter(({ buckets }) => buckets > 0)
      .sort((one, other) => other.buckets - one.buckets)
      .slice(0, count)
      .map((entry) => this.#keysOf(entry));
  }

  /**
   * Returns the buckets of the draws with their current windows, and creates those that are missing; or the reference
   * for which there is no room. Leaves out draws in a unit that the quota no longer counts: they were planned under an
   * older policy, as those of holds in windows of the old unit.
   */
  open(draws: readonly Draw[], atMs: number): readonly Claim[] | BucketRef {
    if (draws.some(({ bucket }) => !this.buckets.has(bucket.key))) {
      this.#sweep(atMs);
    }
    const claims: Claim[] = [];
    for (const [index, draw] of draws.entries()) {
      const ref = draw.bucket;
      const bucket = this.find(ref, atMs) ?? (this.#hasRoom(ref.quota) ? this.add(ref, atMs) : undefined);
      if (bucket === undefined) {
        return ref;
      }
      if (bucket.definition.quota.limit.type === draw.unit) {
        claims.push({ bucket, draw, index });
      }
    }
    return claims;
  }

  /** The bucket with its current window, if it is there. */
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
      this.#tellHost(entry);
    }
    const bucket = new Bucket(ref, entry.newest, this.#host, atMs);
    this.buckets.set(ref.key, bucket);
    if (!entry.isNearlyFull && entry.buckets >= nearlyFullShare * this.#mostOf(entry)) {
      entry.isNearlyFull = true;
      this.#host.nearlyFull(this.#keysOf(entry));
    }
    return bucket;
  }

  /** Brings all up to `atMs`, lets go of those in which nothing is left, and gives the others. */
  discardEmpty(atMs: number): Iterable<Bucket> {
    for (const bucket of this.buckets.values()) {
      bucket.roll(atMs);
      if (this.#isOver(bucket, atMs)) {
        this.#remove(bucket);
      }
    }
    return this.buckets.values();
  }

  /** With the newest definition of the quota: the one that came last, unless it was replaced before. */
  #entry(quota: Quota): TableEntry {
    let entry = this.#quotas.get(quota.id);
    if (entry === undefined) {
      entry = this.#newEntry(quota);
      this.#shareOut();
    } else if (entry.newest.quota !== quota && !entry.replaced.has(quota)) {
      this.#redefine(entry, quota);
    }
    return entry;
  }

  #newEntry(quota: Quota): TableEntry {
    const entry: TableEntry = {
      newest: definition(quota),
      buckets: 0,
      replaced: new WeakSet(),
      isDefined: false,
      removedMs: undefined,
      isNearlyFull: false,
    };
    this.#quotas.set(quota.id, entry);
    return entry;
  }

  #redefine(entry: TableEntry, quota: Quota): void {
    entry.replaced.add(entry.newest.quota);
    entry.newest = definition(quota);
    this.#tellHost(entry);
  }

  #setRemoved(entry: TableEntry, removedMs: number | undefined): void {
    if (entry.removedMs !== removedMs) {
      entry.removedMs = removedMs;
      this.#tellHost(entry);
    }
  }

  #tellHost({ newest, buckets, removedMs }: TableEntry): void {
    if (buckets > 0) {
      this.#host.redefined(newest.quota.id, newest.quota, removedMs);
    }
  }

  #shareOut(): void {
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

  /** The keys that a quota can come to if no other one gets more. */
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
    for (let count = 0; count < sweptForEachNew; count++) {
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

  /** Nothing is left to remember, or nobody asks for it any more. */
  #isOver(bucket: Bucket, atMs: number): boolean {
    if (bucket.openHolds > 0 || bucket.line !== undefined) {
      return false;
    }
    const { quota } = bucket.definition;
    const removedMs = this.#quotas.get(quota.id)?.removedMs ?? Number.POSITIVE_INFINITY;
    return bucket.window.used === 0 || (quota.window.type === 'Lifetime' && atMs - removedMs >= removedGraceMs);
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
    entry.isNearlyFull &&= entry.buckets >= relaxedShare * this.#mostOf(entry);
    if (entry.buckets === 0) {
      this.#host.redefined(id, undefined);
      if (!entry.isDefined) {
        this.#quotas.delete(id);
        this.#shareOut();
      }
    }
  }
}
