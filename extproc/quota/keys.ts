/**
 * Maps a request to the buckets that it draws on. Two requests share a bucket only if the quota and
 * all values of its key are the same.
 */
import { hash } from 'node:crypto';
import type { KeyPart, Quota } from '../../contract/policy.ts';
import type { Caller } from '../caller.ts';
import type { BucketRef } from './store.ts';

/**
 * Longer values are hashed, to bound the memory of a key that a client chooses; in UTF-16 code
 * units.
 */
const MAX_VALUE_LENGTH = 256;

/**
 * Headers whose values are credentials. Their values are hashed, to keep them out of the journal,
 * logs and metrics.
 */
const secretHeaders: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'x-api-key',
  'api-key',
  'cookie',
]);

export interface KeyFacts {
  /** Returns all values of a header, by its lower-case name. */
  header(name: string): readonly string[];
  /** The name that the policy gives the model, not the client's. */
  readonly model: string;
  /** `NAMESPACE/ROUTE`. */
  readonly route: string;
  /** Undefined where no access policy applies. */
  readonly caller?: Caller | undefined;
  /** The group by which an access policy admitted the caller. */
  readonly group?: string | undefined;
}

export interface MissingKey {
  readonly quota: Quota;
  readonly part: KeyPart;
  readonly why: 'missing' | 'empty' | 'several';
}

/**
 * Returns one bucket for each quota, or the missing key of a quota with `onMissingKey: Refuse`.
 * With `Shared`, all requests without a key share one bucket.
 */
export function bucketsFor(
  quotas: readonly Quota[],
  facts: KeyFacts,
): { readonly buckets: readonly BucketRef[] } | { readonly missing: MissingKey } {
  const buckets: BucketRef[] = [];
  for (const quota of quotas) {
    const values: string[] = [];
    let missing: MissingKey | undefined;
    for (const part of quota.key) {
      const value = partValue(part, facts);
      if (typeof value === 'string') {
        values.push(value);
        continue;
      }
      missing = { quota, part, why: value.why };
      if (quota.onMissingKey === 'Refuse') {
        return { missing };
      }
    }
    const ref = missing === undefined ? bucketRef(quota, values) : sharedBucketRef(quota);
    if (!buckets.some((other) => other.key === ref.key)) {
      buckets.push(ref);
    }
  }
  return { buckets };
}

export function bucketRef(quota: Quota, values: readonly string[]): BucketRef {
  let key = escaped(quota.id);
  for (const value of values) {
    key += `|${escaped(value)}`;
  }
  return { quota, key, values };
}

/** Its key contains an escape that no value can produce. */
function sharedBucketRef(quota: Quota): BucketRef {
  return { quota, key: `${escaped(quota.id)}|\\shared`, values: [] };
}

/** Returns one value of a key. */
export function partValue(part: KeyPart, facts: KeyFacts): string | { readonly why: MissingKey['why'] } {
  switch (part.type) {
    case 'Model':
      return bounded(facts.model);
    case 'Route':
      return facts.route;
    case 'Tenant':
      return identity(facts.caller?.tenant);
    case 'User':
      return identity(facts.caller?.user);
    case 'Group':
      return identity(facts.group);
    case 'APIKey':
      return identity(facts.caller?.apiKey);
    case 'Claim':
      return identity(facts.caller?.claim(part.claim));
    case 'Header': {
      const values = facts.header(part.name);
      const [value] = values;
      if (value === undefined) {
        return { why: 'missing' };
      }
      if (values.length > 1) {
        return { why: 'several' };
      }
      if (value === '') {
        return { why: 'empty' };
      }
      return secretHeaders.has(part.name) ? hashed(value) : bounded(value);
    }
  }
}

function identity(value: string | undefined): string | { readonly why: MissingKey['why'] } {
  if (value === undefined) {
    return { why: 'missing' };
  }
  return value === '' ? { why: 'empty' } : bounded(value);
}

/**
 * A client that sends the hash instead of the value reaches only a bucket whose value it already
 * knows.
 */
function bounded(value: string): string {
  return value.length <= MAX_VALUE_LENGTH ? value : hashed(value);
}

function hashed(value: string): string {
  return `sha256:${hash('sha256', value, 'base64url')}`;
}

function escaped(value: string): string {
  return value.includes('|') || value.includes('\\') ? value.replaceAll(/[|\\]/g, '\\$&') : value;
}
