/**
 * Keeps the public keys of issuers fresh: fetches them, fetches them again before they are stale,
 * and retries failures. The last keys that were fetched stay in use while an issuer is away.
 */
import { EventEmitter, once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import type { PublicJwk } from '../contract/access-policy.ts';
import { type IssuerEndpoints, type KeySource, keySourceId } from '../contract/public-keys.ts';
import { errorMessage } from '../runtime/error-message.ts';
import type { DestinationGuard } from '../runtime/guarded-request.ts';
import type { Log } from '../runtime/log.ts';
import { type FetchedKeys, fetchKeys } from './fetch-keys.ts';

/** The keys of a source. */
export interface KeyState {
  readonly source: KeySource;
  /** Undefined: they were never fetched. */
  readonly keys: readonly PublicJwk[] | undefined;
  readonly endpoints: IssuerEndpoints | undefined;
  /** Milliseconds since 1970; undefined: not by this process. */
  readonly fetchedAtMs: number | undefined;
  /** Why the last attempt failed; undefined: it succeeded, or there was none yet. */
  readonly failure: string | undefined;
}

/** What survives a restart. */
export type KeptKeys = Pick<KeyState, 'source' | 'keys' | 'endpoints'>;

/** What a policy can use of a source. */
export interface KeyResult {
  /** Empty if they were never fetched, or if the issuer has withdrawn them. */
  readonly keys: readonly PublicJwk[];
  readonly endpoints?: IssuerEndpoints;
  /** Why the last attempt failed. */
  readonly failure?: string;
}

/** For metrics. */
export interface KeyCounts {
  readonly sources: number;
  /** Sources whose last attempt failed. */
  readonly failing: number;
}

export interface KeyFetcherOptions {
  readonly guard: DestinationGuard;
  /** Called when keys, or the failure to fetch them, have changed. */
  readonly changed: () => void;
  /** Called with all keys when some have changed, to be given to `restore` after a restart. */
  readonly keep?: (kept: readonly KeptKeys[]) => void;
  readonly log: Log;
  /** Defaults: the intervals below. */
  readonly intervals?: Partial<KeyIntervals>;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface KeyIntervals {
  /** Until keys are fetched again, if the server does not say. */
  readonly refreshMs: number;
  /** Bounds of what the server says. */
  readonly minRefreshMs: number;
  readonly maxRefreshMs: number;
  /** Until the first retry; it doubles up to the maximum. */
  readonly minRetryMs: number;
  readonly maxRetryMs: number;
  /** Between two attempts that tokens with unknown keys cause. */
  readonly refetchMs: number;
  /** For one attempt, with its redirects and documents. */
  readonly timeoutMs: number;
}

const INTERVALS: KeyIntervals = {
  refreshMs: 300_000,
  minRefreshMs: 30_000,
  maxRefreshMs: 3_600_000,
  minRetryMs: 500,
  maxRetryMs: 30_000,
  refetchMs: 10_000,
  timeoutMs: 10_000,
};

/** Far more issuers than an installation has. */
const MAX_SOURCES = 1000;
/** Bounds what one failing network costs. */
const MAX_FETCHES = 16;
/** Leaves room for other issuers while many are away, or answer slowly on purpose. */
const MAX_UNCERTAIN_FETCHES = 8;

export class KeyFetcher {
  readonly #options: KeyFetcherOptions;
  readonly #intervals: KeyIntervals;
  readonly #now: () => number;
  readonly #stop = new AbortController();
  readonly #followed = new Map<string, FollowedSource>();
  /** Of an earlier run, by source. */
  readonly #kept = new Map<string, KeptKeys>();
  readonly #waiting: FollowedSource[] = [];
  readonly #attempts = new EventEmitter();
  #fetches = 0;
  /** Of sources whose last attempt failed, or that were not tried yet. */
  #uncertainFetches = 0;

  constructor(options: KeyFetcherOptions) {
    this.#options = options;
    this.#intervals = { ...INTERVALS, ...options.intervals };
    this.#now = options.now ?? Date.now;
  }

  /** Takes over the keys of an earlier run, for sources that have none yet. */
  restore(kept: readonly KeptKeys[]): void {
    for (const each of kept) {
      this.#kept.set(keySourceId(each.source), each);
    }
  }

  /** Replaces the sources whose keys are fetched. The keys of others are dropped. */
  want(sources: readonly KeySource[]): void {
    const all = new Map(sources.map((source) => [keySourceId(source), source]));
    // New sources do not displace those in use.
    const inUse = [...all].toSorted(([left], [right]) => Number(this.#isKnown(right)) - Number(this.#isKnown(left)));
    const wanted = new Map(inUse.slice(0, MAX_SOURCES));
    if (sources.length > MAX_SOURCES) {
      this.#options.log.warn({ sources: sources.length, maximum: MAX_SOURCES }, 'too many sources of keys');
    }
    let dropped = false;
    for (const [id, followed] of this.#followed) {
      if (!wanted.has(id)) {
        clearTimeout(followed.timer);
        this.#followed.delete(id);
        this.#kept.delete(id);
        dropped ||= followed.keys !== undefined;
      }
    }
    for (const [id, source] of wanted) {
      if (!this.#followed.has(id)) {
        this.#follow(id, source);
      }
    }
    if (dropped) {
      this.#keep();
    }
  }

  /**
   * Fetches the keys of a URL again soon, because a token named an unknown one. However often it is
   * called, there is one attempt per `refetchMs`. Ignores URLs that are not wanted.
   */
  refetch(url: string): void {
    for (const followed of this.#followed.values()) {
      if (followed.source.url !== url) {
        continue;
      }
      // The attempt in flight may have started before the key was published.
      if (followed.fetching) {
        followed.refetch = true;
      } else {
        this.#schedule(followed, this.#refetchDelayMs(followed));
      }
    }
  }

  /** Returns the state of a source; undefined if it is not wanted. */
  state(source: KeySource): KeyState | undefined {
    return this.#followed.get(keySourceId(source));
  }

  /** Returns what was fetched, now or in an earlier run, by `keySourceId`. */
  results(): ReadonlyMap<string, KeyResult> {
    const results = new Map([...this.#kept].map(([id, kept]) => [id, resultOf(kept)]));
    for (const state of this.#followed.values()) {
      if (state.keys !== undefined || state.failure !== undefined) {
        results.set(keySourceId(state.source), resultOf(state, state.failure));
      }
    }
    return results;
  }

  states(): readonly KeyState[] {
    return [...this.#followed.values()];
  }

  counts(): KeyCounts {
    const states = this.states();
    return { sources: states.length, failing: states.filter(({ failure }) => failure !== undefined).length };
  }

  /** Resolves when each source without keys was tried once, or at the timeout. */
  async tried(timeoutMs: number): Promise<void> {
    const deadline = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#stop.signal]);
    const isOpen = ({ keys, failure }: KeyState) => keys === undefined && failure === undefined;
    while (this.states().some(isOpen) && !deadline.aborted) {
      await once(this.#attempts, 'ended', { signal: deadline }).catch(() => {});
    }
  }

  close(): void {
    this.#stop.abort();
    for (const { timer } of this.#followed.values()) {
      clearTimeout(timer);
    }
  }

  #refetchDelayMs({ lastStartMs }: FollowedSource): number {
    return Math.max(0, lastStartMs + this.#intervals.refetchMs - this.#now());
  }

  #follow(id: string, source: KeySource): void {
    const kept = this.#kept.get(id);
    const followed: FollowedSource = {
      source,
      keys: kept?.keys,
      endpoints: kept?.endpoints,
      fetchedAtMs: undefined,
      failure: undefined,
      failures: 0,
      lastStartMs: Number.NEGATIVE_INFINITY,
      dueMs: Number.POSITIVE_INFINITY,
      timer: undefined,
      fetching: false,
      refetch: false,
    };
    this.#followed.set(id, followed);
    this.#schedule(followed, 0);
  }

  /** Makes an attempt after `delayMs`, or when one is due already, whichever is sooner. */
  #schedule(followed: FollowedSource, delayMs: number): void {
    const dueMs = this.#now() + delayMs;
    if (dueMs >= followed.dueMs || this.#stop.signal.aborted) {
      return;
    }
    followed.dueMs = dueMs;
    clearTimeout(followed.timer);
    followed.timer = setTimeout(() => {
      this.#waiting.push(followed);
      this.#next();
    }, delayMs);
  }

  #isKnown(id: string): boolean {
    return this.#followed.has(id) || this.#kept.has(id);
  }

  /** Starts attempts as far as the bounds allow. */
  #next(): void {
    for (let next = this.#takeWaiting(); next !== undefined; next = this.#takeWaiting()) {
      const uncertain = isUncertain(next) ? 1 : 0;
      this.#fetches++;
      this.#uncertainFetches += uncertain;
      void this.#attempt(next).finally(() => {
        this.#fetches--;
        this.#uncertainFetches -= uncertain;
        this.#next();
      });
    }
  }

  /** Takes the next source that may be fetched: good ones first, failing ones last. */
  #takeWaiting(): FollowedSource | undefined {
    if (this.#fetches >= MAX_FETCHES) {
      return undefined;
    }
    const mayFail = this.#uncertainFetches < MAX_UNCERTAIN_FETCHES;
    const next =
      this.#waiting.find((each) => !isUncertain(each)) ??
      (mayFail ? (this.#waiting.find(({ failures }) => failures === 0) ?? this.#waiting[0]) : undefined);
    if (next !== undefined) {
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
    }
    return next;
  }

  async #attempt(followed: FollowedSource): Promise<void> {
    const { guard } = this.#options;
    if (!this.#isFollowed(followed)) {
      return;
    }
    followed.fetching = true;
    followed.lastStartMs = this.#now();
    const deadline = AbortSignal.timeout(this.#intervals.timeoutMs);
    try {
      const fetched = await fetchKeys(followed.source, guard, AbortSignal.any([this.#stop.signal, deadline]));
      this.#fetched(followed, fetched);
    } catch (error) {
      const late = deadline.aborted ? `no answer within ${this.#intervals.timeoutMs} ms` : undefined;
      this.#failed(followed, late ?? errorMessage(error));
    }
  }

  #fetched(followed: FollowedSource, { keys, endpoints, maxAgeMs }: FetchedKeys): void {
    if (!this.#isFollowed(followed)) {
      return;
    }
    const { refreshMs, minRefreshMs, maxRefreshMs } = this.#intervals;
    const isNew = !isDeepStrictEqual(keys, followed.keys);
    const failure = keys.length === 0 ? 'the key set has no public key for signatures' : undefined;
    const isBack = failure === undefined && followed.failure !== undefined;
    const hasChanged = isNew || failure !== followed.failure || !isDeepStrictEqual(endpoints, followed.endpoints);
    followed.failures = 0;
    followed.keys = keys;
    followed.endpoints = endpoints;
    followed.fetchedAtMs = this.#now();
    this.#ended(followed, failure, Math.min(maxRefreshMs, Math.max(minRefreshMs, maxAgeMs ?? refreshMs)));
    if (isNew || isBack) {
      const { url } = followed.source;
      this.#options.log.info({ url, keys: keys.map(({ kid }) => kid ?? '') }, 'keys fetched');
    }
    if (hasChanged) {
      this.#keep();
      this.#options.changed();
    }
  }

  #failed(followed: FollowedSource, failure: string): void {
    if (!this.#isFollowed(followed)) {
      return;
    }
    const { minRetryMs, maxRetryMs } = this.#intervals;
    const hasChanged = failure !== followed.failure;
    const delayMs = Math.min(maxRetryMs, minRetryMs * 2 ** followed.failures) * (0.75 + Math.random() / 4);
    followed.failures++;
    this.#ended(followed, failure, delayMs);
    if (hasChanged) {
      this.#options.changed();
    }
  }

  /** Logs once when attempts begin to fail. */
  #ended(followed: FollowedSource, failure: string | undefined, delayMs: number): void {
    const { log } = this.#options;
    const { url } = followed.source;
    if (failure !== undefined && followed.failure === undefined) {
      const hasKeys = followed.keys !== undefined && followed.keys.length > 0;
      const effect = hasKeys ? 'the last keys stay in use' : 'tokens are refused';
      log.warn({ url, failure, effect }, 'keys not fetched; retrying');
    }
    followed.fetching = false;
    followed.failure = failure;
    followed.dueMs = Number.POSITIVE_INFINITY;
    this.#schedule(followed, followed.refetch ? Math.min(delayMs, this.#refetchDelayMs(followed)) : delayMs);
    followed.refetch = false;
    this.#attempts.emit('ended');
  }

  #isFollowed(followed: FollowedSource): boolean {
    return !this.#stop.signal.aborted && this.#followed.get(keySourceId(followed.source)) === followed;
  }

  #keep(): void {
    const known = this.states().filter(({ keys }) => keys !== undefined);
    this.#options.keep?.(known.map(({ source, keys, endpoints }) => ({ source, keys, endpoints })));
  }
}

interface FollowedSource extends KeyState {
  keys: readonly PublicJwk[] | undefined;
  endpoints: IssuerEndpoints | undefined;
  fetchedAtMs: number | undefined;
  failure: string | undefined;
  failures: number;
  /** When the last attempt started. */
  lastStartMs: number;
  /** When the next attempt starts; infinite while there is none. */
  dueMs: number;
  timer: NodeJS.Timeout | undefined;
  fetching: boolean;
  /** Whether another attempt was asked for during this one. */
  refetch: boolean;
}

function isUncertain({ keys, failures }: FollowedSource): boolean {
  return keys === undefined || failures > 0;
}

function resultOf({ keys, endpoints }: KeptKeys, failure?: string): KeyResult {
  return {
    keys: keys ?? [],
    ...(endpoints !== undefined && { endpoints }),
    ...(failure !== undefined && { failure }),
  };
}
