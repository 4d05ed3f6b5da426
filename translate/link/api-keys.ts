/** Selects API keys by labels, and settles which Secret a key belongs to. */
import type { ApiKey, ApiKeyShard } from '../../contract/access-policy.ts';
import type { DeploymentMode } from '../deployment-mode.ts';
import { byName, compare, fullName } from '../object-names.ts';
import type { ApiKeyFault, ApiKeySecret, Located, World } from '../world.ts';

type UsableKey = Exclude<ApiKeySecret['key'], ApiKeyFault>;

/** A Secret whose key is used. */
export interface UsableApiKey {
  /** `NAMESPACE/SECRET`. */
  readonly id: string;
  readonly key: UsableKey;
}

/** A Secret whose key is not used. */
export interface UnusedApiKey {
  readonly secret: Located<ApiKeySecret>;
  /** Undefined: another Secret has the same key. */
  readonly fault: ApiKeyFault | undefined;
}

export interface SelectedApiKeys {
  readonly usable: readonly UsableApiKey[];
  readonly unused: readonly UnusedApiKey[];
}

export interface ApiKeyIndex {
  /** Returns the keys of a namespace whose Secrets have all the labels. */
  selected(namespace: string, matchLabels: Readonly<Record<string, string>>): SelectedApiKeys;
}

/**
 * A key belongs to the oldest Secret that has it, so that a copy takes nothing from its owner.
 * Files have no age: there the first counts.
 */
export function indexApiKeys(secrets: World['apiKeySecrets'], mode: DeploymentMode): ApiKeyIndex {
  const ordered = secrets.toSorted(
    (left, right) =>
      compare(left.metadata.creationTimestamp ?? '', right.metadata.creationTimestamp ?? '') ||
      (mode.type === 'Kubernetes' ? byName(left, right) : 0),
  );
  const owners = new Map<string, Located<ApiKeySecret>>();
  for (const secret of ordered) {
    if ('digest' in secret.key && !owners.has(secret.key.digest)) {
      owners.set(secret.key.digest, secret);
    }
  }
  const byNamespace = Map.groupBy(ordered, ({ metadata }) => metadata.namespace);
  return {
    selected(namespace, matchLabels) {
      const labels = Object.entries(matchLabels);
      const matching = (byNamespace.get(namespace) ?? []).filter(({ metadata }) =>
        labels.every(([name, value]) => metadata.labels?.[name] === value),
      );
      const usable: UsableApiKey[] = [];
      const unused: UnusedApiKey[] = [];
      for (const secret of matching) {
        const { key } = secret;
        if ('fault' in key) {
          unused.push({ secret, fault: key });
        } else if (owners.get(key.digest) === secret) {
          usable.push({ id: fullName(secret), key });
        } else {
          unused.push({ secret, fault: undefined });
        }
      }
      return { usable, unused };
    },
  };
}

/** The keys that one authenticator accepts. */
export interface AcceptedKeys {
  readonly authenticator: string;
  readonly keys: readonly UsableApiKey[];
}

/** Returns each key once, with all authenticators that accept it, sorted by digest. */
export function apiKeyShards(accepted: readonly AcceptedKeys[]): readonly ApiKeyShard[] {
  const byDigest = new Map<string, { readonly key: UsableApiKey; readonly authenticators: string[] }>();
  for (const { authenticator, keys } of accepted) {
    for (const key of keys) {
      const known = byDigest.get(key.key.digest) ?? { key, authenticators: [] };
      known.authenticators.push(authenticator);
      byDigest.set(key.key.digest, known);
    }
  }
  const keys = [...byDigest.values()]
    .map(({ key: { id, key }, authenticators }): ApiKey => ({ id, ...key, authenticators }))
    .toSorted((left, right) => compare(left.digest, right.digest));
  return [...Map.groupBy(keys, ({ digest }) => digest.slice(0, 2))].map(([shard, ofShard]) => ({
    shard,
    keys: ofShard,
  }));
}
