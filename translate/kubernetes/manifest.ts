/** Forms and names that all generated objects share. Names follow from what an object is for, so that the same world gives the same names. */
import { hash } from 'node:crypto';
import type { Metadata } from '../../crds/kinds.ts';
import { API_VERSION, GATEWAY_GROUP } from '../../crds/schema.ts';
import type { JsonObject } from '../plan.ts';
import type { Manifest, ManifestMetadata, OwnerReference } from './plan.ts';

export const ENVOY_GROUP = 'gateway.envoyproxy.io';

/** On generated HTTPRoutes: the AIGatewayRoute's name, or `entry`. Envoy Gateway's policies find them by it. */
export const ROUTE_LABEL = 'tallygate.dev/route';
/** On HTTPRoutes to backends: which BackendTrafficPolicy of ours holds for them. */
export const TRAFFIC_LABEL = 'tallygate.dev/traffic';

/** Of Gateway API, which allows one filter that removes headers on a rule, and one on each backendRef. */
export const HEADERS_OF_A_FILTER = 16;

const MANAGED_BY = 'app.kubernetes.io/managed-by';

const apiVersions = {
  Backend: `${ENVOY_GROUP}/v1alpha1`,
  BackendTLSPolicy: `${GATEWAY_GROUP}/v1`,
  BackendTrafficPolicy: `${ENVOY_GROUP}/v1alpha1`,
  ConfigMap: 'v1',
  EnvoyExtensionPolicy: `${ENVOY_GROUP}/v1alpha1`,
  HTTPRoute: `${GATEWAY_GROUP}/v1`,
  HTTPRouteFilter: `${ENVOY_GROUP}/v1alpha1`,
} as const;

export interface Identity {
  readonly namespace: string;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly owner?: OwnerReference | undefined;
}

export function manifest(kind: keyof typeof apiVersions, identity: Identity, content: JsonObject): Manifest {
  return { apiVersion: apiVersions[kind], kind, metadata: manifestMetadata(identity), ...content };
}

export function manifestMetadata({ namespace, name, labels, owner }: Identity): ManifestMetadata {
  return {
    name,
    namespace,
    labels: { [MANAGED_BY]: 'tallygate', ...labels },
    ...(owner && { ownerReferences: [owner] }),
  };
}

/** Undefined across namespaces, where Kubernetes knows no owners, and for what no cluster holds. */
export function ownedBy(
  kind: 'AIBackend' | 'AIGatewayRoute' | 'Gateway',
  { namespace, name, uid }: Metadata,
  where: string,
): OwnerReference | undefined {
  if (uid === undefined || namespace !== where) {
    return undefined;
  }
  return { apiVersion: kind === 'Gateway' ? `${GATEWAY_GROUP}/v1` : API_VERSION, kind, name, uid };
}

/** A DNS label that begins readably and ends in a digest of the key. */
export function labelled(stem: string, key: string): string {
  const readable = stem
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, longestLabel - digestLength - 1)
    .replace(/^-+|-+$/g, '');
  return [...(readable === '' ? [] : [readable]), digest(key)].join('-');
}

/** The name of an object of ours. */
export function objectName(stem: string, key: string): string {
  return labelled(`tallygate-${stem}`, key);
}

/** A name as the value of a label, which may be shorter than names. */
export function labelValue(name: string): string {
  return name.length <= longestLabel ? name : labelled(name, name);
}

/** Characters of a DNS label and of a label's value. */
const longestLabel = 63;
/** 40 bits: in a namespace with a million objects two are alike with a probability of 1 in 2. Stems tell most of them apart before. */
const digestLength = 10;

function digest(text: string): string {
  return hash('sha256', text, 'hex').slice(0, digestLength);
}
