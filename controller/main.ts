/**
 * The control plane: reads users' resources, translates them, and brings the cluster and the sidecars to what the plan says. Each run reads all and then
 * writes all that differs; only the leader writes and serves policies.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayPolicy } from '../contract/policy.ts';
import { badIfTrue } from '../crds/conditions.ts';
import type { Address } from '../runtime/environment.ts';
import type { Log } from '../runtime/log.ts';
import type { ClusterOptions, ClusterPlan, DerivedSecret } from '../translate/kubernetes/plan.ts';
import { translateCluster } from '../translate/kubernetes/translate-cluster.ts';
import { refKey } from '../translate/report.ts';
import { type Client, newClient } from './api/client.ts';
import { findCredentials } from './api/credentials.ts';
import { type Events, newEvents } from './api/events.ts';
import { type Election, stand } from './api/lease.ts';
import { type Loop, startLoop } from './api/loop.ts';
import type { KubeObject } from './api/object.ts';
import { applyAll, hasRemovals, prune, type Wanted } from './api/write.ts';
import { type CertificateAuthority, caBundleConfigMap, openCertificateAuthority } from './certificate-authority.ts';
import { withObserved } from './observe/conditions.ts';
import { type History, newHistory } from './observe/contents.ts';
import { gatewaysOf } from './observe/fleets.ts';
import { replacedAt } from './observe/replaced.ts';
import { unenforceableOn } from './observe/unenforceable.ts';
import { verdictsIn } from './observe/verdicts.ts';
import { type PushServer, startPushServer } from './push/server.ts';
import type { PodIdentity } from './push/sidecar.ts';
import { generatedResources, ownResources } from './resources.ts';
import { openSources, type Sources } from './sources.ts';
import { writeStatuses } from './statuses.ts';

export interface ControllerOptions {
  /** Its own. */
  readonly namespace: string;
  /** Names this replica among the others. */
  readonly identity: string;
  /** Empty: all. */
  readonly watchNamespaces: readonly string[];
  readonly proxyNamespaces: readonly string[];
  readonly reach: ClusterOptions['reach'];
  readonly listen: Extract<Address, { readonly type: 'tcp' }>;
  readonly log: Log;
}

export interface Controller {
  readonly leading: boolean;
  /** What has not been seen yet; empty: it works. */
  missing(): readonly string[];
  readonly counts: { readonly runs: number; readonly writes: number; readonly statusWrites: number };
  close(): Promise<void>;
}

/** Where the sidecar's socket is in proxy pods; the chart's patch mounts it there. */
const EXTPROC_SOCKET = '/run/tallygate/extproc.sock';
const TOKEN_AUDIENCE = 'tallygate';
/** Changes come in bursts; a run gathers those of so long. */
const GATHER_MS = 20;
/** What watches may have missed is found then. */
const EVERY_MS = 5 * 60_000;
/** Sidecars come to a new leader within seconds. */
const SETTLE_MS = 15_000;
/** Routes that are not wanted any more wait so long for the sidecars to stop using them. */
const ACKNOWLEDGED_WITHIN_MS = 2_000;
const TRUST_EVERY_MS = 10 * 60_000;

export async function startController(options: ControllerOptions): Promise<Controller> {
  const { namespace, log } = options;
  let election: Election | undefined;
  const client = newClient(
    await findCredentials(process.env),
    () => void election?.leading,
    (write) => log.debug(write, 'writes'),
  );
  const events = newEvents(client, options.identity, log);
  const history = newHistory();
  let settledAtMs = 0;
  const counts = { runs: 0, writes: 0, statusWrites: 0 };
  let worldChanged = true;
  let plan: ClusterPlan | undefined;
  let planSecret: string | undefined;
  let leader: AbortSignal | undefined;
  let loop: Loop | undefined;
  const sources = openSources({
    ...{ client, log, namespaces: options.watchNamespaces },
    proxyNamespaces: [...options.proxyNamespaces, namespace],
    changed(what) {
      if (what === 'world') {
        worldChanged = true;
      }
      loop?.ask();
    },
  });
  const ca = openCertificateAuthority(client, namespace, () => loop?.ask(), log);
  const push = await startPushServer({
    address: options.listen,
    credentials: ca.certificate,
    review: (token) => review(client, token),
    fleetOf: (pod) => sources.pod(pod.podUid)?.fleet,
    outdated: (epoch) => election?.raise(epoch),
    log,
  });
  push.onChange(() => loop?.ask());

  const run = async (signal: AbortSignal): Promise<boolean> => {
    if (leader === undefined || leader.aborted) {
      return true;
    }
    const term = AbortSignal.any([signal, leader]);
    if (plan === undefined && sources.missing().length > 0) {
      return true;
    }
    await ca.keep(term);
    const routeSecret = ca.routeSecret();
    // What was written comes back by the watch, and asks for another run.
    if (routeSecret === undefined) {
      return true;
    }
    if (worldChanged || plan === undefined || routeSecret !== planSecret) {
      const world = sources.world();
      // Before all is seen, what is there could look as if nobody wanted it.
      if (sources.missing().length > 0) {
        return true;
      }
      worldChanged = false;
      planSecret = routeSecret;
      plan = translateCluster(world, { extprocSocket: EXTPROC_SOCKET, reach: options.reach, routeSecret });
    }
    counts.runs++;
    const all = wanted(plan, sources, ca, options.proxyNamespaces);
    const applied = await applyAll(client, all, term, log);
    // A target that the policy names should be there; one that is taken away should not be named any more.
    publish(push, plan, sources, history);
    if (hasRemovals(all)) {
      await acknowledged(push, term);
    }
    const pruned = await prune(client, all, term, log);
    counts.writes += applied.writes + pruned.writes;
    const failed = await report(
      plan,
      sources,
      push,
      { client, events, history, counts, log, settling: Date.now() < settledAtMs },
      term,
    );
    return applied.failures.length + pruned.failures.length + failed === 0;
  };
  loop = startLoop({ name: 'reconcile', gatherMs: GATHER_MS, everyMs: EVERY_MS, run, log });
  const renewal = setInterval(() => {
    ca.renew().catch((error) => log.error({ error }, 'the server certificate could not be renewed'));
    loop?.ask();
  }, TRUST_EVERY_MS).unref();
  const standing = stand({
    ...{ client, namespace, name: 'tallygate-controller', identity: options.identity, log },
    lead(epoch, signal) {
      leader = signal;
      settledAtMs = Date.now() + SETTLE_MS;
      setTimeout(() => loop?.ask(), SETTLE_MS).unref();
      push.setLeader(epoch);
      signal.addEventListener('abort', () => push.setLeader(undefined), { once: true });
      loop?.ask();
    },
  });
  election = standing;
  return {
    get leading() {
      return standing.leading;
    },
    missing: sources.missing,
    counts,
    async close() {
      clearInterval(renewal);
      await loop?.close();
      await standing.close();
      await push.close();
      sources.close();
      ca.close();
      client.close();
    },
  };
}

/** Of a plan, by Gateways: most runs only look at what was observed. */
const policiesOf = new WeakMap<ClusterPlan, Map<string, GatewayPolicy>>();

function publish(push: PushServer, plan: ClusterPlan, sources: Sources, history: History): void {
  const gateways = sources.gateways();
  const fleets = new Set([...sources.pods()].map(({ fleet }) => fleet));
  const known = policiesOf.get(plan) ?? new Map<string, GatewayPolicy>();
  policiesOf.set(plan, known);
  const policies = new Map<string, GatewayPolicy>();
  for (const fleet of fleets) {
    const own = gatewaysOf(fleet, gateways);
    const key = own.join();
    const policy = known.get(key) ?? plan.policyFor(own);
    known.set(key, policy);
    policies.set(fleet, policy);
    history.published(fleet, policy);
  }
  push.publish(policies);
}

/** All connected sidecars have what was published, or it has taken too long. */
async function acknowledged(push: PushServer, signal: AbortSignal): Promise<void> {
  const endMs = performance.now() + ACKNOWLEDGED_WITHIN_MS;
  const late = () =>
    push.sidecars().some(({ fleet, acknowledged: has }) => has?.version !== push.published(fleet)?.version);
  while (late() && performance.now() < endMs && !signal.aborted) {
    await sleep(20);
  }
}

function wanted(
  plan: ClusterPlan,
  sources: Sources,
  ca: CertificateAuthority,
  proxyNamespaces: readonly string[],
): readonly Wanted[] {
  const bundle = ca.bundle();
  const places = new Set([...proxyNamespaces, ...[...sources.pods()].map((pod) => pod.namespace)]);
  const there = [...places].filter(sources.hasNamespace);
  const bundles = bundle === undefined ? [] : there.map((place) => caBundleConfigMap(place, bundle));
  const objects: readonly KubeObject[] = [...bundles, ...plan.objects, ...plan.secrets.map(secretObject)];
  const byKind = Map.groupBy(objects, ({ kind }) => kind);
  return generatedResources.map((resource) => ({
    resource,
    objects: byKind.get(resource.kind) ?? [],
    actual: sources.managed(resource.kind),
  }));
}

function secretObject({ metadata, type, data }: DerivedSecret): KubeObject {
  const credential = Buffer.from(data.credential.reveal()).toString('base64');
  return { apiVersion: 'v1', kind: 'Secret', metadata, type, data: { credential } };
}

interface Outlets {
  readonly client: Client;
  readonly events: Events;
  readonly history: History;
  readonly counts: { statusWrites: number };
  readonly settling: boolean;
  readonly log: Log;
}

/** How many statuses could not be written. */
async function report(
  plan: ClusterPlan,
  sources: Sources,
  push: PushServer,
  { client, events, history, counts, log, settling }: Outlets,
  signal: AbortSignal,
): Promise<number> {
  const httpRoutes = sources.managed('HTTPRoute');
  const entries = new Set(plan.generatedRoutes.filter(({ route }) => route === '').map(({ httpRoute }) => httpRoute));
  const users = sources.usersPolicies();
  const unenforceable = unenforceableOn(users, httpRoutes, entries);
  const verdict = verdictsIn(httpRoutes, sources.managed('EnvoyExtensionPolicy'));
  const statuses = withObserved(plan.statuses, {
    gateways: sources.gateways(),
    pods: [...sources.pods()],
    sidecars: push.sidecars(),
    published: push.published,
    isCurrent: history.isCurrent,
    settling,
    generatedRoutes: plan.generatedRoutes,
    verdict: (httpRoute, gateway) => verdict(httpRoute, gateway) ?? unenforceable(httpRoute),
    replaced: replacedAt(users, sources.gateways()),
  });
  const byObject = new Map(statuses.map((status) => [refKey(status.object), status]));
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  let failed = 0;
  for (const resource of ownResources) {
    const group = resource.apiVersion.slice(0, resource.apiVersion.indexOf('/'));
    const own = new Map(
      [...byObject].flatMap(([, status]) =>
        status.object.group === group && status.object.kind === resource.kind
          ? [[`${status.object.namespace}/${status.object.name}`, status] as const]
          : [],
      ),
    );
    const done = await writeStatuses(client, resource, sources.own(resource.kind), own, now, signal, log);
    counts.statusWrites += done.writes;
    failed += done.failed;
    for (const { object, condition } of done.transitions) {
      const { type, status, reason, message } = condition;
      const bad = status !== 'Unknown' && badIfTrue.has(type) === (status === 'True');
      if (status === 'Unknown' || message === '') {
        continue;
      }
      events.tell({ object, type: bad ? 'Warning' : 'Normal', reason, note: `${type}: ${message}` });
    }
  }
  return failed;
}

/** Whose token it is, if it is one for us. */
async function review(client: Client, token: string): Promise<PodIdentity | undefined> {
  const body = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, audiences: [TOKEN_AUDIENCE] },
  };
  const { status } = (await client.call('/apis/authentication.k8s.io/v1/tokenreviews', { method: 'POST', body })) as {
    readonly status?: {
      readonly authenticated?: boolean;
      readonly audiences?: readonly string[];
      readonly user?: { readonly username?: string; readonly extra?: Readonly<Record<string, readonly string[]>> };
    };
  };
  const { extra = {}, username = '' } = status?.user ?? {};
  const [podName] = extra['authentication.kubernetes.io/pod-name'] ?? [];
  const [podUid] = extra['authentication.kubernetes.io/pod-uid'] ?? [];
  const namespace = /^system:serviceaccount:([^:]+):/.exec(username)?.[1];
  if (!status?.authenticated || !status.audiences?.includes(TOKEN_AUDIENCE)) {
    return undefined;
  }
  if (podName === undefined || podUid === undefined || namespace === undefined) {
    return undefined;
  }
  return { podName, podUid, namespace };
}
