/**
 * Proxy pods and their fleets. Envoy Gateway labels the pods with their Gateway, or with the
 * GatewayClass where Gateways are merged.
 */

/** The labels of Envoy Gateway 1.9.1. */
export const PROXY_POD_SELECTOR = 'app.kubernetes.io/managed-by=envoy-gateway,app.kubernetes.io/component=proxy';
const GATEWAY_NAME_LABEL = 'gateway.envoyproxy.io/owning-gateway-name';
const GATEWAY_NAMESPACE_LABEL = 'gateway.envoyproxy.io/owning-gateway-namespace';
const CLASS_LABEL = 'gateway.envoyproxy.io/owning-gatewayclass';
/** The container name in the chart's EnvoyProxy and in `tallygate sidecar-patch`. */
const SIDECAR_NAME = 'tallygate';

export interface ProxyPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** See `fleetOfGateway` and `fleetOfClass`. */
  readonly fleet: string;
  readonly hasSidecar: boolean;
  readonly ready: boolean;
  readonly terminating: boolean;
}

/** The facts about a Gateway that the controller uses. */
export interface GatewayFacts {
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  readonly className: string;
  readonly labels: Readonly<Record<string, string>>;
}

export function fleetOfGateway(name: string): string {
  return `gateway/${name}`;
}

export function fleetOfClass(className: string): string {
  return `class/${className}`;
}

export function fleetsOf(gateway: GatewayFacts): readonly string[] {
  return [fleetOfGateway(gateway.name), fleetOfClass(gateway.className)];
}

/** Returns the Gateways that a fleet serves. */
export function gatewaysOf(fleet: string, gateways: readonly GatewayFacts[]): readonly string[] {
  return gateways.filter((gateway) => fleetsOf(gateway).includes(fleet)).map(({ name }) => name);
}

interface PodObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec?: { readonly initContainers?: readonly PodContainer[]; readonly containers?: readonly PodContainer[] };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

interface PodContainer {
  readonly name: string;
}

/**
 * Returns undefined if the pod is no proxy of a Gateway. Anybody may set labels, and a proxy
 * receives the policy of its Gateways: so the pod must be in a namespace where Envoy Gateway runs
 * proxies, one of `proxyNamespaces` or the namespace of its Gateway.
 */
export function proxyPod(
  { metadata, spec, status }: PodObject,
  proxyNamespaces: ReadonlySet<string>,
): ProxyPod | undefined {
  const labels = metadata.labels ?? {};
  const name = labels[GATEWAY_NAME_LABEL];
  const namespace = labels[GATEWAY_NAMESPACE_LABEL];
  const className = labels[CLASS_LABEL];
  const ofGateway = name !== undefined && namespace !== undefined ? fleetOfGateway(`${namespace}/${name}`) : undefined;
  const fleet = ofGateway ?? (className === undefined ? undefined : fleetOfClass(className));
  const isAtHome =
    proxyNamespaces.has(metadata.namespace) || (ofGateway !== undefined && namespace === metadata.namespace);
  if (fleet === undefined || !isAtHome) {
    return undefined;
  }
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  return {
    uid: metadata.uid,
    name: metadata.name,
    namespace: metadata.namespace,
    fleet,
    hasSidecar: containers.some((each) => each.name === SIDECAR_NAME),
    ready: status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') ?? false,
    terminating: metadata.deletionTimestamp !== undefined,
  };
}
