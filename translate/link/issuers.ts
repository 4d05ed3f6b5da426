/** Decides from which URLs the keys of issuers may be fetched. */
import type { KeySource } from '../../contract/public-keys.ts';
import type { AIAccessPolicy } from '../../crds/kinds.ts';
import { GROUP } from '../../crds/schema.ts';
import type { TranslationContext } from '../context.ts';
import { referenceGrantHint } from '../resource-index.ts';
import { isAllowedDestination, isNumber, refusedDestination, serviceNamed } from './destinations.ts';

/** What is wrong with a URL, and the fix. */
export interface UrlFault {
  readonly message: string;
  readonly fix: string;
}

/** Returns the source of the keys of an issuer with OpenID Connect Discovery. */
export function discoverySource(issuer: string): KeySource {
  return { type: 'Discovery', url: `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, issuer };
}

/**
 * Returns why a URL may not be fetched. The author of a policy makes the controller send a request
 * there, so the rules for AIBackends apply, and the keys must not be changed on their way: without
 * TLS only on loopback of one machine, or where the operator allows the destination.
 */
export function urlFault(text: string, policy: AIAccessPolicy, context: TranslationContext): UrlFault | undefined {
  const { mode, resources } = context;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const host = url?.hostname.replace(/^\[|\]$/g, '') ?? '';
  if (url === undefined || host === '' || isNumber(host)) {
    return { message: `"${text}" is not a URL`, fix: 'write a URL such as https://id.example.com' };
  }
  const reach = mode.type === 'Kubernetes' ? mode.reach : undefined;
  const refused = refusedDestination(host, reach);
  if (refused !== undefined) {
    const allowed =
      reach === undefined ? '' : ', or ask the operator to add it to controller.allowedDestinations of the chart';
    return { message: `${host} is not allowed: ${refused}`, fix: `use the issuer's public host${allowed}` };
  }
  const isTrusted =
    reach === undefined
      ? refusedDestination(host, noReach) === 'a loopback address'
      : isAllowedDestination(host, reach);
  if (url.protocol !== 'https:' && !isTrusted) {
    return { message: `${text} is not an https URL`, fix: 'use https, so that nobody can replace the keys' };
  }
  const service = mode.type === 'Kubernetes' ? serviceNamed(host, mode.reach, mode.services) : undefined;
  const from = { group: GROUP, kind: 'AIAccessPolicy', namespace: policy.metadata.namespace };
  if (service !== undefined) {
    const to = { group: '', kind: 'Service', ...service };
    if (!resources.permits(from, to)) {
      const message = `Service ${to.namespace}/${to.name} is in another namespace and not permitted by a ReferenceGrant there`;
      return { message, fix: referenceGrantHint(from, to) };
    }
  }
  return undefined;
}

/** Allows nothing that is refused by default. */
const noReach = { clusterDomain: 'cluster.local', allowedDestinations: [] };
