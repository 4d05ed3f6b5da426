/**
 * The open streams whose access policy ends them when the credential of their caller is revoked or
 * expires. The owner calls `ending` with each new policy, and at the time of the next expiry.
 */
import type { ApiKeysByDigest } from './api-keys.ts';
import type { CallerIdentity } from './decide.ts';

/** Streams are grouped by the second of their expiry. */
const GROUP_MS = 1000;

/** An API key that must stay accepted by one of these authenticators while the stream is open. */
interface NeededKey<Stream> {
  readonly stream: Stream;
  readonly digest: string;
  readonly authenticators: readonly string[];
}

export class OpenCallers<Stream> {
  readonly #byDigest = new Map<string, Set<NeededKey<Stream>>>();
  readonly #bySecond = new Map<number, Set<Stream>>();

  /**
   * Returns a function that removes the stream, or undefined where no policy ends streams of such
   * credentials.
   */
  add(stream: Stream, { policies, callers }: CallerIdentity): (() => void) | undefined {
    const keys: NeededKey<Stream>[] = [];
    let endsAtMs = Number.POSITIVE_INFINITY;
    for (const [place, { policy }] of policies.entries()) {
      const { keyDigest, expiresAtMs, provenBy } = callers[place]!;
      if (policy.revokeStreams) {
        endsAtMs = Math.min(endsAtMs, expiresAtMs ?? endsAtMs);
        if (keyDigest !== undefined) {
          keys.push({ stream, digest: keyDigest, authenticators: provenBy.keyAuthenticators });
        }
      }
    }
    const expires = endsAtMs !== Number.POSITIVE_INFINITY;
    if (keys.length === 0 && !expires) {
      return undefined;
    }
    const second = Math.ceil(endsAtMs / GROUP_MS);
    for (const key of keys) {
      addTo(this.#byDigest, key.digest, key);
    }
    if (expires) {
      addTo(this.#bySecond, second, stream);
    }
    return () => {
      for (const key of keys) {
        removeFrom(this.#byDigest, key.digest, key);
      }
      removeFrom(this.#bySecond, second, stream);
    };
  }

  /** Returns the streams that must end now. Each must be removed when it has ended. */
  ending(apiKeys: ApiKeysByDigest, nowMs: number): ReadonlySet<Stream> {
    const ending = new Set<Stream>();
    for (const [digest, keys] of this.#byDigest) {
      const accepted = apiKeys.find(digest, nowMs)?.key.authenticators ?? [];
      for (const { stream, authenticators } of keys) {
        if (!authenticators.some((id) => accepted.includes(id))) {
          ending.add(stream);
        }
      }
    }
    for (const [second, streams] of this.#bySecond) {
      if (second * GROUP_MS <= nowMs) {
        for (const stream of streams) {
          ending.add(stream);
        }
      }
    }
    return ending;
  }

  /** Returns the time of the next expiry, in milliseconds since 1970. */
  get nextExpiryMs(): number | undefined {
    const seconds = [...this.#bySecond.keys()];
    return seconds.length === 0 ? undefined : Math.min(...seconds) * GROUP_MS;
  }
}

function addTo<Key, Item>(map: Map<Key, Set<Item>>, key: Key, item: Item): void {
  const items = map.get(key);
  if (items === undefined) {
    map.set(key, new Set([item]));
  } else {
    items.add(item);
  }
}

function removeFrom<Key, Item>(map: Map<Key, Set<Item>>, key: Key, item: Item): void {
  const items = map.get(key);
  if (items?.delete(item) && items.size === 0) {
    map.delete(key);
  }
}
