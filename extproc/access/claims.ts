/** The identity that the claims of a token prove. */

import type { ClaimSource, JwtAuthenticator } from '../../contract/access-policy.ts';
import { MAX_GROUPS } from '../../contract/condition.ts';
import type { Caller } from '../caller.ts';

export type Claims = Readonly<Record<string, unknown>>;

/** Returns the caller, or undefined for a token with too many groups. */
export function callerOf(claims: Claims, { tenant, user, groups }: JwtAuthenticator['identity']): Caller | undefined {
  const named = namesOf(groups && claimValue(claims, groups.claim));
  if (named.length > MAX_GROUPS) {
    return undefined;
  }
  return {
    tenant: oneValue(claims, tenant),
    user: oneValue(claims, user),
    groups: named,
    apiKey: undefined,
    claim: (name) => oneValue(claims, { claim: name }),
  };
}

function oneValue(claims: Claims, source: ClaimSource | undefined): string | undefined {
  const value = source && claimValue(claims, source.claim);
  return text(Array.isArray(value) && value.length === 1 ? value[0] : value);
}

function namesOf(value: unknown): readonly string[] {
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.filter((each) => typeof each === 'string' && each !== '') as string[];
}

/** Numbers are common as ids of tenants. An empty text identifies nobody. */
function text(value: unknown): string | undefined {
  if (typeof value === 'number' || typeof value === 'boolean') {
    return String(value);
  }
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Names of claims may contain dots (`https://example.org/team`), so the whole name comes first. */
function claimValue(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) {
    return claims[name];
  }
  let value: unknown = claims;
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, part)) {
      return undefined;
    }
    value = (value as Claims)[part];
  }
  return value;
}
