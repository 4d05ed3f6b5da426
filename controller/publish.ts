/** Publishes the policy of each fleet to its sidecars, and waits for their acknowledgements. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayPolicy } from '../contract/policy.ts';
import type { ClusterPlan } from '../translate/kubernetes/plan.ts';
import type { DetectorSecret } from '../translate/plan.ts';
import type { History } from './observe/contents.ts';
import { gatewaysOf } from './observe/fleets.ts';
import type { PushServer } from './push/server.ts';
import type { ClusterSources } from './sources.ts';

const POLL_MS = 20;

/** What the sidecars of a fleet receive. */
interface FleetContent {
  readonly policy: GatewayPolicy;
  readonly secrets: readonly DetectorSecret[];
}

/** Contents of a plan by Gateways, because most runs publish the plan of the run before. */
const contentsOf = new WeakMap<ClusterPlan, Map<string, FleetContent>>();

export function publishPolicies(push: PushServer, plan: ClusterPlan, sources: ClusterSources, history: History): void {
  const gateways = sources.gateways();
  const fleets = new Set([...sources.pods()].map(({ fleet }) => fleet));
  const known = contentsOf.get(plan) ?? new Map<string, FleetContent>();
  contentsOf.set(plan, known);
  const policies = new Map<string, GatewayPolicy>();
  const secrets = new Map<string, readonly DetectorSecret[]>();
  for (const fleet of fleets) {
    const served = gatewaysOf(fleet, gateways);
    const key = served.join();
    const content = known.get(key) ?? { policy: plan.policyFor(served), secrets: plan.detectorSecretsFor(served) };
    known.set(key, content);
    policies.set(fleet, content.policy);
    secrets.set(fleet, content.secrets);
    history.published(fleet, content.policy);
  }
  push.shareSecrets(secrets);
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
