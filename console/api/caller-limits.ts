/**
 * Bounds what callers cost that have no valid credential: so many requests a minute of one address,
 * of one peer (a proxy may send requests of many addresses), and in total. A credential that was
 * valid a short time ago passes all of these bounds, so nobody shuts out those who are signed in.
 */
import { hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP, isIPv6 } from 'node:net';
import type { CredentialHeaders } from './source.ts';

interface CallerRates {
  readonly ofAddress: number;
  readonly ofPeer: number;
  readonly inTotal: number;
}

/** Requests in a minute, and at once. The page sends one before somebody has signed in. */
const unknownRates: CallerRates = { ofAddress: 30, ofPeer: 120, inTotal: 300 };
const withoutCredentialRates: CallerRates = { ofAddress: 60, ofPeer: 240, inTotal: 600 };

const MINUTE_MS = 60_000;
/** Addresses and peers that are kept; the oldest is forgotten. */
const MAX_BUCKETS = 4_096;
/** Credentials that are kept. */
const MAX_VALID = 1_000;
const VALID_MS = 10 * MINUTE_MS;
/** Of one valid credential, so that nobody takes all turns of the others. */
const MAX_AT_ONCE = 24;

/** Where a request comes from, and with which credential. */
export interface LimitedCaller {
  readonly address: string;
  readonly peer: string;
  /** A digest; undefined: there is none. */
  readonly credential: string | undefined;
}

export function callerOf({ headers, socket }: IncomingMessage, credential: CredentialHeaders): LimitedCaller {
  const peer = networkOf(socket.remoteAddress ?? '');
  // Each proxy appends whom it got the request from.
  const last = String(headers['x-forwarded-for'] ?? '')
    .split(',')
    .at(-1)!
    .trim();
  const values = [credential.authorization, credential['x-api-key']];
  const isThere = values.some((value) => value !== undefined);
  return {
    address: isIP(last) === 0 ? peer : `${peer} ${networkOf(last)}`,
    peer,
    credential: isThere ? hash('sha256', JSON.stringify(values), 'base64') : undefined,
  };
}

/** Whoever has an IPv6 address has the 2^64 of its network. */
function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').split('%')[0]!;
  if (!isIPv6(plain)) {
    return plain;
  }
  const [head = '', tail] = plain.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}

interface ValidCredential {
  seenMs: number;
  open: number;
}

/** A request that may go on; `done` must be called with its status. */
export interface AdmittedCall {
  readonly type: 'admitted';
  done(status: number): void;
}

export class CallerLimits {
  readonly #now: () => number;
  readonly #unknown: RateLimit;
  readonly #withoutCredential: RateLimit;
  readonly #valid = new Map<string, ValidCredential>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#unknown = new RateLimit(unknownRates);
    this.#withoutCredential = new RateLimit(withoutCredentialRates);
  }

  /** Admits a request, or returns after how many seconds the caller may come again. */
  admit(caller: LimitedCaller): AdmittedCall | { readonly type: 'limited'; readonly retryAfterSeconds: number } {
    const nowMs = this.#now();
    const { credential } = caller;
    const valid = credential === undefined ? undefined : this.#valid.get(credential);
    if (valid !== undefined && nowMs - valid.seenMs < VALID_MS) {
      return valid.open < MAX_AT_ONCE ? this.#ofValid(credential!, valid) : { type: 'limited', retryAfterSeconds: 1 };
    }
    const rates = credential === undefined ? this.#withoutCredential : this.#unknown;
    const waitMs = rates.take(caller, nowMs);
    return waitMs > 0
      ? { type: 'limited', retryAfterSeconds: Math.ceil(waitMs / 1000) }
      : { type: 'admitted', done: (status) => this.#finished(rates, caller, status) };
  }

  #ofValid(credential: string, valid: ValidCredential): AdmittedCall {
    valid.open++;
    return {
      type: 'admitted',
      done: (status) => {
        valid.open--;
        if (status === 401) {
          this.#valid.delete(credential);
        } else if (status === 200) {
          valid.seenMs = this.#now();
        }
      },
    };
  }

  #finished(rates: RateLimit, caller: LimitedCaller, status: number): void {
    // 403 and 503 may also tell that a credential counts for nothing, or cannot be verified.
    if (status !== 401 && status !== 403 && status !== 503) {
      rates.giveBack(caller);
    }
    if (status === 200 && caller.credential !== undefined) {
      this.#valid.delete(caller.credential);
      this.#valid.set(caller.credential, { seenMs: this.#now(), open: 0 });
      forgetOldest(this.#valid, MAX_VALID);
    }
  }
}

/** How many requests count at a time. */
interface Leak {
  level: number;
  atMs: number;
}

/** Counts requests of each address, of each peer and of all; each drains in a minute. */
class RateLimit {
  readonly #rates: CallerRates;
  readonly #addresses = new Map<string, Leak>();
  readonly #peers = new Map<string, Leak>();
  readonly #all = new Map<string, Leak>();

  constructor(rates: CallerRates) {
    this.#rates = rates;
  }

  /** Counts a request, and returns 0; or how long the caller has to wait. */
  take(caller: LimitedCaller, nowMs: number): number {
    const buckets = this.#bucketsOf(caller, nowMs);
    const waitMs = Math.max(
      ...buckets.map(([bucket, rate]) => Math.max(0, ((bucket.level + 1 - rate) * MINUTE_MS) / rate)),
    );
    if (waitMs === 0) {
      for (const [bucket] of buckets) {
        bucket.level++;
      }
    }
    return waitMs;
  }

  giveBack({ address, peer }: LimitedCaller): void {
    for (const bucket of [this.#addresses.get(address), this.#peers.get(peer), this.#all.get('')]) {
      if (bucket !== undefined) {
        bucket.level = Math.max(0, bucket.level - 1);
      }
    }
  }

  #bucketsOf({ address, peer }: LimitedCaller, nowMs: number): readonly (readonly [Leak, number])[] {
    const { ofAddress, ofPeer, inTotal } = this.#rates;
    return [
      [drained(this.#addresses, address, ofAddress, nowMs), ofAddress],
      [drained(this.#peers, peer, ofPeer, nowMs), ofPeer],
      [drained(this.#all, '', inTotal, nowMs), inTotal],
    ];
  }
}

function drained(buckets: Map<string, Leak>, name: string, rate: number, nowMs: number): Leak {
  const { level, atMs } = buckets.get(name) ?? { level: 0, atMs: nowMs };
  const bucket = { level: Math.max(0, level - ((nowMs - atMs) * rate) / MINUTE_MS), atMs: nowMs };
  buckets.delete(name);
  buckets.set(name, bucket);
  forgetOldest(buckets, MAX_BUCKETS);
  return bucket;
}

function forgetOldest(entries: Map<string, unknown>, max: number): void {
  const [oldest] = entries.keys();
  if (entries.size > max && oldest !== undefined) {
    entries.delete(oldest);
  }
}
