/** Which access policies apply where. */
import { type KeySource, keySourceId } from '../../contract/public-keys.ts';
import { type AttachedPolicy, policiesOf } from '../attachment/policy-kind.ts';
import { compare } from '../object-names.ts';
import { accessPolicyKind, type CompiledAccess } from './access.ts';
import type { BrowserLogin } from './authenticators.ts';
import type { LinkedVirtualHost } from './virtual-hosts.ts';

/** Returns the policies that apply to at least one rule or passthrough. */
export function policiesInUse(
  virtualHosts: readonly LinkedVirtualHost[],
  policies: readonly AttachedPolicy[],
): readonly AttachedPolicy[] {
  const inUse = new Set(
    virtualHosts.flatMap(({ rules, passthrough }) => [...rules, ...passthrough].flatMap((each) => each.policies)),
  );
  return policies.filter((policy) => inUse.has(policy));
}

export function accessOf(policies: readonly AttachedPolicy[]): readonly CompiledAccess[] {
  return policiesOf(accessPolicyKind, policies).map(({ compiled }) => compiled);
}

export function accessNames(policies: readonly AttachedPolicy[]): readonly string[] {
  return accessOf(policies).map(({ policy }) => policy.name);
}

/** Returns the access policies that apply to every place of a virtual host. */
export function accessEverywhere({
  rules,
  passthrough,
}: Pick<LinkedVirtualHost, 'rules' | 'passthrough'>): readonly CompiledAccess[] {
  const [first, ...others] = [...rules, ...passthrough].map(({ policies }) => policies);
  return accessOf((first ?? []).filter((policy) => others.every((each) => each.includes(policy))));
}

/** Returns how browsers log in: a virtual host has one issuer, that of the outermost policy. */
export function browserLoginOf(virtualHost: LinkedVirtualHost): BrowserLogin | undefined {
  return accessWithLogin(virtualHost)?.browserLogin;
}

/** Returns the access policy by which browsers log in. */
export function accessWithLogin(virtualHost: LinkedVirtualHost): CompiledAccess | undefined {
  return accessEverywhere(virtualHost).find(({ browserLogin }) => browserLogin !== undefined);
}

/** Returns where the public keys of the access policies in use come from, sorted. */
export function jwksSources(
  virtualHosts: readonly LinkedVirtualHost[],
  policies: readonly AttachedPolicy[],
): readonly KeySource[] {
  const sources = accessOf(policiesInUse(virtualHosts, policies)).flatMap((each) => each.sources);
  return [...new Map(sources.map((source) => [keySourceId(source), source]))]
    .toSorted(([left], [right]) => compare(left, right))
    .map(([, source]) => source);
}
