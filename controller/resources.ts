/** The kinds that the controller reads and writes. The chart's roles must permit them. */
import { kinds } from '../crds/kinds.ts';
import { API_VERSION } from '../crds/schema.ts';
import type { Resource } from './api/resource.ts';

const GATEWAY_API = 'gateway.networking.k8s.io/v1';
const ENVOY_GATEWAY = 'gateway.envoyproxy.io/v1alpha1';

/** Tallygate's kinds, whose statuses the controller writes. */
export const ownResources: readonly Resource[] = kinds.map(({ kind, plural }) => ({
  apiVersion: API_VERSION,
  kind,
  plural,
}));

export const gateways: Resource = { apiVersion: GATEWAY_API, kind: 'Gateway', plural: 'gateways' };
export const gatewayClasses: Resource = {
  apiVersion: GATEWAY_API,
  kind: 'GatewayClass',
  plural: 'gatewayclasses',
  clusterWide: true,
};
export const referenceGrants: Resource = {
  apiVersion: 'gateway.networking.k8s.io/v1beta1',
  kind: 'ReferenceGrant',
  plural: 'referencegrants',
};
export const namespaces: Resource = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', clusterWide: true };
export const services: Resource = { apiVersion: 'v1', kind: 'Service', plural: 'services' };
export const pods: Resource = { apiVersion: 'v1', kind: 'Pod', plural: 'pods' };
export const secrets: Resource = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets' };
export const configMaps: Resource = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps' };
export const httpRoutes: Resource = { apiVersion: GATEWAY_API, kind: 'HTTPRoute', plural: 'httproutes' };
export const extensionPolicies: Resource = {
  apiVersion: ENVOY_GATEWAY,
  kind: 'EnvoyExtensionPolicy',
  plural: 'envoyextensionpolicies',
};
export const trafficPolicies: Resource = {
  apiVersion: ENVOY_GATEWAY,
  kind: 'BackendTrafficPolicy',
  plural: 'backendtrafficpolicies',
};
export const clientPolicies: Resource = {
  apiVersion: ENVOY_GATEWAY,
  kind: 'ClientTrafficPolicy',
  plural: 'clienttrafficpolicies',
};
export const securityPolicies: Resource = {
  apiVersion: ENVOY_GATEWAY,
  kind: 'SecurityPolicy',
  plural: 'securitypolicies',
};

/** The one kind that a cluster may lack. */
export const patchPolicies: Resource = {
  apiVersion: ENVOY_GATEWAY,
  kind: 'EnvoyPatchPolicy',
  plural: 'envoypatchpolicies',
};

/** Generated kinds in the order of writing: an object comes before those that refer to it. */
export const generatedResources: readonly Resource[] = [
  configMaps,
  secrets,
  { apiVersion: ENVOY_GATEWAY, kind: 'Backend', plural: 'backends' },
  { apiVersion: GATEWAY_API, kind: 'BackendTLSPolicy', plural: 'backendtlspolicies' },
  { apiVersion: ENVOY_GATEWAY, kind: 'HTTPRouteFilter', plural: 'httproutefilters' },
  extensionPolicies,
  trafficPolicies,
  securityPolicies,
  // Envoy Gateway looks at them, where it does not allow them, only when a route changes.
  patchPolicies,
  httpRoutes,
];
