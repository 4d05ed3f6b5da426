/** What it means for an object that proxies do not reach the shared quota store. */
import type { GatewayPolicy, Quota } from '../../contract/policy.ts';
import { SharedStoreReport_State } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import type { ConnectedSidecar } from '../push/sidecar.ts';
import type { ObjectKey } from './contents.ts';

/** Keeps messages short. */
const MAX_NAMES = 5;

const meanings: readonly (readonly [Quota['onStoreLoss'], string])[] = [
  ['FailClosed', 'refuse what their allowances do not cover'],
  ['Degrade', 'grant 5 percent of the amount beyond their allowances'],
  ['FailOpen', 'serve everything and charge it later'],
];

/** Returns why a sidecar does not count in the store; undefined: it does, or has not reported. */
export function lossOf(sidecar: ConnectedSidecar): string | undefined {
  if (!sidecar.readsSharedStore) {
    return 'counts for itself, because its version does not know shared stores; fix: roll the proxies out again';
  }
  if (!sidecar.mayShareStore) {
    return 'counts for itself, because its namespace does not get the password; fix: list it in quotaStore.proxyNamespaces';
  }
  if (sidecar.sharedStore === undefined) {
    return undefined;
  }
  const { state, reason } = sidecar.sharedStore;
  switch (state) {
    case SharedStoreReport_State.AVAILABLE:
      return undefined;
    case SharedStoreReport_State.LOST:
      return reason || 'the connection is lost';
    default:
      // Without a reason, it has not received the address yet.
      return reason || undefined;
  }
}

/** Returns whether a sidecar has reported that it reaches the store, or why it does not. */
export function hasReported(sidecar: ConnectedSidecar): boolean {
  return sidecar.sharedStore?.state === SharedStoreReport_State.AVAILABLE || lossOf(sidecar) !== undefined;
}

/** Returns what the quotas do meanwhile; undefined if none of them refuses anything. */
export function meaningOf(quotas: readonly Quota[]): string | undefined {
  const parts = meanings.flatMap(([mode, meaning]) => {
    const names = quotas.filter(({ onStoreLoss }) => onStoreLoss === mode).map(({ id }) => id);
    return names.length === 0 ? [] : [`under ${mode} (${listed(names)}), they ${meaning}`];
  });
  return parts.length === 0 ? undefined : parts.join('; ');
}

function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMES;
  return `${names.slice(0, MAX_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** The enforced quotas of a policy by object, because most views ask for every object. */
const quotasByObject = new WeakMap<GatewayPolicy, ReadonlyMap<ObjectKey, readonly Quota[]>>();

/** Returns the quotas that apply to an AIGatewayRoute, or those of an AIQuotaPolicy. */
export function enforcedQuotas(policy: GatewayPolicy, key: ObjectKey): readonly Quota[] {
  const known = quotasByObject.get(policy) ?? sorted(policy);
  quotasByObject.set(policy, known);
  return known.get(key) ?? [];
}

function sorted({ virtualHosts, quotas }: GatewayPolicy): ReadonlyMap<ObjectKey, readonly Quota[]> {
  const enforced = new Map(quotas.filter(({ mode }) => mode === 'Enforce').map((quota) => [quota.id, quota]));
  const found = new Map<ObjectKey, Set<Quota>>();
  const add = (key: ObjectKey, quota: Quota) => found.set(key, (found.get(key) ?? new Set()).add(quota));
  for (const { rules, passthrough } of virtualHosts) {
    for (const { route, quotas: ids } of [...rules, ...passthrough]) {
      for (const quota of ids.flatMap((id) => enforced.get(id) ?? [])) {
        add(`AIGatewayRoute ${route}`, quota);
        // `NAMESPACE/POLICY/QUOTA`
        add(`AIQuotaPolicy ${quota.id.slice(0, quota.id.lastIndexOf('/'))}`, quota);
      }
    }
  }
  return new Map([...found].map(([key, own]) => [key, [...own]]));
}
