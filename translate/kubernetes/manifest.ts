/**
 * Common parts of generated objects. Names are derived from an object's purpose, so that they are
 * stable.
 */
import { hash } from 'node:crypto';
import type { Metadata } from '../../crds/kinds.ts';
import { API_VERSION, GATEWAY_GROUP } from '../../crds/schema.ts';
import type { JsonObject } from '../plan.ts';
import type { Manifest, ManifestMetadata, OwnerReference } from './plan.ts';

export const ENVOY_GROUP = 'gateway.envoyproxy.io';

/**
 * On generated HTTPRoutes: the AIGatewayRoute's name, or `entry`. Envoy Gateway policies select by
 * it.
 */
export const ROUTE_LABEL = 'tallygate.dev/route';
/** On HTTPRoutes to backends: the generated BackendTrafficPolicy that applies. */
export const TRAFFIC_LABEL = 'tallygate.dev/traffic';

/**
 * The limit of Gateway API, which allows one header filter on a rule and one on each backendRef.
 */
export const HEADERS_OF_A_FILTER = 16;

const MANAGED_BY = 'app.kubernetes.io/managed-by';

const apiVersions = {
  Backend: `${ENVOY_GROUP}/v1alpha1`,
  BackendTLSPolicy: `${GATEWAY_GROUP}/v1`,
  BackendTrafficPolicy: `${ENVOY_GROUP}/v1alpha1`,
  ConfigMap: 'v1',
  EnvoyExtensionPolicy: `${ENVOY_GROUP}/v1alpha1`,
  EnvoyPatchPolicy: `${ENVOY_GROUP}/v1alpha1`,
  HTTPRoute: `${GATEWAY_GROUP}/v1`,
  HTTPRouteFilter: `${ENVOY_GROUP}/v1alpha1`,
  SecurityPolicy: `${ENVOY_GROUP}/v1alpha1`,
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

/**
 * Returns an owner reference; undefined across namespaces, which Kubernetes does not allow, and for
 * objects from files.
 */
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

/** Returns a DNS label: a readable stem and a digest of the key. */
export function labelled(stem: string, key: string): string {
  const readable = stem
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_LABEL_CHARACTERS - DIGEST_CHARACTERS - 1)
    .replace(/^-+|-+$/g, '');
  return [...(readable === '' ? [] : [readable]), digest(key)].join('-');
}

/** Returns the name of a generated object. */
export function objectName(stem: string, key: string): string {
  return labelled(`tallygate-${stem}`, key);
}

/** Shortens a name to the length of a label value. */
export function labelValue(name: string): string {
  return name.length <= MAX_LABEL_CHARACTERS ? name : labelled(name, name);
}

/** The limit of DNS labels and label values. */
const MAX_LABEL_CHARACTERS = 63;
/**
 * 40 bits: two of a million objects in a namespace collide with probability 1/2, and stems differ
 * mostly anyway.
 */
const DIGEST_CHARACTERS = 10;

function digest(text: string): string {
  return hash('sha256', text, 'hex').slice(0, DIGEST_CHARACTERS);
}
