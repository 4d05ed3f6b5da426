/**
 * One run of the controller: reads everything, translates it, and writes what differs. Objects are
 * applied before the policy that names them is published, and removed after the sidecars have
 * acknowledged a policy without them.
 */
import type { Log } from '../runtime/log.ts';
import type { ClusterOptions, ClusterPlan, DerivedSecret } from '../translate/kubernetes/plan.ts';
import { translateCluster } from '../translate/kubernetes/translate-cluster.ts';
import type { KubeObject } from './api/object.ts';
import { applyAll, type DesiredObjects, hasRemovals, prune } from './api/write.ts';
import type { ClusterAlerts } from './budget-alerts.ts';
import { type CertificateAuthority, caBundleConfigMap } from './certificate-authority.ts';
import type { ClusterTokens } from './cloud-tokens.ts';
import type { ClusterIssuerKeys } from './issuer-keys.ts';
import { acknowledged, publishPolicies } from './publish.ts';
import { type ReportContext, reportStatuses } from './report.ts';
import { generatedResources } from './resources.ts';

/** The sidecar's socket in proxy pods, where the chart's patch mounts it. */
const EXTPROC_SOCKET = '/run/tallygate/extproc.sock';
/** How long the removal of routes waits for the sidecars to stop using them. */
const ACKNOWLEDGE_TIMEOUT_MS = 2_000;

export interface ReconcilerOptions extends ReportContext {
  readonly ca: CertificateAuthority;
  readonly issuerKeys: ClusterIssuerKeys;
  readonly tokens: ClusterTokens;
  readonly alerts: ClusterAlerts;
  readonly proxyNamespaces: readonly string[];
  readonly reach: ClusterOptions['reach'];
  readonly identityNamespaces: readonly string[];
  readonly log: Log;
}

export interface ReconcileCounts {
  runs: number;
  writes: number;
  statusWrites: number;
}

export class Reconciler {
  readonly counts: ReconcileCounts = { runs: 0, writes: 0, statusWrites: 0 };
  readonly #options: ReconcilerOptions;
  #worldChanged = true;
  #plan: ClusterPlan | undefined;
  #planSecret: string | undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Translates again in the next run. */
  worldChanged(): void {
    this.#worldChanged = true;
  }

  /** Returns whether all writes succeeded. `settling`: see `reportStatuses`. */
  async run(term: AbortSignal, settling: boolean): Promise<boolean> {
    const { client, sources, push, history, sharedStore, ca, issuerKeys, tokens, alerts, log } = this.#options;
    if (this.#plan === undefined && sources.missing().length > 0) {
      return true;
    }
    await ca.keep(term);
    await issuerKeys.restore(term);
    await tokens.restore(term);
    let plan = this.#currentPlan();
    if (plan !== undefined && (await tokens.want(plan.wantedTokens))) {
      this.#worldChanged = true;
      plan = this.#currentPlan();
    }
    if (plan === undefined) {
      return true;
    }
    this.counts.runs++;
    const all = this.#desired(plan);
    const applied = await applyAll(client, all, term, log);
    push.shareStore(sharedStore.config());
    publishPolicies(push, plan, sources, history);
    const follows = await alerts.follow(plan.webhooks, term);
    if (hasRemovals(all)) {
      await acknowledged(push, ACKNOWLEDGE_TIMEOUT_MS, term);
    }
    await issuerKeys.save(term);
    await tokens.save(term);
    const pruned = await prune(client, all, term, log);
    this.counts.writes += applied.writes + pruned.writes;
    const reported = await reportStatuses(plan, this.#options, settling, term);
    this.counts.statusWrites += reported.writes;
    return follows && applied.failures.length + pruned.failures.length + reported.failed === 0;
  }

  /** Returns undefined while something that the plan depends on has not been read yet. */
  #currentPlan(): ClusterPlan | undefined {
    const { sources, sharedStore, ca, issuerKeys, tokens, reach, identityNamespaces } = this.#options;
    const routeSecret = ca.routeSecret();
    // A secret that was just written arrives by the watch, which asks for another run.
    if (routeSecret === undefined) {
      return undefined;
    }
    if (!this.#worldChanged && this.#plan !== undefined && routeSecret === this.#planSecret) {
      return this.#plan;
    }
    sources.requestReferences();
    // An incomplete world would make existing objects look unwanted.
    if (sources.missing().length + sharedStore.missing().length > 0) {
      return undefined;
    }
    this.#worldChanged = false;
    this.#planSecret = routeSecret;
    const world = sources.world({ jwks: issuerKeys.results(), tokens: tokens.results() });
    this.#plan = translateCluster(world, {
      extprocSocket: EXTPROC_SOCKET,
      reach,
      identityNamespaces,
      routeSecret,
      sharesQuotas: sharedStore.config() !== undefined,
    });
    issuerKeys.want(this.#plan.jwksSources);
    return this.#plan;
  }

  #desired(plan: ClusterPlan): readonly DesiredObjects[] {
    const { sources } = this.#options;
    const objects = [...this.#caBundles(), ...plan.objects, ...plan.secrets.map(secretObject)];
    const byKind = Map.groupBy(objects, ({ kind }) => kind);
    return generatedResources.map((resource) => ({
      resource,
      objects: byKind.get(resource.kind) ?? [],
      actual: sources.managed(resource.kind),
    }));
  }

  /** The CA bundle, for each namespace where proxies run. */
  #caBundles(): readonly KubeObject[] {
    const { sources, ca, proxyNamespaces } = this.#options;
    const bundle = ca.bundle();
    if (bundle === undefined) {
      return [];
    }
    const namespaces = new Set([...proxyNamespaces, ...[...sources.pods()].map((pod) => pod.namespace)]);
    return [...namespaces]
      .filter((name) => sources.hasNamespace(name))
      .map((namespace) => caBundleConfigMap(namespace, bundle));
  }
}

function secretObject({ metadata, type, data }: DerivedSecret): KubeObject {
  const credential = Buffer.from(data.credential.reveal()).toString('base64');
  return { apiVersion: 'v1', kind: 'Secret', metadata, type, data: { credential } };
}
