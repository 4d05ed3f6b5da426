/**
 * Objects that exist once per namespace, under stable names: the sidecar's socket, the filter,
 * traffic settings.
 */
import {
  ATTEMPTS_METADATA,
  CERTIFICATE_ATTRIBUTES,
  CODE_DETAILS_ATTRIBUTE,
  PATH_ATTRIBUTE,
  REQUEST_METADATA,
  ROUTE_NAME_ATTRIBUTE,
} from '../../contract/headers.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import { EXTPROC_STREAM_WINDOW_BYTES } from '../names.ts';
import { ENVOY_GROUP, manifest, ROUTE_LABEL, TRAFFIC_LABEL } from './manifest.ts';
import type { ClusterOptions, Manifest } from './plan.ts';
import { circuitBreaker, type Traffic } from './traffic.ts';

const extensionPolicy = 'tallygate';
const extprocBackend = 'tallygate-extproc';
export const notReadyFilter = 'tallygate-not-ready';

/** Returns the name that Envoy Gateway 1.9 gives the cluster of the filter in a namespace. */
export function processorCluster(namespace: string): string {
  return `envoyextensionpolicy/${namespace}/${extensionPolicy}/extproc/0`;
}

/**
 * The sidecar's Backend and the filter. A second policy in a namespace, or another name, would make
 * Envoy replace the listener and drain every open stream.
 */
export function extprocObjects(namespace: string, { extprocSocket }: ClusterOptions): readonly Manifest[] {
  return [
    manifest(
      'Backend',
      { namespace, name: extprocBackend },
      {
        spec: { appProtocols: [`${ENVOY_GROUP}/h2c`], endpoints: [{ unix: { path: extprocSocket } }] },
      },
    ),
    manifest('EnvoyExtensionPolicy', { namespace, name: extensionPolicy }, { spec: extensionPolicySpec }),
  ];
}

const extensionPolicySpec = {
  targetSelectors: [
    { group: GATEWAY_GROUP, kind: 'HTTPRoute', matchExpressions: [{ key: ROUTE_LABEL, operator: 'Exists' }] },
  ],
  // Keeps the other fields of a user's policy on the Gateway.
  mergeType: 'StrategicMerge',
  extProc: [
    {
      backendRefs: [{ group: ENVOY_GROUP, kind: 'Backend', name: extprocBackend }],
      backendSettings: {
        circuitBreaker,
        // Envoy 1.40 crashes in attempts of failover at the default of 32 KiB and bodies of 300 KB.
        connection: { bufferLimit: '16Mi' },
        // All streams share the connection; stalled streams must not use up its window.
        http2: {
          initialStreamWindowSize: `${EXTPROC_STREAM_WINDOW_BYTES >> 10}Ki`,
          initialConnectionWindowSize: '2147483647',
        },
        // A local socket connects immediately or never.
        timeout: { tcp: { connectTimeout: '1s' } },
      },
      metadata: { writableNamespaces: [ATTEMPTS_METADATA, REQUEST_METADATA] },
      processingMode: {
        // Always all: a change would make Envoy replace the listener.
        request: {
          body: 'FullDuplexStreamed',
          attributes: [ROUTE_NAME_ATTRIBUTE, ...Object.values(CERTIFICATE_ATTRIBUTES)],
        },
        // Envoy Gateway cannot configure local replies, so extproc recognizes them and writes their
        // bodies.
        response: { body: 'FullDuplexStreamed', attributes: [CODE_DETAILS_ATTRIBUTE, PATH_ATTRIBUTE] },
      },
      // Applies to messages without a body. Longer than the maximum queue timeout (60 s).
      messageTimeout: '120s',
      failOpen: false,
      statusOnError: 503,
    },
  ],
};

/**
 * The response of an entry route. A request gets it only while Envoy does not have the selected
 * generated route yet, or no longer has it; extproc supplies the body. extproc itself answers
 * requests that no rule serves. The providers' official clients retry after 503.
 */
export function notReadyObject(namespace: string): Manifest {
  const directResponse = { statusCode: 503, header: { set: [{ name: 'retry-after', value: '1' }] } };
  return manifest('HTTPRouteFilter', { namespace, name: notReadyFilter }, { spec: { directResponse } });
}

/** The backend of entry routes that cannot have a direct response: no request gets through. */
export const notReadyReference = { group: ENVOY_GROUP, kind: 'Backend', name: notReadyFilter };

export function notReadyBackend(namespace: string): Manifest {
  // RFC 2606: the name never resolves.
  const endpoints = [{ fqdn: { hostname: 'not-ready.invalid', port: 80 } }];
  return manifest('Backend', { namespace, name: notReadyFilter }, { spec: { endpoints } });
}

export function trafficObject(namespace: string, traffic: Traffic): Manifest {
  const spec = {
    targetSelectors: [{ group: GATEWAY_GROUP, kind: 'HTTPRoute', matchLabels: { [TRAFFIC_LABEL]: traffic.name } }],
    mergeType: 'StrategicMerge',
    ...traffic.spec,
  };
  return manifest('BackendTrafficPolicy', { namespace, name: `tallygate-traffic-${traffic.name}` }, { spec });
}
