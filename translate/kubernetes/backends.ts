/** What stands beside an AIBackend, in its namespace: how Envoy reaches it, how it calls it, and with which key. */
import { CLIENT_HEADERS } from '../../contract/headers.ts';
import type { LinkedBackend, UsableBackend } from '../backends.ts';
import { type Endpoint, hostHeader } from '../endpoints.ts';
import { addressFamily, expandedIPv6 } from '../ip-address.ts';
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
  const authority = endpoint.tls?.authority;
  return {
    rule: backendRule(name, usable),
    objects: [
      ...(isServiceItself(name, endpoint)
        ? []
        : [manifest('Backend', identity(names.base), { spec: { endpoints: [address(endpoint)] } })]),
      ...(endpoint.tls === undefined
        ? []
        : [manifest('BackendTLSPolicy', identity(names.base), { spec: tlsPolicy(endpoint.tls, names) })]),
      ...(authority === undefined
        ? []
        : [manifest('ConfigMap', identity(names.authority), { data: { 'ca.crt': authority.reveal() } })]),
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

/** What each rule says that leads to the backend. */
export interface BackendRule {
  readonly rewrite: JsonObject;
  readonly backendRef: JsonObject;
}

function backendRule(name: string, { endpoint, credential }: UsableBackend): BackendRule {
  const names = backendNames(name);
  const reference: JsonObject =
    isServiceItself(name, endpoint) && endpoint.service !== undefined
      ? { group: '', kind: 'Service', name: endpoint.service.name, port: endpoint.port }
      : { group: ENVOY_GROUP, kind: 'Backend', name: names.base };
  return {
    rewrite: extensionFilter(names.base),
    backendRef: {
      ...reference,
      filters: [
        { type: 'RequestHeaderModifier', requestHeaderModifier: { remove: CLIENT_HEADERS.slice(HEADERS_OF_A_FILTER) } },
        // On the backendRef it is decided behind the last match; on the rule it would be that of the first match.
        ...(credential ? [extensionFilter(names.credential)] : []),
      ],
    },
  };
}

export function extensionFilter(name: string): JsonObject {
  return { type: 'ExtensionRef', extensionRef: { group: ENVOY_GROUP, kind: 'HTTPRouteFilter', name } };
}

function backendNames(fullName: string) {
  const stem = fullName.slice(fullName.indexOf('/') + 1);
  return {
    base: objectName(stem, `backend/${fullName}`),
    authority: objectName(`${stem}-ca`, `authority/${fullName}`),
    credential: objectName(`${stem}-key`, `credential/${fullName}`),
  };
}

/**
 * Envoy then balances over the Service's pods. A policy for its TLS would hold for all routes to that Service, also those that are not ours, and another
 * namespace would need one more grant, for HTTPRoutes: both go by the Service's name in DNS instead.
 */
function isServiceItself(backend: string, { service, tls }: Endpoint): boolean {
  return service !== undefined && tls === undefined && backend.startsWith(`${service.namespace}/`);
}

function address({ host, port }: Endpoint): JsonObject {
  switch (addressFamily(host)) {
    case 4:
      return { ip: { address: host, port } };
    case 6:
      // Envoy Gateway's pattern knows few of the short forms.
      return { ip: { address: expandedIPv6(host), port } };
    case 0:
      return { fqdn: { hostname: host, port } };
  }
}

function tlsPolicy(
  { hostname, authority }: NonNullable<Endpoint['tls']>,
  names: ReturnType<typeof backendNames>,
): JsonObject {
  return {
    targetRefs: [{ group: ENVOY_GROUP, kind: 'Backend', name: names.base }],
    validation: {
      hostname: hostname.toLowerCase(),
      ...(authority === undefined
        ? { wellKnownCACertificates: 'System' }
        : { caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: names.authority }] }),
    },
  };
}

/** Host names with a port and addresses are taken by the expression over the path only; every path begins with a slash. */
function rewrite({ endpoint, rewrite: path }: UsableBackend): JsonObject {
  return {
    hostname: { type: 'PathRegex', pathRegex: { pattern: '^/.*$', substitution: hostHeader(endpoint) } },
    ...(path && {
      path: { type: 'ReplaceRegexMatch', replaceRegexMatch: { pattern: `^${path.from}`, substitution: path.to } },
    }),
    appendXForwardedHost: false,
  };
}
