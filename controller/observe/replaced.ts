/**
 * Finds users' external processors that Tallygate's replaces. Envoy Gateway merges the generated
 * policy of a route with the policy of its Gateway, but of the two `extProc` lists it keeps the
 * route's. Wasm, Lua and dynamic modules of the Gateway's policy stay in force.
 */
import { keyOf } from '../api/object.ts';
import type { GatewayFacts } from './fleets.ts';
import { targetedSections, type UserPolicy } from './user-policies.ts';

const fix = 'run the processor before or behind the Gateway, or write it in Lua or Wasm, which stay in force';

/**
 * Returns the message for routes at a listener of a Gateway (`NAMESPACE/NAME`); listener undefined:
 * at any listener.
 */
export function replacedAt(
  policies: readonly UserPolicy[],
  gateways: readonly GatewayFacts[],
): (gateway: string, listener: string | undefined) => string | undefined {
  const processors = policies.filter(({ kind, asks }) => kind === 'EnvoyExtensionPolicy' && asks.includes('extProc'));
  return (gateway, listener) => {
    const facts = gateways.find(({ name }) => name === gateway);
    if (facts === undefined) {
      return undefined;
    }
    const [namespace, name = ''] = gateway.split('/');
    const names = processors
      .filter((policy) => policy.namespace === namespace)
      .filter((policy) =>
        targetedSections(policy, 'Gateway', name, facts.labels).some(
          (section) => section === undefined || listener === undefined || section === listener,
        ),
      )
      .map(keyOf);
    if (names.length === 0) {
      return undefined;
    }
    return `extProc of EnvoyExtensionPolicy ${names.join(', ')} is not called for requests of this route, because Tallygate’s replaces it; fix: ${fix}`;
  };
}
