/**
 * Generates the objects of an AIBackend in its namespace: address, TLS, rewrites and credential.
 */
import { type LinkedBackend, removedHeaders, type UsableBackend } from '../link/backends.ts';
import { type Endpoint, hostHeader } from '../link/endpoints.ts';
import { addressFamily, expandedIPv6 } from '../link/ip-address.ts';
import type { JsonObject } from '../plan.ts';
import { ENVOY_GROUP, HEADERS_OF_A_FILTER, manifest, manifestMetadata, objectName, ownedBy } from './manifest.ts';
import type { DerivedSecret, Manifest } from './plan.ts';

export interface BackendObjects {
  readonly rule: BackendRule;
  readonly objects: readonly Manifest[];
  readonly secrets: readonly DerivedSecret[];
}

export function backendObjects({ name, backend }: LinkedBackend, usable: UsableBackend): BackendObjects {
  const { endpoint, credential } = usable;
  const names = backendNames(name);
  const { namespace } = backend.metadata;
  const owner = ownedBy('AIBackend', backend.metadata, namespace);
  const identity = (own: string) => ({ namespace, name: own, owner });
  const caBundle = endpoint.tls?.caBundle;
  return {
    rule: backendRule(name, usable),
    objects: [
      ...(isServiceItself(name, endpoint)
        ? []
        : [manifest('Backend', identity(names.base), { spec: { endpoints: [address(endpoint)] } })]),
      ...(endpoint.tls === undefined
        ? []
        : [manifest('BackendTLSPolicy', identity(names.base), { spec: tlsPolicy(endpoint.tls, names) })]),
      ...(caBundle === undefined
        ? []
        : [manifest('ConfigMap', identity(names.caBundle), { data: { 'ca.crt': caBundle.reveal() } })]),
      manifest('HTTPRouteFilter', identity(names.base), { spec: { urlRewrite: rewrite(usable) } }),
      ...(credential === undefined
        ? []
        : [
            manifest('HTTPRouteFilter', identity(names.credential), {
              spec: {
                credentialInjection: {
                  header: credential.header,
                  overwrite: true,
                  credential: { valueRef: { group: '', kind: 'Secret', name: names.credential } },
                },
              },
            }),
          ]),
    ],
    secrets:
      credential === undefined
        ? []
        : [
            {
              metadata: manifestMetadata(identity(names.credential)),
              type: 'Opaque',
              data: { credential: credential.value },
            },
          ],
  };
}

/** The parts of each HTTPRoute rule for the backend. */
export interface BackendRule {
  readonly rewrite: JsonObject;
  /** Removes as many of the client's headers as one filter can; the backendRef removes the rest. */
  readonly removal: JsonObject;
  readonly backendRef: JsonObject;
}

function backendRule(name: string, usable: UsableBackend): BackendRule {
  const { endpoint, credential } = usable;
  const removed = removedHeaders(usable);
  const names = backendNames(name);
  const reference: JsonObject =
    isServiceItself(name, endpoint) && endpoint.service !== undefined
      ? { group: '', kind: 'Service', name: endpoint.service.name, port: endpoint.port }
      : { group: ENVOY_GROUP, kind: 'Backend', name: names.base };
  return {
    rewrite: extensionFilter(names.base),
    removal: headerRemoval(removed.slice(0, HEADERS_OF_A_FILTER)),
    backendRef: {
      ...reference,
      filters: [
        headerRemoval(removed.slice(HEADERS_OF_A_FILTER)),
        // On the backendRef, the filter follows the last route match; on the rule, it would follow
        // the first.
        ...(credential ? [extensionFilter(names.credential)] : []),
      ],
    },
  };
}

function headerRemoval(remove: readonly string[]): JsonObject {
  return { type: 'RequestHeaderModifier', requestHeaderModifier: { remove } };
}

export function extensionFilter(name: string): JsonObject {
  return { type: 'ExtensionRef', extensionRef: { group: ENVOY_GROUP, kind: 'HTTPRouteFilter', name } };
}

/** Returns the filter that adds the credential of a backend. */
export function credentialFilterOf(backend: string): JsonObject {
  return extensionFilter(backendNames(backend).credential);
}

/** Returns `NAMESPACE/NAME` of the HTTPRouteFilter with the credential of a backend. */
export function credentialFilterName(backend: string): string {
  return `${backend.slice(0, backend.indexOf('/'))}/${backendNames(backend).credential}`;
}

function backendNames(fullName: string) {
  const stem = fullName.slice(fullName.indexOf('/') + 1);
  return {
    base: objectName(stem, `backend/${fullName}`),
    caBundle: objectName(`${stem}-ca`, `authority/${fullName}`),
    credential: objectName(`${stem}-key`, `credential/${fullName}`),
  };
}

/**
 * Returns whether routes refer to the Service directly, so that Envoy balances over its pods.
 * Services with TLS or in another namespace are addressed by DNS name instead: a TLS policy would
 * apply to all routes to the Service, and another namespace would need a second grant, for
 * HTTPRoutes.
 */
export function isServiceItself(backend: string, { service, tls }: Endpoint): boolean {
  return service !== undefined && tls === undefined && backend.startsWith(`${service.namespace}/`);
}

function address({ host, port }: Endpoint): JsonObject {
  switch (addressFamily(host)) {
    case 4:
      return { ip: { address: host, port } };
    case 6:
      // Envoy Gateway's pattern accepts few of the short forms.
      return { ip: { address: expandedIPv6(host), port } };
    case 0:
      return { fqdn: { hostname: host, port } };
  }
}

function tlsPolicy(
  { hostname, caBundle }: NonNullable<Endpoint['tls']>,
  names: ReturnType<typeof backendNames>,
): JsonObject {
  return {
    targetRefs: [{ group: ENVOY_GROUP, kind: 'Backend', name: names.base }],
    validation: {
      hostname: hostname.toLowerCase(),
      ...(caBundle === undefined
        ? { wellKnownCACertificates: 'System' }
        : { caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: names.caBundle }] }),
    },
  };
}

/**
 * Only the path regex type accepts host names with a port and IP addresses; every path starts with
 * a slash.
 */
function rewrite({ endpoint, rewrite: path }: UsableBackend): JsonObject {
  return {
    hostname: { type: 'PathRegex', pathRegex: { pattern: '^/.*$', substitution: hostHeader(endpoint) } },
    ...(path && {
      path: { type: 'ReplaceRegexMatch', replaceRegexMatch: { pattern: `^${path.from}`, substitution: path.to } },
    }),
    appendXForwardedHost: false,
  };
}
