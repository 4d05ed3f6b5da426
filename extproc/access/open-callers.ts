/**
 * The open streams whose access policy ends them when the credential of their caller is revoked or
 * expires.
 */
import type { ApiKeysByDigest } from './api-keys.ts';
import type { CallerIdentity } from './decide.ts';

/** Streams are grouped by the second of their expiry. */
const GROUP_MS = 1000;

/** An API key that must stay accepted by one of these authenticators while the stream is open. */
interface NeededKey<Stream> {
  readonly watched: Watched<Stream>;
  readonly digest: string;
  readonly authenticators: readonly string[];
}

/**
 * Empty once the stream is removed, because outgrown tables of a `Set` keep their entries (see
 * runtime/integer-table.ts).
 */
interface Watched<Stream> {
  stream: Stream | undefined;
}

export class OpenCallers<Stream> {
  readonly #byDigest = new Map<string, Set<NeededKey<Stream>>>();
  readonly #bySecond = new Map<number, Set<Watched<Stream>>>();

  /**
   * Returns a function that removes the stream, or undefined where no policy ends streams of such
   * credentials.
   */
  add(stream: Stream, identity: CallerIdentity): (() => void) | undefined {
    const watched: Watched<Stream> = { stream };
    const keys = neededKeys(identity).map((key): NeededKey<Stream> => ({ watched, ...key }));
    const endsAtMs = expiryMs(identity);
    const expires = endsAtMs !== Number.POSITIVE_INFINITY;
    if (keys.length === 0 && !expires) {
      return undefined;
    }
    const second = Math.ceil(endsAtMs / GROUP_MS);
    for (const key of keys) {
      addTo(this.#byDigest, key.digest, key);
    }
    if (expires) {
      addTo(this.#bySecond, second, watched);
    }
    return () => {
      for (const key of keys) {
        removeFrom(this.#byDigest, key.digest, key);
      }
      removeFrom(this.#bySecond, second, watched);
      watched.stream = undefined;
    };
  }

  /** Returns the streams whose API keys a policy no longer has. */
  revokedBy(apiKeys: ApiKeysByDigest, nowMs: number): ReadonlySet<Stream> {
    const ending = new Set<Stream>();
    for (const keys of this.#byDigest.values()) {
      for (const { watched, digest, authenticators } of keys) {
        if (watched.stream !== undefined && !accepts(apiKeys, digest, authenticators, nowMs)) {
          ending.add(watched.stream);
        }
      }
    }
    return ending;
  }

  /** Returns the streams whose credentials have expired, at most a second late. */
  expiredAt(nowMs: number): ReadonlySet<Stream> {
    const ending = new Set<Stream>();
    for (const [second, streams] of this.#bySecond) {
      if (second * GROUP_MS <= nowMs) {
        for (const { stream } of streams) {
          if (stream !== undefined) {
            ending.add(stream);
          }
        }
      }
    }
    return ending;
  }
}

/** Whether a key of this caller is not accepted any more. */
export function isRevoked({ callers }: CallerIdentity, apiKeys: ApiKeysByDigest, nowMs: number): boolean {
  return callers.some(
    ({ keyDigest, provenBy }) =>
      keyDigest !== undefined && !accepts(apiKeys, keyDigest, provenBy.keyAuthenticators, nowMs),
  );
}

/** Returns the keys that streams of this caller need to stay open. */
function neededKeys({ policies, callers }: CallerIdentity): readonly Omit<NeededKey<unknown>, 'watched'>[] {
  return policies.flatMap(({ policy }, place) => {
    const { keyDigest, provenBy } = callers[place]!;
    return policy.revokeStreams && keyDigest !== undefined
      ? [{ digest: keyDigest, authenticators: provenBy.keyAuthenticators }]
      : [];
  });
}

/** Returns when the first credential expires that ends the stream; infinite if none does. */
function expiryMs({ policies, callers }: CallerIdentity): number {
  return policies.reduce(
    (least, { policy }, place) =>
      policy.revokeStreams ? Math.min(least, callers[place]!.expiresAtMs ?? least) : least,
    Number.POSITIVE_INFINITY,
  );
}

function accepts(apiKeys: ApiKeysByDigest, digest: string, authenticators: readonly string[], nowMs: number): boolean {
  return apiKeys.find(digest, nowMs)?.key.authenticators.some((id) => authenticators.includes(id)) === true;
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
