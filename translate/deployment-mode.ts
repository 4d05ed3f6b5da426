/** Where a plan is applied: on one machine, or in a Kubernetes cluster with Envoy Gateway. */
import type { Reach, Services } from './link/destinations.ts';

export type DeploymentMode =
  | {
      readonly type: 'Standalone';
      /** Whether the machine has a CA bundle, for backends with `tls.mode: System`. */
      readonly hasCaBundle: boolean;
    }
  | ({
      readonly type: 'Kubernetes';
      readonly reach: Reach;
      /** The namespaces whose backends may use the gateway's own identity in clouds. */
      readonly identityNamespaces: readonly string[];
      /** Whether all proxies count in one store. */
      readonly sharesQuotas: boolean;
      /** Whether the cluster has EnvoyPatchPolicies, which failover within a request needs. */
      readonly hasPatchPolicies: boolean;
    } & ClusterFacts);

export interface ClusterFacts {
  /** Labels of namespaces by name, for `allowedRoutes.namespaces.selector`. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly services: Services;
}
