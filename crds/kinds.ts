/** The kinds of the API: names, schemas, and object types. */
import { z } from 'zod';
import { type AccessPolicySpec, accessPolicySpec } from './access-policy.ts';
import { type BackendSpec, backendSpec } from './backend.ts';
import { type ContentPolicySpec, contentPolicySpec } from './content-policy.ts';
import { type GuardrailPolicySpec, guardrailPolicySpec } from './guardrail-policy.ts';
import { type QuotaPolicySpec, quotaPolicySpec } from './quota-policy.ts';
import { type RouteSpec, routeSpec } from './route.ts';
import { dnsLabel, objectName } from './schema.ts';

export interface Metadata {
  readonly name: string;
  readonly namespace: string;
  /** Set by the API server; absent in files. */
  readonly uid?: string;
  readonly generation?: number;
  /** RFC 3339. */
  readonly creationTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Only those of Tallygate. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The metadata fields that are read. The default namespace is `default`, as with kubectl. */
export const metadata = z.object({
  name: objectName,
  namespace: dnsLabel.default('default'),
  uid: z.string().max(64).optional(),
  generation: z.int().min(0).optional(),
  creationTimestamp: z.string().nullish(),
  labels: z.record(z.string(), z.string()).nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
});

export interface KindDefinition {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly spec: z.ZodType;
  /** Where `status` keeps the conditions. */
  readonly status: 'parents' | 'ancestors' | 'conditions';
  /** The page in docs/reference. */
  readonly page: string;
}

export const kindsByName = {
  AIGatewayRoute: {
    kind: 'AIGatewayRoute',
    plural: 'aigatewayroutes',
    shortName: 'aigr',
    spec: routeSpec,
    status: 'parents',
    page: 'route',
  },
  AIBackend: {
    kind: 'AIBackend',
    plural: 'aibackends',
    shortName: 'aib',
    spec: backendSpec,
    status: 'conditions',
    page: 'backend',
  },
  AIQuotaPolicy: {
    kind: 'AIQuotaPolicy',
    plural: 'aiquotapolicies',
    shortName: 'aiq',
    spec: quotaPolicySpec,
    status: 'ancestors',
    page: 'quota-policy',
  },
  AIAccessPolicy: {
    kind: 'AIAccessPolicy',
    plural: 'aiaccesspolicies',
    shortName: 'aia',
    spec: accessPolicySpec,
    status: 'ancestors',
    page: 'access-policy',
  },
  AIGuardrailPolicy: {
    kind: 'AIGuardrailPolicy',
    plural: 'aiguardrailpolicies',
    shortName: 'aigp',
    spec: guardrailPolicySpec,
    status: 'ancestors',
    page: 'guardrail-policy',
  },
  AIContentPolicy: {
    kind: 'AIContentPolicy',
    plural: 'aicontentpolicies',
    shortName: 'aicp',
    spec: contentPolicySpec,
    status: 'ancestors',
    page: 'content-policy',
  },
} as const satisfies Readonly<Record<string, KindDefinition>>;

export type KindName = keyof typeof kindsByName;

export const kinds: readonly (typeof kindsByName)[KindName][] = Object.values(kindsByName);

export interface KubernetesObject<Spec> {
  readonly metadata: Metadata;
  readonly spec: Spec;
}

export type AIGatewayRoute = KubernetesObject<RouteSpec>;
export type AIBackend = KubernetesObject<BackendSpec>;
export type AIQuotaPolicy = KubernetesObject<QuotaPolicySpec>;
export type AIAccessPolicy = KubernetesObject<AccessPolicySpec>;
export type AIGuardrailPolicy = KubernetesObject<GuardrailPolicySpec>;
export type AIContentPolicy = KubernetesObject<ContentPolicySpec>;
