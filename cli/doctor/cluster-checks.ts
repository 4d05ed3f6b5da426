/** The checks of an installation on a cluster, by what its API server says. */
import { parse } from 'yaml';
import { ApiError } from '../../controller/api/client.ts';
import { type Resource, resourcePath } from '../../controller/api/resource.ts';
import { ownResources } from '../../controller/resources.ts';
import { kinds } from '../../crds/kinds.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { type Check, type CheckOutcome, notChecked, ok, problem, warning } from './check-result.ts';
import { type ObjectWithStatus, statusOutcomes } from './status-checks.ts';

/** Returns the response of the API server as JSON. Rejects with an `ApiError`. */
export type ReadApi = (path: string) => Promise<unknown>;

export interface ClusterOfChecks {
  readonly version: string;
  readonly server: string;
  /** The namespace of Envoy Gateway and of the proxies. */
  readonly namespace: string;
  readonly read: ReadApi;
  readonly now: () => number;
}

/** The first version with native sidecars by default. */
const MIN_KUBERNETES_MINOR = 29;
const ENVOY_GATEWAY_VERSION = '1.9';
const CRD: Resource = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  clusterWide: true,
};
const DEPLOYMENT: Resource = { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments' };
const LEASE: Resource = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases' };
const CONFIG_MAP: Resource = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps' };
const POD: Resource = { apiVersion: 'v1', kind: 'Pod', plural: 'pods' };
const CONTROLLER = 'tallygate-controller';
const CONTROLLER_SELECTOR = 'app.kubernetes.io/name=tallygate,app.kubernetes.io/component=controller';
const PROXY_SELECTOR = 'app.kubernetes.io/managed-by=envoy-gateway,app.kubernetes.io/component=proxy';
const SIDECAR = 'tallygate';
const SERVER_CHECK = 'API server';
const SECTION = 'an-installation-on-a-cluster';
/** The most objects that one list reads. */
const LIST_LIMIT = 500;

export function clusterChecks(cluster: ClusterOfChecks): readonly Check[] {
  const check = (name: string, run: (cluster: ClusterOfChecks) => Promise<readonly CheckOutcome[]>): Check => ({
    name,
    run: async () => {
      try {
        return await run(cluster);
      } catch (error) {
        return [unanswered(error, name === SERVER_CHECK ? cluster.server : undefined)];
      }
    },
  });
  return [
    check(SERVER_CHECK, serverOutcomes),
    check('CRDs', crdOutcomes),
    check('Gateway API', gatewayApiOutcomes),
    check('Envoy Gateway', envoyGatewayOutcomes),
    check('controller', controllerOutcomes),
    check('sidecars', sidecarOutcomes),
    ...ownResources.map((resource) =>
      check(resource.kind, async ({ read }) => statusOutcomes((await list(read, resource)).items)),
    ),
  ];
}

/** Only the check of the API server itself names it: a server that is away fails all checks. */
function unanswered(error: unknown, server: string | undefined): CheckOutcome {
  if (error instanceof ApiError && error.code === 403) {
    return notChecked(`this user lacks a right: ${error.message}`);
  }
  return server === undefined
    ? notChecked(errorMessage(error))
    : problem(`${server}: ${errorMessage(error)}`, 'correct --kubeconfig or --context', SECTION);
}

interface ObjectList<T> {
  readonly items: readonly T[];
}

async function list<T = ObjectWithStatus>(
  read: ReadApi,
  resource: Resource,
  { namespace = '', selector }: { readonly namespace?: string; readonly selector?: string } = {},
): Promise<ObjectList<T>> {
  const query = new URLSearchParams({ limit: String(LIST_LIMIT) });
  if (selector !== undefined) {
    query.set('labelSelector', selector);
  }
  return (await read(`${resourcePath(resource, namespace)}?${query}`)) as ObjectList<T>;
}

async function readOrNone<T>(read: ReadApi, path: string): Promise<T | undefined> {
  try {
    return (await read(path)) as T;
  } catch (error) {
    if (error instanceof ApiError && error.code === 404) {
      return undefined;
    }
    throw error;
  }
}

async function serverOutcomes({ read, server }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const { major, minor } = (await read('/version')) as { readonly major: string; readonly minor: string };
  const text = `${server} is Kubernetes ${major}.${minor}`;
  return Number(major) === 1 && Number.parseInt(minor, 10) < MIN_KUBERNETES_MINOR
    ? [problem(text, `upgrade to Kubernetes 1.${MIN_KUBERNETES_MINOR} or newer, which has native sidecars`, SECTION)]
    : [ok(text)];
}

interface LabelledObject {
  readonly metadata: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

async function crdOutcomes({ read, version }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const outcomes = await Promise.all(
    kinds.map(async ({ plural }): Promise<readonly CheckOutcome[]> => {
      const name = `${plural}.tallygate.dev`;
      const crd = await readOrNone<LabelledObject>(read, resourcePath(CRD, '', name));
      if (crd === undefined) {
        return [problem(`${name} is missing`, 'install the chart with crds.install, or apply its CRDs', SECTION)];
      }
      const installed = crd.metadata.labels?.['app.kubernetes.io/version'];
      return installed === undefined || installed === version
        ? []
        : [warning(`${name} is of version ${installed}, not ${version}`, 'upgrade the chart with its CRDs', SECTION)];
    }),
  );
  const found = outcomes.flat();
  return found.length > 0 ? found : [ok(`all ${kinds.length} are installed`)];
}

async function gatewayApiOutcomes({ read }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const path = resourcePath(CRD, '', 'gateways.gateway.networking.k8s.io');
  const crd = await readOrNone<LabelledObject>(read, path);
  if (crd === undefined) {
    return [problem('the CRDs of Gateway API are missing', 'install Envoy Gateway with its CRDs', SECTION)];
  }
  return [ok(`version ${crd.metadata.annotations?.['gateway.networking.k8s.io/bundle-version'] ?? 'unknown'}`)];
}

interface DeploymentObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly replicas?: number;
    readonly template: { readonly spec: { readonly containers: readonly { readonly image: string }[] } };
  };
  readonly status?: { readonly readyReplicas?: number };
}

interface EnvoyGatewayConfig {
  readonly extensionApis?: { readonly enableBackend?: boolean; readonly enableEnvoyPatchPolicy?: boolean };
}

async function envoyGatewayOutcomes({ read, namespace }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const install = `install Envoy Gateway ${ENVOY_GATEWAY_VERSION}, or select its namespace with --namespace`;
  const [deployment, settings] = await Promise.all([
    readOrNone<DeploymentObject>(read, resourcePath(DEPLOYMENT, namespace, 'envoy-gateway')),
    readOrNone<{ readonly data?: Readonly<Record<string, string>> }>(
      read,
      resourcePath(CONFIG_MAP, namespace, 'envoy-gateway-config'),
    ),
  ]);
  if (deployment === undefined) {
    return [problem(`no Deployment envoy-gateway is in ${namespace}`, install, SECTION)];
  }
  const config = parse(settings?.data?.['envoy-gateway.yaml'] ?? '{}') as EnvoyGatewayConfig | null;
  const { enableBackend = false, enableEnvoyPatchPolicy = false } = config?.extensionApis ?? {};
  const value = (name: string) => `set config.envoyGateway.extensionApis.${name}=true in its chart`;
  return [
    replicasOutcome(deployment),
    ...imageOutcomes(deployment, ENVOY_GATEWAY_VERSION, install),
    enableBackend ? ok('its Backend API is on') : problem('its Backend API is off', value('enableBackend'), SECTION),
    enableEnvoyPatchPolicy
      ? ok('EnvoyPatchPolicy is on')
      : warning('EnvoyPatchPolicy is off: no failover in a request', value('enableEnvoyPatchPolicy'), SECTION),
  ];
}

function replicasOutcome({ metadata, spec, status }: DeploymentObject): CheckOutcome {
  const [ready, wanted] = [status?.readyReplicas ?? 0, spec.replicas ?? 1];
  const text = `${ready} of ${wanted} replicas of ${metadata.namespace}/${metadata.name} are ready`;
  const fix = `see \`kubectl -n ${metadata.namespace} describe deployment ${metadata.name}\` and the log`;
  if (ready === 0) {
    return problem(text, fix, SECTION);
  }
  return ready < wanted ? warning(text, fix, SECTION) : ok(text);
}

/** Compares the tag of the image, if it is a version. */
function imageOutcomes({ spec }: DeploymentObject, wanted: string, fix: string): readonly CheckOutcome[] {
  const image = spec.template.spec.containers[0]?.image ?? '';
  const version = /:v?(\d+\.\d+(?:\.\d+)?)(?:[-@]|$)/.exec(image)?.[1];
  return version === undefined || `${version}.`.startsWith(`${wanted}.`)
    ? []
    : [warning(`its version is ${version}, not ${wanted}`, fix, SECTION)];
}

interface ControllerLease {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly renewTime?: string;
    readonly leaseDurationSeconds?: number;
  };
}

async function controllerOutcomes({ read, version, now }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const { items } = await list<DeploymentObject>(read, DEPLOYMENT, { selector: CONTROLLER_SELECTOR });
  const [deployment, ...others] = items;
  if (deployment === undefined) {
    return [problem('there is no controller', 'install the chart of Tallygate', SECTION)];
  }
  const { namespace } = deployment.metadata;
  const lease = await readOrNone<ControllerLease>(read, resourcePath(LEASE, namespace, CONTROLLER));
  const { holderIdentity = '', renewTime = '', leaseDurationSeconds = 0 } = lease?.spec ?? {};
  const isHeld = holderIdentity !== '' && Date.parse(renewTime) + leaseDurationSeconds * 1000 > now();
  return [
    replicasOutcome(deployment),
    ...imageOutcomes(deployment, version, 'use the tallygate of the version of the controller'),
    isHeld
      ? ok(`${holderIdentity} holds its Lease`)
      : problem('nobody holds its Lease', `see the log of the controller in ${namespace}`, SECTION),
    ...others.map(({ metadata }) =>
      problem(`${metadata.namespace} has another controller`, 'keep one installation in a cluster', SECTION),
    ),
  ];
}

interface ListedProxy {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly containers: readonly { readonly name: string }[];
    readonly initContainers?: readonly { readonly name: string }[];
  };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

async function sidecarOutcomes({ read, namespace }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const { items } = await list<ListedProxy>(read, POD, { namespace, selector: PROXY_SELECTOR });
  const having = items.filter(({ spec }) =>
    [...spec.containers, ...(spec.initContainers ?? [])].some(({ name }) => name === SIDECAR),
  );
  if (having.length === 0) {
    const text = `none of ${items.length} proxy pods in ${namespace} has a sidecar`;
    const fix = 'use the GatewayClass of the chart, or merge `tallygate sidecar-patch` into your EnvoyProxy';
    return [warning(text, fix, SECTION)];
  }
  const notReady = having.filter(
    ({ status }) => !status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True'),
  );
  return notReady.length === 0
    ? [ok(`${having.length} of ${items.length} proxy pods have one, and are ready`)]
    : notReady.map(({ metadata }) =>
        problem(
          `pod ${namespace}/${metadata.name} is not ready`,
          `see \`kubectl -n ${namespace} logs ${metadata.name} -c ${SIDECAR}\``,
          SECTION,
        ),
      );
}
