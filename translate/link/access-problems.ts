/** Reports access policies that keep a listener closed, and logins without effect. */
import { type AttachedPolicy, policiesOf } from '../attachment/policy-kind.ts';
import { type Diagnostics, subject } from '../diagnostics.ts';
import { accessPolicyKind, type CompiledAccess } from './access.ts';
import type { GatewayListener } from './listeners.ts';
import type { LinkedVirtualHost } from './virtual-hosts.ts';

/** Returns the policies that would take an unverified client certificate for a proven one. */
function unproven({ acceptsUnverified }: GatewayListener, policies: readonly AttachedPolicy[]) {
  return policiesOf(accessPolicyKind, acceptsUnverified ? policies : []).filter(({ compiled }) =>
    compiled.policy.authenticators.some(({ type }) => type === 'ClientCertificate'),
  );
}

/** Returns whether a place must stay closed, because its client certificates prove nothing. */
export function isUnproven(listener: GatewayListener, policies: readonly AttachedPolicy[]): boolean {
  return unproven(listener, policies).length > 0;
}

/** Warns about logins of browsers at host names where an outer policy has another one. */
export function reportLogins(virtualHosts: readonly LinkedVirtualHost[], diagnostics: Diagnostics): void {
  const logins = virtualHosts.map(({ hostname, rules, passthrough }) => {
    const places = [...rules, ...passthrough].flatMap(({ policies }) => policiesOf(accessPolicyKind, policies));
    return { hostname, policies: [...new Set(places)].filter(({ compiled }) => hasLogin(compiled)) };
  });
  const unused = logins.flatMap(({ hostname, policies: [first, ...others] }) =>
    others.map(({ policy }) => ({ policy, hostname, first: first?.name })),
  );
  for (const [policy, [place]] of Map.groupBy(unused, (each) => each.policy)) {
    const index = (policy.spec.authenticate ?? []).findIndex(({ type }) => type === 'OIDC');
    diagnostics.warning(subject('AIAccessPolicy', policy), {
      reason: 'NoEffect',
      path: `spec.authenticate[${index}]`,
      message: `browsers log in as AIAccessPolicy ${place?.first} says at host name ${place?.hostname}, so this login has no effect there`,
      fix: 'keep one of them, or use different host names',
    });
  }
}

function hasLogin({ policy }: CompiledAccess): boolean {
  return policy.authenticators.some((each) => each.type === 'JWT' && each.cookie !== undefined);
}

export function reportUnproven(virtualHosts: readonly LinkedVirtualHost[], diagnostics: Diagnostics): void {
  const places = virtualHosts.flatMap(({ listener, rules, passthrough }) =>
    [...rules, ...passthrough].flatMap(({ policies }) =>
      unproven(listener, policies).map(({ policy }) => ({ policy, listener })),
    ),
  );
  for (const [policy, [first]] of Map.groupBy(places, (place) => place.policy)) {
    const index = (policy.spec.authenticate ?? []).findIndex(({ type }) => type === 'ClientCertificate');
    diagnostics.error(subject('AIAccessPolicy', policy), {
      reason: 'Invalid',
      path: `spec.authenticate[${index}]`,
      message: `listener ${first?.listener.key} accepts certificates that nobody has verified (AllowInsecureFallback, or mode Request or RequireAny of a ClientTrafficPolicy), so the policy keeps it closed`,
      fix: 'use AllowValidOnly, or VerifyIfGiven of a ClientTrafficPolicy, or remove this authenticator',
    });
  }
}
