/** Decides where the gateway may fetch the keys of issuers from, by the rules for their URLs. */
import { isAllowedDestination, type Reach, refusedDestination, type Services, serviceNamed } from './destinations.ts';

export interface FetchGuard {
  /** Whether URLs with `http:` may name this host. */
  allowsPlainHttp(host: string): boolean;
  /** Returns why requests to a host at an address are refused. */
  refusal(host: string, address: string): string | undefined;
  /** Returns why a document of another host may not name this host. */
  linkRefusal(host: string): string | undefined;
}

/** For one machine: loopback is allowed. */
export const standaloneFetchGuard: FetchGuard = {
  // As for the URLs in policies, see `urlFault`.
  allowsPlainHttp: (host) => refusedDestination(host, nothingAllowed) === 'a loopback address',
  refusal: (host, address) => refusedDestination(host, undefined) ?? refusedDestination(address, undefined),
  linkRefusal: () => undefined,
};

const nothingAllowed: Reach = { clusterDomain: 'cluster.local', allowedDestinations: [] };

/**
 * For a cluster. A name that the operator allows may resolve to any address; any other name and
 * each of its addresses must pass. The URL of a policy names a Service only if a ReferenceGrant
 * permits that, so nothing else may lead to one.
 */
export function clusterFetchGuard(reach: Reach, services: () => Services): FetchGuard {
  const serviceOf = (host: string) => {
    const found = serviceNamed(host, reach, services());
    return found === undefined ? undefined : `${found.namespace}/${found.name}`;
  };
  return {
    allowsPlainHttp: (host) => isAllowedDestination(host, reach),
    refusal(host, address) {
      if (isAllowedDestination(host, reach)) {
        return undefined;
      }
      const service = serviceOf(address);
      const isOther = service !== undefined && host !== address && service !== serviceOf(host);
      return (
        refusedDestination(host, reach) ??
        refusedDestination(address, reach) ??
        (isOther ? 'the address of a Service' : undefined)
      );
    },
    linkRefusal: (host) => (serviceOf(host) === undefined ? undefined : 'a Service'),
  };
}
