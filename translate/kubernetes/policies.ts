/** What stands once in a namespace, under names that never change: the sidecar's socket, the filter, and how traffic to backends is treated. */
import { CODE_DETAILS_ATTRIBUTE, PATH_ATTRIBUTE, ROUTE_NAME_ATTRIBUTE } from '../../contract/headers.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import { ENVOY_GROUP, manifest, ROUTE_LABEL, TRAFFIC_LABEL } from './manifest.ts';
import type { ClusterOptions, Manifest } from './plan.ts';
import { circuitBreaker, type Traffic } from './traffic.ts';

const extensionPolicy = 'tallygate';
const extprocBackend = 'tallygate-extproc';
export const notReadyFilter = 'tallygate-not-ready';

/** A second policy in a namespace, or another name, would replace Envoy's listener and end every open stream in time. */
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
  // What a user's own policy on the Gateway says beside it stays.
  mergeType: 'StrategicMerge',
  extProc: [
    {
      backendRefs: [{ group: ENVOY_GROUP, kind: 'Backend', name: extprocBackend }],
      backendSettings: {
        circuitBreaker,
        // All streams share the connection: streams whose clients do not read must never use up its window for the others.
        http2: { initialStreamWindowSize: '64Ki', initialConnectionWindowSize: '2147483647' },
        // A local socket answers at once or not at all.
        timeout: { tcp: { connectTimeout: '1s' } },
      },
      processingMode: {
        request: { body: 'FullDuplexStreamed', attributes: [ROUTE_NAME_ATTRIBUTE] },
        // Envoy Gateway has no place for the words of Envoy's own answers: extproc is told which they are, and writes them.
        response: { body: 'FullDuplexStreamed', attributes: [CODE_DETAILS_ATTRIBUTE, PATH_ATTRIBUTE] },
      },
      // For messages without a body, where the mode has a time: longer than a request may wait in a queue (60 s).
      messageTimeout: '120s',
      failOpen: false,
      statusOnError: 503,
    },
  ],
};

/**
 * The answer of an entry. A request comes to it only while Envoy does not have the route to the backend yet that extproc has chosen, or has it no more;
 * extproc itself answers what no route serves, and gives this answer its body. Official clients try again after 503.
 */
export function notReadyObject(namespace: string): Manifest {
  const directResponse = { statusCode: 503, header: { set: [{ name: 'retry-after', value: '1' }] } };
  return manifest('HTTPRouteFilter', { namespace, name: notReadyFilter }, { spec: { directResponse } });
}

export function trafficObject(namespace: string, traffic: Traffic): Manifest {
  const spec = {
    targetSelectors: [{ group: GATEWAY_GROUP, kind: 'HTTPRoute', matchLabels: { [TRAFFIC_LABEL]: traffic.name } }],
    mergeType: 'StrategicMerge',
    ...traffic.spec,
  };
  return manifest('BackendTrafficPolicy', { namespace, name: `tallygate-traffic-${traffic.name}` }, { spec });
}
