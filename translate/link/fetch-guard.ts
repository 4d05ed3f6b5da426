/** Decides where the gateway may fetch the keys of issuers from, by the rules for their URLs. */
import { isAllowedDestination, type Reach, refusedDestination } from './destinations.ts';

export interface FetchGuard {
  allowsPlainHttp(host: string): boolean;
  refusal(host: string, address: string): string | undefined;
}

/**
 * Without `reach` (standalone), loopback is allowed. A name that the operator allows may resolve to
 * any address; any other name and each of its addresses must pass.
 */
export function fetchGuard(reach: Reach | undefined): FetchGuard {
  return {
    // As for the URLs in policies, see `urlFault`.
    allowsPlainHttp: (host) =>
      reach === undefined
        ? refusedDestination(host, nothingAllowed) === 'a loopback address'
        : isAllowedDestination(host, reach),
    refusal(host, address) {
      if (reach !== undefined && isAllowedDestination(host, reach)) {
        return undefined;
      }
      return refusedDestination(host, reach) ?? refusedDestination(address, reach);
    },
  };
}

const nothingAllowed: Reach = { clusterDomain: 'cluster.local', allowedDestinations: [] };
