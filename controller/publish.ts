/** Publishes the policy of each fleet to its sidecars, and waits for their acknowledgements. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayPolicy } from '../contract/policy.ts';
import type { ClusterPlan } from '../translate/kubernetes/plan.ts';
import type { History } from './observe/contents.ts';
import { gatewaysOf } from './observe/fleets.ts';
import type { PushServer } from './push/server.ts';
import type { ClusterSources } from './sources.ts';

const POLL_MS = 20;

/** Policies of a plan by Gateways, because most runs publish the plan of the run before. */
const policiesOf = new WeakMap<ClusterPlan, Map<string, GatewayPolicy>>();

export function publishPolicies(push: PushServer, plan: ClusterPlan, sources: ClusterSources, history: History): void {
  const gateways = sources.gateways();
  const fleets = new Set([...sources.pods()].map(({ fleet }) => fleet));
  const known = policiesOf.get(plan) ?? new Map<string, GatewayPolicy>();
  policiesOf.set(plan, known);
  const policies = new Map<string, GatewayPolicy>();
  for (const fleet of fleets) {
    const served = gatewaysOf(fleet, gateways);
    const key = served.join();
    const policy = known.get(key) ?? plan.policyFor(served);
    known.set(key, policy);
    policies.set(fleet, policy);
    history.published(fleet, policy);
  }
  push.publish(policies);
}

/** Resolves when all connected sidecars have acknowledged what was published, or at the timeout. */
export async function acknowledged(push: PushServer, timeoutMs: number, signal: AbortSignal): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  const isLate = () =>
    push.sidecars().some(({ fleet, acknowledged: has }) => has?.version !== push.published(fleet)?.version);
  while (isLate() && performance.now() < endMs && !signal.aborted) {
    await sleep(POLL_MS);
  }
}
