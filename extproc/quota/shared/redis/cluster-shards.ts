/** The shards of a Redis Cluster, each named by the address of its primary. */
import calculateSlot from 'cluster-key-slot';
import type { Cluster } from 'ioredis';

/** Names tried for each shard to find one whose slot it serves. */
const TRIES_PER_SHARD = 64;

export class ClusterShards {
  readonly #client: Cluster;

  constructor(client: Cluster) {
    this.#client = client;
  }

  /** Returns the shard that serves a key; undefined: none does, or that is not known yet. */
  of(key: string): string | undefined {
    return this.#client.slots[calculateSlot(key)]?.[0];
  }

  /** Returns all shards that serve slots. */
  all(): ReadonlySet<string> {
    const shards = new Set<string>();
    let last: readonly string[] | undefined;
    for (const nodes of this.#client.slots) {
      // Neighboring slots usually share the list.
      if (nodes !== last && nodes?.[0] !== undefined) {
        shards.add(nodes[0]);
      }
      last = nodes;
    }
    return shards;
  }

  /** Returns names, one for each shard, whose keys (`keyOf`) that shard serves. */
  namesFor(shards: ReadonlySet<string>, name: string, keyOf: (name: string) => string): readonly string[] {
    const missing = new Set(shards);
    const names: string[] = [];
    for (let nth = 0; missing.size > 0 && nth < shards.size * TRIES_PER_SHARD; nth++) {
      const shard = this.of(keyOf(`${name}-${nth}`));
      if (shard !== undefined && missing.delete(shard)) {
        names.push(`${name}-${nth}`);
      }
    }
    return names;
  }
}
