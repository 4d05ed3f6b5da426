/** The kinds of the API in one list: names, schemas, and the object as a whole. */
import { z } from 'zod';
import { type BackendSpec, backendSpec } from './backend.ts';
import { type QuotaPolicySpec, quotaPolicySpec } from './quota-policy.ts';
import { type RouteSpec, routeSpec } from './route.ts';
import { dnsLabel, objectName } from './schema.ts';

export interface Metadata {
  readonly name: string;
  readonly namespace: string;
  /** Only what a cluster holds has one. */
  readonly uid?: string;
  readonly generation?: number;
  /** RFC 3339. */
  readonly creationTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Of an object's metadata, what is read. Without a namespace it is `default`, as with kubectl. */
export const metadata = z.object({
  name: objectName,
  namespace: dnsLabel.default('default'),
  uid: z.string().max(64).optional(),
  generation: z.int().min(0).optional(),
  creationTimestamp: z.string().nullish(),
  labels: z.record(z.string(), z.string()).nullish(),
});

export interface KindDefinition {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly spec: z.ZodType;
  /** Where conditions stand in status. */
  readonly status: 'parents' | 'ancestors' | 'conditions';
  /** The page of docs/reference. */
  readonly page: string;
}

export const kinds = [
  {
    kind: 'AIGatewayRoute',
    plural: 'aigatewayroutes',
    shortName: 'aigr',
    spec: routeSpec,
    status: 'parents',
    page: 'route',
  },
  {
    kind: 'AIBackend',
    plural: 'aibackends',
    shortName: 'aib',
    spec: backendSpec,
    status: 'conditions',
    page: 'backend',
  },
  {
    kind: 'AIQuotaPolicy',
    plural: 'aiquotapolicies',
    shortName: 'aiq',
    spec: quotaPolicySpec,
    status: 'ancestors',
    page: 'quota-policy',
  },
] as const satisfies readonly KindDefinition[];

export interface KubernetesObject<Spec> {
  readonly metadata: Metadata;
  readonly spec: Spec;
}

export type AIGatewayRoute = KubernetesObject<RouteSpec>;
export type AIBackend = KubernetesObject<BackendSpec>;
export type AIQuotaPolicy = KubernetesObject<QuotaPolicySpec>;
