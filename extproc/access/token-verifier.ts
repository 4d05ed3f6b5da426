/**
 * Verifies tokens. A token that is known is decided at once; others wait for the cryptography,
 * which runs on other threads.
 */
import { type CryptoKey, importJWK, jwtVerify } from 'jose';
import type { PublicJwk } from '../../contract/access-policy.ts';
import type { Caller } from '../caller.ts';
import { callerOf } from './claims.ts';
import { MAX_CREDENTIAL_CHARACTERS } from './credentials.ts';
import { type CompiledJwt, checkToken } from './jwt.ts';
import { TokenCache } from './token-cache.ts';

export interface VerifiedToken {
  readonly type: 'verified';
  readonly caller: Caller;
  /** With the clock skew of the authenticator. */
  readonly expiresAtMs: number;
}

export type TokenVerdict =
  | VerifiedToken
  | { readonly type: 'refused' }
  /** The token is valid, and its groups are too many. */
  | { readonly type: 'too-many-groups' }
  /** Too many tokens wait. */
  | { readonly type: 'overloaded' };

export interface TokenVerifierOptions {
  readonly nowMs: () => number;
  /** Called with the `keysUrl` of an authenticator when a token names an unknown key. */
  readonly requestKeys: (keysUrl: string) => void;
}

const refused: TokenVerdict = { type: 'refused' };
const overloaded: TokenVerdict = { type: 'overloaded' };
const tooManyGroups: TokenVerdict = { type: 'too-many-groups' };

/** Valid tokens that are remembered: 20,000 of 800 characters. */
const VERIFIED_BYTES = 64 * 1024 * 1024;
/** Tokens with a wrong signature, or invalid for another reason. */
const REFUSED_BYTES = 4 * 1024 * 1024;
/** A token may become valid: its `nbf` passes, or its key arrives. */
const REFUSED_MS = 5_000;

/** More than the threads of the process, so that none of them waits. */
const MAX_RUNNING = 8;
/** At 100 to 200 µs each, the last one waits for about 0.1 s. */
const MAX_WAITING = 1_024;
/** Of these, for one authenticator, so that invalid tokens for one tenant do not refuse others. */
const MAX_PENDING_OF_AUTHENTICATOR = 256;

export class TokenVerifier {
  readonly #options: TokenVerifierOptions;
  readonly #verified = new TokenCache<TokenVerdict>(VERIFIED_BYTES);
  readonly #refused = new TokenCache<TokenVerdict>(REFUSED_BYTES);
  /** Tokens that are being verified; requests with the same token share the work. */
  readonly #pending = new Map<string, Promise<TokenVerdict>>();
  readonly #waiting: (() => void)[] = [];
  /** How many tokens are being verified, by the identity of their authenticator. */
  readonly #pendingOf = new Map<string, number>();
  #running = 0;

  constructor(options: TokenVerifierOptions) {
    this.#options = options;
  }

  /** `digest` is the SHA-256 of the token. */
  verify(token: string, digest: string, jwt: CompiledJwt): TokenVerdict | Promise<TokenVerdict> {
    const nowMs = this.#options.nowMs();
    const key = jwt.identity + digest;
    const known = this.#verified.get(key, nowMs) ?? this.#refused.get(key, nowMs) ?? this.#pending.get(key);
    if (known !== undefined) {
      return known;
    }
    if (token.length > MAX_CREDENTIAL_CHARACTERS) {
      return refused;
    }
    const check = checkToken(token, jwt);
    const { keysUrl } = jwt.authenticator;
    if (check.type === 'unknown-key' && keysUrl !== undefined) {
      this.#options.requestKeys(keysUrl);
    }
    if (check.type !== 'candidates') {
      return refused;
    }
    const pending = this.#pendingOf.get(jwt.identity) ?? 0;
    if (this.#waiting.length >= MAX_WAITING || pending >= MAX_PENDING_OF_AUTHENTICATOR) {
      return overloaded;
    }
    this.#pendingOf.set(jwt.identity, pending + 1);
    const verdict = this.#queued(async () => {
      const found = await verdictOf(token, jwt, check.algorithm, check.keys, this.#options.nowMs());
      this.#remember(key, found, token.length);
      this.#ended(jwt.identity);
      return found;
    });
    this.#pending.set(key, verdict);
    return verdict;
  }

  async #queued(work: () => Promise<TokenVerdict>): Promise<TokenVerdict> {
    if (this.#running >= MAX_RUNNING) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running++;
    }
    try {
      return await work();
    } finally {
      // The next one takes over the place of this one.
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#running--;
      } else {
        next();
      }
    }
  }

  #ended(authenticator: string): void {
    const others = this.#pendingOf.get(authenticator)! - 1;
    if (others === 0) {
      this.#pendingOf.delete(authenticator);
    } else {
      this.#pendingOf.set(authenticator, others);
    }
  }

  #remember(key: string, verdict: TokenVerdict, tokenLength: number): void {
    this.#pending.delete(key);
    if (verdict.type === 'verified') {
      this.#verified.set(key, verdict, verdict.expiresAtMs, tokenLength);
    } else {
      this.#refused.set(key, verdict, this.#options.nowMs() + REFUSED_MS, 0);
    }
  }
}

async function verdictOf(
  token: string,
  { authenticator }: CompiledJwt,
  algorithm: string,
  keys: readonly PublicJwk[],
  nowMs: number,
): Promise<TokenVerdict> {
  const { issuer, audiences, clockSkewSeconds, identity } = authenticator;
  for (const key of keys) {
    try {
      const { payload } = await jwtVerify(token, await importedKey(key, algorithm), {
        algorithms: [algorithm],
        issuer,
        audience: [...audiences],
        clockTolerance: clockSkewSeconds,
        currentDate: new Date(nowMs),
        requiredClaims: ['exp'],
      });
      const caller = callerOf(payload, identity);
      const expiresAtMs = (payload.exp! + clockSkewSeconds) * 1000;
      return caller === undefined ? tooManyGroups : { type: 'verified', caller, expiresAtMs };
    } catch {
      // The signature, a claim or the key is not valid; without a `kid`, another key may be.
    }
  }
  return refused;
}

type ImportedKey = Promise<CryptoKey | Uint8Array>;

/** Keys by algorithm. A key keeps its object while its line of the policy stays the same. */
const importedKeys = new WeakMap<PublicJwk, Map<string, ImportedKey>>();

function importedKey(key: PublicJwk, algorithm: string): ImportedKey {
  let ofKey = importedKeys.get(key);
  if (ofKey === undefined) {
    ofKey = new Map();
    importedKeys.set(key, ofKey);
  }
  let imported = ofKey.get(algorithm);
  if (imported === undefined) {
    imported = importJWK({ ...key }, algorithm);
    ofKey.set(algorithm, imported);
  }
  return imported;
}
