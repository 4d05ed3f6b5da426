/**
 * Decides where the author of a policy may make the controller, `tallygate run` or extproc connect
 * to.
 */
import { GROUP } from '../../crds/schema.ts';
import type { TranslationContext } from '../context.ts';
import { referenceGrantHint } from '../resource-index.ts';
import { isAllowedDestination, isNumber, refusedDestination, serviceNamed } from './destinations.ts';

/** What is wrong with a URL, and the fix. */
export interface UrlFault {
  readonly message: string;
  readonly fix: string;
}

/** The policy that names a URL, and the words for what the URL is. */
export interface UrlUser {
  readonly kind: 'AIAccessPolicy' | 'AIGuardrailPolicy' | 'AIQuotaPolicy';
  readonly namespace: string;
  readonly example: string;
  /** As in "use the issuer's public host". */
  readonly owner: string;
  /** Why a connection needs TLS. */
  readonly risk: string;
}

/**
 * Returns why no request may be sent to a URL. The rules for AIBackends apply, and the connection
 * must be safe: without TLS only on loopback of one machine, or where the operator allows the
 * destination.
 */
export function destinationFault(text: string, user: UrlUser, context: TranslationContext): UrlFault | undefined {
  const { mode, resources } = context;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const host = url?.hostname.replace(/^\[|\]$/g, '') ?? '';
  if (url === undefined || host === '' || isNumber(host)) {
    return { message: `"${text}" is not a URL`, fix: `write a URL such as ${user.example}` };
  }
  const reach = mode.type === 'Kubernetes' ? mode.reach : undefined;
  const refused = refusedDestination(host, reach);
  if (refused !== undefined) {
    const allowed =
      reach === undefined ? '' : ', or ask the operator to add it to controller.allowedDestinations of the chart';
    return { message: `${host} is not allowed: ${refused}`, fix: `use ${user.owner} public host${allowed}` };
  }
  const isTrusted =
    reach === undefined
      ? refusedDestination(host, noReach) === 'a loopback address'
      : isAllowedDestination(host, reach);
  if (url.protocol !== 'https:' && !isTrusted) {
    const allowed =
      reach === undefined ? '' : `, or ask the operator to add ${host} to controller.allowedDestinations of the chart`;
    return { message: `${text} is not an https URL`, fix: `use https, so that nobody can ${user.risk}${allowed}` };
  }
  const service = mode.type === 'Kubernetes' ? serviceNamed(host, mode.reach, mode.services) : undefined;
  const from = { group: GROUP, kind: user.kind, namespace: user.namespace };
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
