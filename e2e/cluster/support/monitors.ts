/**
 * Reads ServiceMonitors, PodMonitors and PrometheusRules as the Prometheus operator does. The
 * cluster of run.sh has no operator, and Debian's Prometheus does not know Kubernetes.
 */
import type { Document } from '../../data-plane/support/resources.ts';
import { apply, get, kubectl, waitUntil } from './kubectl.ts';

const GROUP = 'monitoring.coreos.com';
const KINDS = { ServiceMonitor: 'servicemonitors', PodMonitor: 'podmonitors', PrometheusRule: 'prometheusrules' };

interface Endpoint {
  readonly port: string;
  readonly path: string;
  readonly interval: string;
}

interface Target {
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
}

interface Metadata {
  readonly name: string;
  readonly namespace: string;
}

interface Port {
  readonly name?: string;
  readonly containerPort: number;
}

interface Container {
  readonly name: string;
  readonly ports?: readonly Port[];
}

interface Pod {
  readonly metadata: Metadata;
  readonly spec: { readonly containers: readonly Container[]; readonly initContainers?: readonly Container[] };
  readonly status: { readonly podIP?: string };
}

interface EndpointSlice {
  readonly metadata: Metadata & { readonly labels: Readonly<Record<string, string>> };
  readonly ports: readonly { readonly name: string; readonly port: number }[];
  readonly endpoints: readonly { readonly addresses: readonly string[]; readonly targetRef?: Metadata }[];
}

/** Defines the kinds of the Prometheus operator, without a schema, where they do not exist. */
export async function defineMonitors(): Promise<void> {
  const known = await kubectl('get', 'crds', '-o', 'name');
  const missing = Object.entries(KINDS).filter(([, plural]) => !known.includes(`/${plural}.${GROUP}\n`));
  if (missing.length > 0) {
    await apply(missing.map(([kind, plural]) => definitionOf(kind, plural)));
    const names = missing.map(([, plural]) => `crd/${plural}.${GROUP}`);
    await waitUntil('condition=Established', names);
  }
}

function definitionOf(kind: string, plural: string): Document {
  const openAPIV3Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      names: { kind, plural, singular: kind.toLowerCase() },
      scope: 'Namespaced',
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }],
    },
  };
}

/** Returns the `scrape_configs` for all monitors of a namespace, with the targets of now. */
export async function scrapeConfigs(namespace: string): Promise<readonly object[]> {
  const monitors = await get('-n', namespace, `${KINDS.ServiceMonitor},${KINDS.PodMonitor}`);
  const configs: object[] = [];
  for (const { kind, metadata, spec } of monitors.items) {
    const selector = Object.entries(spec.selector.matchLabels)
      .map(([name, value]) => `${name}=${value}`)
      .join();
    const where = spec.namespaceSelector?.any === true ? ['-A'] : ['-n', metadata.namespace];
    for (const endpoint of (spec.endpoints ?? spec.podMetricsEndpoints) as readonly Endpoint[]) {
      const find = kind === 'PodMonitor' ? podTargets : serviceTargets;
      const targets = await find([...where, '-l', selector], endpoint.port);
      if (targets.length === 0) {
        throw new Error(`the ${kind} ${metadata.name} selects no port ${endpoint.port}`);
      }
      const job = `${metadata.namespace}/${metadata.name}`;
      configs.push(scrapeConfig(job, endpoint, kind === 'PodMonitor' ? withJob(targets, job) : targets));
    }
  }
  return configs;
}

function scrapeConfig(name: string, { path, interval }: Endpoint, targets: readonly Target[]): object {
  return {
    job_name: name,
    metrics_path: path,
    scrape_interval: interval,
    scrape_timeout: interval,
    static_configs: targets.map(({ address, labels }) => ({ targets: [address], labels })),
  };
}

function withJob(targets: readonly Target[], job: string): readonly Target[] {
  return targets.map(({ address, labels }) => ({ address, labels: { ...labels, job } }));
}

async function podTargets(selected: readonly string[], endpoint: string): Promise<readonly Target[]> {
  const { items } = await get('pods', ...selected);
  return (items as readonly Pod[]).flatMap(({ metadata: { namespace, name }, spec, status }) =>
    [...spec.containers, ...(spec.initContainers ?? [])].flatMap((container) =>
      (container.ports ?? [])
        .filter((port) => port.name === endpoint && status.podIP !== undefined)
        .map(({ containerPort }) => ({
          address: `${status.podIP}:${containerPort}`,
          labels: { namespace, pod: name, container: container.name, endpoint },
        })),
    ),
  );
}

/** The operator names the job after the Service. */
async function serviceTargets(selected: readonly string[], endpoint: string): Promise<readonly Target[]> {
  const { items } = await get('services', ...selected);
  const found = (items as readonly { readonly metadata: Metadata }[]).map(async ({ metadata: service }) => {
    const slices = await get(
      '-n',
      service.namespace,
      'endpointslices',
      '-l',
      `kubernetes.io/service-name=${service.name}`,
    );
    return (slices.items as readonly EndpointSlice[]).flatMap(({ ports, endpoints }) =>
      ports
        .filter(({ name }) => name === endpoint)
        .flatMap(({ port }) => endpoints.map((each) => ({ each, port })))
        .map(({ each: { addresses, targetRef }, port }) => ({
          address: `${addresses[0]}:${port}`,
          labels: {
            namespace: service.namespace,
            service: service.name,
            job: service.name,
            endpoint,
            ...(targetRef && { pod: targetRef.name }),
          },
        })),
    );
  });
  return (await Promise.all(found)).flat();
}

/** Returns the rule file of all PrometheusRules of a namespace. */
export async function ruleFile(namespace: string): Promise<object> {
  const { items } = await get('-n', namespace, KINDS.PrometheusRule);
  return {
    groups: (items as readonly { readonly spec: { readonly groups: object[] } }[]).flatMap(({ spec }) => spec.groups),
  };
}
