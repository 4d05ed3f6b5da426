/** All live buckets by their key, bounded: buckets in which nothing is left to remember are let go as new ones come. */
import type { Quota } from '../../contract/policy.ts';
import { Bucket, type BucketHost, type Definition, definition } from './bucket.ts';
import type { BucketRef } from './store.ts';

/** A new key looks at so many old ones, so the whole directory is swept in step with what comes, and no request pays for all of it. */
const sweptForEachNew = 8;

interface QuotaEntry {
  newest: Definition;
  buckets: number;
  /** Definitions that were replaced: sessions that began under them still name them. */
  readonly replaced: WeakSet<Quota>;
}

export interface DirectoryHost extends BucketHost {
  /** A quota is new here or has changed; undefined: it has no bucket any more. */
  redefined(id: string, quota: Quota | undefined): void;
}

export class Directory {
  readonly buckets = new Map<string, Bucket>();
  private readonly quotas = new Map<string, QuotaEntry>();
  private unswept: MapIterator<Bucket> = this.buckets.values();
  private readonly host: DirectoryHost;
  private readonly maxBuckets: number;

  constructor(host: DirectoryHost, maxBuckets: number) {
    this.host = host;
    this.maxBuckets = maxBuckets;
  }

  /** The buckets with their current windows, made where there are none; or the one for which there is no room. */
  open(refs: readonly BucketRef[], atMs: number): readonly Bucket[] | BucketRef {
    if (refs.some(({ key }) => !this.buckets.has(key))) {
      this.sweep(atMs);
    }
    const buckets: Bucket[] = [];
    for (const ref of refs) {
      const bucket = this.find(ref, atMs) ?? (this.buckets.size < this.maxBuckets ? this.add(ref, atMs) : undefined);
      if (bucket === undefined) {
        return ref;
      }
      if (!buckets.includes(bucket)) {
        buckets.push(bucket);
      }
    }
    return buckets;
  }

  /** The bucket with its current window, if it is there. */
  find(ref: BucketRef, atMs: number): Bucket | undefined {
    const bucket = this.buckets.get(ref.key);
    if (bucket !== undefined) {
      const { newest } = this.entry(ref.quota);
      if (bucket.definition === newest) {
        bucket.roll(atMs);
      } else {
        bucket.adopt(newest, atMs);
      }
    }
    return bucket;
  }

  add(ref: BucketRef, atMs: number): Bucket {
    const entry = this.entry(ref.quota);
    entry.buckets++;
    const bucket = new Bucket(ref, entry.newest, this.host, atMs);
    this.buckets.set(ref.key, bucket);
    return bucket;
  }

  /** Brings all up to `atMs`, lets go of those in which nothing is left, and gives the others. */
  discardEmpty(atMs: number): Iterable<Bucket> {
    for (const bucket of this.buckets.values()) {
      bucket.roll(atMs);
      if (isEmpty(bucket)) {
        this.remove(bucket);
      }
    }
    return this.buckets.values();
  }

  /** With the newest definition of the quota: the one that came last, unless it was replaced before. */
  private entry(quota: Quota): QuotaEntry {
    let entry = this.quotas.get(quota.id);
    if (entry === undefined) {
      entry = { newest: definition(quota), buckets: 0, replaced: new WeakSet() };
      this.quotas.set(quota.id, entry);
      this.host.redefined(quota.id, quota);
    } else if (entry.newest.quota !== quota && !entry.replaced.has(quota)) {
      entry.replaced.add(entry.newest.quota);
      entry.newest = definition(quota);
      this.host.redefined(quota.id, quota);
    }
    return entry;
  }

  private sweep(atMs: number): void {
    for (let count = 0; count < sweptForEachNew; count++) {
      const next = this.unswept.next();
      if (next.done) {
        this.unswept = this.buckets.values();
        return;
      }
      const bucket = next.value;
      bucket.roll(atMs);
      if (isEmpty(bucket)) {
        this.remove(bucket);
      }
    }
  }

  private remove(bucket: Bucket): void {
    this.buckets.delete(bucket.key);
    this.host.ended(bucket.window);
    const { id } = bucket.definition.quota;
    const entry = this.quotas.get(id);
    if (entry !== undefined && --entry.buckets === 0) {
      this.quotas.delete(id);
      this.host.redefined(id, undefined);
    }
  }
}

function isEmpty(bucket: Bucket): boolean {
  return bucket.openHolds === 0 && bucket.window.used === 0 && bucket.line === undefined;
}
