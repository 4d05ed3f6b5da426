/**
 * Keeps the tokens of backends fresh: fetches them, renews them half way through their life, and
 * retries failures. The last token stays in use until it expires.
 */
import { EventEmitter, once } from 'node:events';
import {
  type CloudToken,
  replaceableTokenId,
  type TokenSource,
  type WantedToken,
  wantedTokenId,
} from '../contract/cloud-tokens.ts';
import { errorMessage } from '../runtime/error-message.ts';
import type { Log } from '../runtime/log.ts';
import type { IssuedToken } from './token-endpoint.ts';

/** What survives a restart. */
export interface KeptToken extends IssuedToken {
  /** See `wantedTokenId`. */
  readonly id: string;
  readonly issuedAtMs: number;
}

/** For metrics. */
export interface TokenCounts {
  readonly wanted: number;
  /** Tokens whose last attempt failed. */
  readonly failing: number;
  /** Backends without a valid token. */
  readonly missing: number;
}

export interface TokenRenewerOptions {
  /** Rejects with the reason in plain words. */
  readonly exchange: (source: TokenSource, signal: AbortSignal) => Promise<IssuedToken>;
  /** Called when a token, or the failure to fetch it, has changed. */
  readonly changed: () => void;
  /** Called with all tokens when some have changed, to be given to `restore` after a restart. */
  readonly keep?: (kept: readonly KeptToken[]) => void;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** From 0 to 1. */
  readonly random?: () => number;
}

/**
 * How often due times are compared with the clock. A timer for each would be late after a machine
 * has slept.
 */
const TICK_MS = 1000;
/** The part of a token's life after which it is renewed: an outage may take almost the rest. */
const RENEW_AFTER = 0.5;
/** Tokens that were issued together are not renewed together. */
const RENEW_SPREAD = 0.1;
const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
const ATTEMPT_TIMEOUT_MS = 10_000;
/** A token is not used in its last seconds: requests are on their way, and clocks differ. */
const EXPIRY_MARGIN_MS = 10_000;
/** Far more backends than an installation has. */
const MAX_TOKENS = 1000;
/** Bounds the load on token endpoints. */
const MAX_ATTEMPTS = 16;

export class TokenRenewer {
  readonly #options: TokenRenewerOptions;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #stop = new AbortController();
  readonly #followed = new Map<string, FollowedToken>();
  /** Of an earlier run. */
  readonly #kept = new Map<string, KeptToken>();
  readonly #attempts = new EventEmitter();
  readonly #timer: NodeJS.Timeout;
  #running = 0;

  constructor(options: TokenRenewerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#random = options.random ?? Math.random;
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  /** Takes over the tokens of an earlier run. Call before `want`. */
  restore(kept: readonly KeptToken[]): void {
    for (const each of kept) {
      this.#kept.set(each.id, each);
    }
  }

  /** Replaces the tokens that are fetched. All others are dropped. */
  want(all: readonly WantedToken[]): void {
    if (all.length > MAX_TOKENS) {
      this.#options.log.warn({ tokens: all.length, maximum: MAX_TOKENS }, 'too many tokens of clouds');
    }
    const wanted = new Map(all.slice(0, MAX_TOKENS).map((each) => [wantedTokenId(each), each]));
    const replaceable = new Map([...this.#followed.values()].map((each) => [replaceableTokenId(each), each.issued]));
    for (const id of this.#followed.keys()) {
      if (!wanted.has(id)) {
        this.#followed.delete(id);
        this.#kept.delete(id);
      }
    }
    for (const [id, each] of wanted) {
      if (!this.#followed.has(id)) {
        const replaceableId = replaceableTokenId(each);
        const replaced = replaceableId === undefined ? undefined : replaceable.get(replaceableId);
        this.#followed.set(id, this.#newToken(id, each, replaced));
      }
    }
    this.#tick();
  }

  /** Returns what was issued, now or in an earlier run, by `wantedTokenId`. See `World.tokens`. */
  results(): ReadonlyMap<string, CloudToken> {
    const now = this.#now();
    const results = new Map<string, CloudToken>();
    for (const { id, ...issued } of this.#kept.values()) {
      results.set(id, resultOf(issued, undefined, now));
    }
    for (const { id, backend, source, issued, failure } of this.#followed.values()) {
      if (issued !== undefined || failure !== undefined) {
        results.set(id, resultOf(issued, failure, now));
      }
      const replaceableId = replaceableTokenId({ backend, source });
      if (issued !== undefined && replaceableId !== undefined) {
        results.set(replaceableId, resultOf(issued, undefined, now));
      }
    }
    return results;
  }

  counts(): TokenCounts {
    const now = this.#now();
    const all = [...this.#followed.values()];
    return {
      wanted: all.length,
      failing: all.filter(({ failure }) => failure !== undefined).length,
      missing: all.filter(({ issued }) => issued === undefined || hasExpired(issued, now)).length,
    };
  }

  /** Resolves when each wanted token was tried once, or at the timeout. */
  async tried(timeoutMs: number): Promise<void> {
    const deadline = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#stop.signal]);
    const isOpen = ({ issued, failure }: FollowedToken) => issued === undefined && failure === undefined;
    while ([...this.#followed.values()].some(isOpen) && !deadline.aborted) {
      await once(this.#attempts, 'ended', { signal: deadline }).catch(() => {});
    }
  }

  close(): void {
    this.#stop.abort();
    clearInterval(this.#timer);
  }

  /** `replaced`: the token for an earlier secret of the same identity. */
  #newToken(id: string, { backend, source }: WantedToken, replaced: FollowedToken['issued']): FollowedToken {
    const kept = this.#kept.get(id);
    const issued = kept && !hasExpired(kept, this.#now()) ? kept : undefined;
    return {
      id,
      backend,
      source,
      issued: issued ?? replaced,
      expired: false,
      failure: undefined,
      failures: 0,
      dueMs: issued === undefined ? 0 : this.#renewalMs(issued),
      fetching: false,
    };
  }

  #renewalMs({ issuedAtMs, expiresAtMs }: Omit<KeptToken, 'id'>): number {
    return issuedAtMs + (expiresAtMs - issuedAtMs) * (RENEW_AFTER + this.#random() * RENEW_SPREAD);
  }

  /** Starts the attempts that are due, those without failures first, and drops expired tokens. */
  #tick(): void {
    if (this.#stop.signal.aborted) {
      return;
    }
    const now = this.#now();
    const due = [...this.#followed.values()]
      .filter(({ fetching, dueMs }) => !fetching && dueMs <= now)
      .sort((one, other) => one.failures - other.failures || one.dueMs - other.dueMs);
    for (const each of due.slice(0, MAX_ATTEMPTS - this.#running)) {
      void this.#attempt(each);
    }
    const expired = [...this.#followed.values()].filter(
      (each) => !each.expired && each.issued !== undefined && hasExpired(each.issued, now),
    );
    for (const each of expired) {
      each.expired = true;
      this.#options.log.error({ backend: each.backend, failure: each.failure ?? '' }, 'token expired');
    }
    if (expired.length > 0) {
      this.#options.changed();
    }
  }

  async #attempt(followed: FollowedToken): Promise<void> {
    followed.fetching = true;
    this.#running++;
    const startMs = this.#now();
    const deadline = AbortSignal.timeout(ATTEMPT_TIMEOUT_MS);
    try {
      const issued = await this.#options.exchange(followed.source, AbortSignal.any([this.#stop.signal, deadline]));
      this.#issued(followed, { ...issued, issuedAtMs: startMs });
    } catch (error) {
      const late = deadline.aborted ? `no answer within ${ATTEMPT_TIMEOUT_MS} ms` : undefined;
      this.#failed(followed, late ?? errorMessage(error));
    } finally {
      followed.fetching = false;
      this.#running--;
      this.#attempts.emit('ended');
      this.#tick();
    }
  }

  #issued(followed: FollowedToken, issued: Omit<KeptToken, 'id'>): void {
    if (!this.#isFollowed(followed)) {
      return;
    }
    if (hasExpired(issued, this.#now())) {
      this.#failed(followed, 'the token that was issued has expired already');
      return;
    }
    followed.issued = issued;
    followed.expired = false;
    followed.failure = undefined;
    followed.failures = 0;
    followed.dueMs = this.#renewalMs(issued);
    const { backend, source } = followed;
    this.#options.log.info(
      { backend, type: source.type, expiresAt: new Date(issued.expiresAtMs).toISOString() },
      'token fetched',
    );
    this.#keep();
    this.#options.changed();
  }

  /** Logs once when attempts begin to fail. */
  #failed(followed: FollowedToken, failure: string): void {
    if (!this.#isFollowed(followed)) {
      return;
    }
    const { backend, source, issued } = followed;
    const now = this.#now();
    if (followed.failure === undefined) {
      const isValid = issued !== undefined && !hasExpired(issued, now);
      const effect = isValid ? 'the last token stays in use until it expires' : 'the backend is not used';
      this.#options.log.warn({ backend, type: source.type, failure, effect }, 'token not fetched; retrying');
    }
    const hasChanged = failure !== followed.failure;
    followed.dueMs = now + Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** followed.failures) * (0.75 + this.#random() / 4);
    followed.failures++;
    followed.failure = failure;
    if (hasChanged) {
      this.#options.changed();
    }
  }

  #isFollowed(followed: FollowedToken): boolean {
    return !this.#stop.signal.aborted && this.#followed.get(followed.id) === followed;
  }

  #keep(): void {
    const all = [...this.#followed.values()];
    this.#options.keep?.(all.flatMap(({ id, issued }) => (issued === undefined ? [] : { ...issued, id })));
  }
}

interface FollowedToken {
  readonly id: string;
  readonly backend: string;
  readonly source: TokenSource;
  issued: Omit<KeptToken, 'id'> | undefined;
  /** Whether the end of `issued` was reported. */
  expired: boolean;
  failure: string | undefined;
  failures: number;
  /** When the next attempt may start. */
  dueMs: number;
  fetching: boolean;
}

function hasExpired({ expiresAtMs }: Pick<IssuedToken, 'expiresAtMs'>, nowMs: number): boolean {
  return expiresAtMs - EXPIRY_MARGIN_MS <= nowMs;
}

function resultOf(
  issued: Pick<IssuedToken, 'token' | 'expiresAtMs'> | undefined,
  failure: string | undefined,
  nowMs: number,
): CloudToken {
  const isValid = issued !== undefined && !hasExpired(issued, nowMs);
  return {
    ...(isValid && { token: { reveal: () => issued.token }, expiresAtMs: issued.expiresAtMs }),
    ...(failure !== undefined && { failure }),
  };
}
