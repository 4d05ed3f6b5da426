/** Writes the statuses of users' objects, and records an Event for each condition that changed. */
import { badIfTrue } from '../crds/conditions.ts';
import type { Log } from '../runtime/log.ts';
import type { ClusterPlan } from '../translate/kubernetes/plan.ts';
import type { ObjectStatus } from '../translate/plan.ts';
import type { KubeClient } from './api/client.ts';
import type { EventRecorder } from './api/events.ts';
import type { BudgetBoard } from './budget-board.ts';
import type { HealthBoard } from './health-board.ts';
import { withObserved } from './observe/conditions.ts';
import type { History } from './observe/contents.ts';
import { replacedAt } from './observe/replaced.ts';
import { unenforceableOn } from './observe/unenforceable.ts';
import { verdictsIn } from './observe/verdicts.ts';
import type { PushServer } from './push/server.ts';
import { ownResources } from './resources.ts';
import type { SharedStoreSource } from './shared-store.ts';
import type { ClusterSources } from './sources.ts';
import { type StatusWrites, writeStatuses } from './statuses.ts';

export interface ReportContext {
  readonly client: KubeClient;
  readonly sources: ClusterSources;
  readonly push: PushServer;
  readonly events: EventRecorder;
  readonly history: History;
  readonly sharedStore: SharedStoreSource;
  readonly budgets: BudgetBoard;
  readonly health: HealthBoard;
  readonly log: Log;
}

export interface ReportResult {
  readonly writes: number;
  readonly failed: number;
}

/** `settling`: this replica became leader a moment ago, and the sidecars are still connecting. */
export async function reportStatuses(
  plan: ClusterPlan,
  context: ReportContext,
  settling: boolean,
  signal: AbortSignal,
): Promise<ReportResult> {
  const { client, sources, log } = context;
  const statuses = observedStatuses(plan, context, settling).map((status) =>
    context.health.withHealth(withBudgets(status, context.budgets)),
  );
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  let writes = 0;
  let failed = 0;
  for (const resource of ownResources) {
    const group = resource.apiVersion.slice(0, resource.apiVersion.indexOf('/'));
    const wanted = new Map(
      statuses
        .filter(({ object }) => object.group === group && object.kind === resource.kind)
        .map((status) => [`${status.object.namespace}/${status.object.name}`, status] as const),
    );
    const result = await writeStatuses(client, resource, sources.own(resource.kind), wanted, now, signal, log);
    writes += result.writes;
    failed += result.failed;
    recordTransitions(result.transitions, context.events);
  }
  return { writes, failed };
}

function observedStatuses(
  plan: ClusterPlan,
  { sources, push, history, sharedStore }: ReportContext,
  settling: boolean,
): readonly ObjectStatus[] {
  const httpRoutes = sources.managed('HTTPRoute');
  const entryRoutes = plan.generatedRoutes.filter(({ route }) => route === '').map(({ httpRoute }) => httpRoute);
  const userPolicies = sources.userPolicies();
  const unenforceable = unenforceableOn(userPolicies, httpRoutes, new Set(entryRoutes));
  const verdict = verdictsIn(httpRoutes, sources.managed('EnvoyExtensionPolicy'));
  return withObserved(plan.statuses, {
    gateways: sources.gateways(),
    pods: [...sources.pods()],
    sidecars: push.sidecars(),
    published: (fleet) => push.published(fleet),
    excessBytes: (fleet) => push.excessBytes(fleet),
    isCurrent: history.isCurrent,
    policy: history.policy,
    sharedStore: sharedStore.config() && { problem: sharedStore.problem() },
    settling,
    generatedRoutes: plan.generatedRoutes,
    verdict: (httpRoute, gateway) => verdict(httpRoute, gateway) ?? unenforceable(httpRoute),
    replaced: replacedAt(userPolicies, sources.gateways()),
  });
}

function withBudgets(status: ObjectStatus, board: BudgetBoard): ObjectStatus {
  const { kind, namespace, name } = status.object;
  const budgets = kind === 'AIQuotaPolicy' ? board.of(`${namespace}/${name}`) : undefined;
  return budgets === undefined ? status : { ...status, budgets };
}

function recordTransitions(transitions: StatusWrites['transitions'], events: EventRecorder): void {
  for (const { object, condition } of transitions) {
    const { type, status, reason, message } = condition;
    if (status === 'Unknown' || message === '') {
      continue;
    }
    const isBad = badIfTrue.has(type) === (status === 'True');
    events.record({ object, type: isBad ? 'Warning' : 'Normal', reason, note: `${type}: ${message}` });
  }
}
