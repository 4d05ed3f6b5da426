/** Finds API keys by their digests. */
import { timingSafeEqual } from 'node:crypto';
import type { ApiKey, ApiKeyShard } from '../../contract/access-policy.ts';
import type { Caller } from '../caller.ts';

/** An API key of the policy, with the identity that it proves. */
export interface KnownApiKey extends Caller {
  readonly key: ApiKey;
  readonly apiKey: string;
}

/** Keys that are indexed in one piece. */
const KEYS_OF_PIECE = 64;

type Shard = ReadonlyMap<string, KnownApiKey>;

/** A policy shares most shards with the one before. */
const indexed = new WeakMap<ApiKeyShard, Shard>();

export class ApiKeysByDigest {
  readonly #shards: ReadonlyMap<string, Shard>;

  constructor(shards: ReadonlyMap<string, Shard>) {
    this.#shards = shards;
  }

  /**
   * Returns the key with this digest, in hexadecimal digits, unless it has expired.
   *
   * The time of a map lookup depends on the digest. A client cannot choose a digest, only a key of
   * which it is the SHA-256, and to know a part of another digest does not help to find its key. So
   * only the comparison of the whole digest takes constant time.
   */
  find(digest: string, nowMs: number): KnownApiKey | undefined {
    const known = this.#shards.get(digest.slice(0, 2))?.get(digest);
    if (known === undefined || !timingSafeEqual(Buffer.from(known.key.digest), Buffer.from(digest))) {
      return undefined;
    }
    const { expiresAtMs } = known.key;
    return expiresAtMs !== undefined && expiresAtMs <= nowMs ? undefined : known;
  }
}

/** Indexes the keys of a policy. Yields wherever it can be interrupted. */
export function* indexingApiKeys(shards: readonly ApiKeyShard[]): Generator<void, ApiKeysByDigest> {
  const byName = new Map<string, Shard>();
  for (const shard of shards) {
    if (byName.has(shard.shard)) {
      throw new Error(`the policy has the shard ${shard.shard} of API keys twice`);
    }
    let known = indexed.get(shard);
    if (known === undefined) {
      known = yield* indexingShard(shard);
      indexed.set(shard, known);
    }
    byName.set(shard.shard, known);
    yield;
  }
  return new ApiKeysByDigest(byName);
}

function* indexingShard({ shard, keys }: ApiKeyShard): Generator<void, Shard> {
  const known = new Map<string, KnownApiKey>();
  for (const [place, key] of keys.entries()) {
    if (!key.digest.startsWith(shard)) {
      throw new Error(`the API key ${key.id} is not in the shard of its digest`);
    }
    if (known.has(key.digest)) {
      throw new Error(`the API key ${key.id} has the digest of another one`);
    }
    const { tenant, user, groups, id } = key;
    known.set(key.digest, { key, apiKey: id, tenant, user, groups, claim: noClaim });
    if (place % KEYS_OF_PIECE === KEYS_OF_PIECE - 1) {
      yield;
    }
  }
  return known;
}

function noClaim(): undefined {
  return undefined;
}
