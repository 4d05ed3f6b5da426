/** What enters and leaves the translation for a cluster. */
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { ClientPolicySpec, TrafficPolicySpec } from '../../crds/gateway-api.ts';
import type { KubernetesObject } from '../../crds/kinds.ts';
import type { Reach } from '../destinations.ts';
import type { Json, ObjectStatus } from '../plan.ts';
import type { Problem } from '../problem.ts';
import type { ClusterFacts } from '../site.ts';
import type { SecretText, World } from '../world.ts';

export interface ClusterWorld extends World, ClusterFacts {
  /** Of users, not ours. */
  readonly trafficPolicies: readonly TrafficPolicy[];
  readonly clientPolicies: readonly ClientPolicy[];
}

/** A BackendTrafficPolicy of Envoy Gateway. */
export type TrafficPolicy = KubernetesObject<TrafficPolicySpec>;
/** A ClientTrafficPolicy. */
export type ClientPolicy = KubernetesObject<ClientPolicySpec>;

export interface ClusterOptions {
  /** Absolute path of the sidecar's socket in proxy pods. */
  readonly extprocSocket: string;
  /** What makes the ids of routes unguessable; to be kept. */
  readonly routeSecret: string;
  readonly reach: Reach;
}

export type OwnerReference = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
};

export type ManifestMetadata = {
  readonly name: string;
  readonly namespace: string;
  readonly labels: { readonly [name: string]: string };
  readonly ownerReferences?: readonly OwnerReference[];
};

/** An object for the API server, in the form that server-side apply takes. */
export type Manifest = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ManifestMetadata;
  readonly [field: string]: Json;
};

/** SECRET VALUES. Never print, log or compare them; they render as `{}` in JSON. */
export interface DerivedSecret {
  readonly metadata: ManifestMetadata;
  readonly type: 'Opaque';
  /** The whole header value. */
  readonly data: { readonly credential: SecretText };
}

export interface GeneratedRoute {
  /** `NAMESPACE/NAME`. */
  readonly gateway: string;
  /** `NAMESPACE/NAME` of the AIGatewayRoute; empty for an entry. */
  readonly route: string;
  /** `NAMESPACE/NAME`. */
  readonly httpRoute: string;
  readonly rules: number;
  readonly envoyRouteNames: readonly string[];
}

export interface ClusterPlan {
  /** All but Secrets, sorted by kind, namespace and name. */
  readonly objects: readonly Manifest[];
  readonly secrets: readonly DerivedSecret[];
  /** Without `Programmed` and `Enforcing`, which only those know who see the proxies. */
  readonly statuses: readonly ObjectStatus[];
  readonly problems: readonly Problem[];
  /** `NAMESPACE/NAME` of the Gateways where at least one route is served. */
  readonly gateways: readonly string[];
  readonly generatedRoutes: readonly GeneratedRoute[];
  /** For the proxies that serve these Gateways: their entries, with only the backends and quotas that they use. */
  policyFor(gateways: readonly string[]): GatewayPolicy;
}
