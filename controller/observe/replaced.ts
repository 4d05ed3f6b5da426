/**
 * Processors of users' own that ours takes the place of: Envoy Gateway merges our policy on a route into the one of its Gateway, but of two lists `extProc` it
 * keeps the route's. Wasm, Lua and modules of the Gateway's policy stay.
 */
import { keyOf } from '../api/object.ts';
import type { GatewayFacts } from './fleets.ts';
import { reached, type UsersPolicy } from './users-policies.ts';

const fix =
  'put the processor before or behind the Gateway, or write it in Lua or Wasm, which stay in force beside Tallygate’s';

/** What to say of the routes at a listener of a Gateway (`NAMESPACE/NAME`), undefined: at all of its listeners. */
export function replacedAt(
  policies: readonly UsersPolicy[],
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
        reached(policy, 'Gateway', name, facts.labels).some(
          (section) => section === undefined || listener === undefined || section === listener,
        ),
      )
      .map(keyOf);
    if (names.length === 0) {
      return undefined;
    }
    return `extProc of EnvoyExtensionPolicy ${names.join(', ')} is not called for requests of this route, because Tallygate’s takes its place; fix: ${fix}`;
  };
}
