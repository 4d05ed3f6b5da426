/** Input and output of the translation for a cluster. */

import type { WantedToken } from '../../contract/cloud-tokens.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { KeySource } from '../../contract/public-keys.ts';
import type { ClientPolicySpec, SecurityPolicySpec, TrafficPolicySpec } from '../../crds/gateway-api.ts';
import type { KubernetesObject } from '../../crds/kinds.ts';
import type { ClusterFacts } from '../deployment-mode.ts';
import type { Reach } from '../link/destinations.ts';
import type { DetectorSecret, Json, ObjectStatus, Webhook } from '../plan.ts';
import type { Problem } from '../problem.ts';
import type { SecretText, World } from '../world.ts';

export interface ClusterWorld extends World, ClusterFacts {
  /** Written by users, not generated. */
  readonly trafficPolicies: readonly TrafficPolicy[];
  readonly clientPolicies: readonly ClientPolicy[];
  readonly securityPolicies: readonly SecurityPolicy[];
  readonly patchPolicies: PatchPolicies;
}

/** What Envoy Gateway has made of the generated EnvoyPatchPolicies. */
export interface PatchPolicies {
  /** Why there can be none; absent: there can. */
  readonly unavailable?: 'NotInstalled' | 'NotPermitted';
  /** By `NAMESPACE/NAME`; absent: not judged yet. */
  readonly verdicts: ReadonlyMap<string, PatchVerdict>;
}

export interface PatchVerdict {
  readonly reason: 'Programmed' | 'PatchesDisabled' | 'PatchRefused';
  readonly message: string;
}

/** A BackendTrafficPolicy of Envoy Gateway. */
export type TrafficPolicy = KubernetesObject<TrafficPolicySpec>;
/** A ClientTrafficPolicy. */
export type ClientPolicy = KubernetesObject<ClientPolicySpec>;
/** A SecurityPolicy. */
export type SecurityPolicy = KubernetesObject<SecurityPolicySpec>;

export interface ClusterOptions {
  /** Absolute path of the sidecar's socket in proxy pods. */
  readonly extprocSocket: string;
  /** Makes target ids unguessable. Must be persistent. */
  readonly routeSecret: string;
  readonly reach: Reach;
  /** The namespaces whose backends may use the controller's own identity in clouds. */
  readonly identityNamespaces: readonly string[];
  /** Whether the sidecars count in one store. */
  readonly sharesQuotas: boolean;
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

/** Secret values. Never print, log or compare them; they render as `{}` in JSON. */
export interface DerivedSecret {
  readonly metadata: ManifestMetadata;
  readonly type: 'Opaque';
  /** The whole header value. */
  readonly data: { readonly credential: SecretText };
}

export interface GeneratedRoute {
  /** `NAMESPACE/NAME`. */
  readonly gateway: string;
  /** `NAMESPACE/NAME` of the AIGatewayRoute; empty for an entry route. */
  readonly route: string;
  /** `NAMESPACE/NAME`. */
  readonly httpRoute: string;
  readonly rules: number;
  readonly envoyRouteNames: readonly string[];
}

export interface ClusterPlan {
  /** All objects except Secrets, sorted by kind, namespace and name. */
  readonly objects: readonly Manifest[];
  readonly secrets: readonly DerivedSecret[];
  /** The public keys that the policies need, sorted by `keySourceId`; see `World.jwks`. */
  readonly jwksSources: readonly KeySource[];
  /** The tokens of clouds that backends need, sorted by backend; see `World.tokens`. */
  readonly wantedTokens: readonly WantedToken[];
  /** Where alerts about budgets are sent, sorted by policy. */
  readonly webhooks: readonly Webhook[];
  /** Without `Programmed` and `Enforcing`, which depend on the proxies. */
  readonly statuses: readonly ObjectStatus[];
  readonly problems: readonly Problem[];
  /** `NAMESPACE/NAME` of the Gateways that serve at least one route. */
  readonly gateways: readonly string[];
  readonly generatedRoutes: readonly GeneratedRoute[];
  /** Returns the policy for proxies of these Gateways, with only the backends and quotas in use. */
  policyFor(gateways: readonly string[]): GatewayPolicy;
  /** Returns what this policy needs to reach the services of guardrails, sorted by id. */
  detectorSecretsFor(gateways: readonly string[]): readonly DetectorSecret[];
}
