/** The checks of an installation on a cluster, by what its API server says. */
import { parse } from 'yaml';
import { ApiError } from '../../controller/api/client.ts';
import { type Resource, resourcePath } from '../../controller/api/resource.ts';
import { configMaps, ownResources } from '../../controller/resources.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { type Check, type CheckOutcome, ok, problem, unknown, warning } from './check-result.ts';
import { CLUSTER_SECTION, type ClusterOfChecks, CRD, list, readOrNone } from './cluster-reader.ts';
import { crdOutcomes } from './crd-checks.ts';
import { certificateOutcomes, gatewayOutcomes, requestIdOutcomes } from './entry-checks.ts';
import { sidecarOutcomes, sidecarVersionOutcomes } from './proxy-checks.ts';
import { type ObjectWithStatus, statusOutcomes } from './status-checks.ts';

/** The first version with native sidecars by default. */
const MIN_KUBERNETES_MINOR = 29;
const ENVOY_GATEWAY_VERSION = '1.9';
const DEPLOYMENT: Resource = { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments' };
const LEASE: Resource = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases' };
const ROUTE: Resource = ownResources.find(({ kind }) => kind === 'AIGatewayRoute')!;
const CONTROLLER = 'tallygate-controller';
const CONTROLLER_SELECTOR = 'app.kubernetes.io/name=tallygate,app.kubernetes.io/component=controller';
const SERVER_CHECK = 'API server';

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
    check('version of sidecars', async (each) => sidecarVersionOutcomes(each, await controllerImage(each))),
    check('Gateways', gatewayOutcomes),
    check('certificates of Gateways', certificateOutcomes),
    check('ids of requests', requestIdOutcomes),
    ...ownResources.map((resource) =>
      check(resource.kind, async ({ read }) => statusOutcomes(await list(read, resource))),
    ),
  ];
}

/** Only the check of the API server itself names it: a server that is away fails all checks. */
function unanswered(error: unknown, server: string | undefined): CheckOutcome {
  if (error instanceof ApiError && error.code === 403) {
    return unknown(`this user lacks a right: ${error.message}`, roleOf(error.message), CLUSTER_SECTION);
  }
  return server === undefined
    ? unknown(errorMessage(error))
    : problem(`${server}: ${errorMessage(error)}`, 'correct --kubeconfig or --context', CLUSTER_SECTION);
}

/** Returns the fix from what the API server says of the missing right. */
function roleOf(message: string): string {
  const right = /cannot (\w+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]+)")?/.exec(message);
  if (right === null) {
    return 'ask for the right that the message names';
  }
  const [, verb, resource, group, namespace] = right;
  const role = namespace === undefined ? 'a ClusterRole' : `a Role in ${namespace}`;
  return `ask for ${role} with ${verb} on ${resource}${group === '' ? '' : `.${group}`}`;
}

async function serverOutcomes({ read, server }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const { major, minor } = (await read('/version')) as { readonly major: string; readonly minor: string };
  const text = `${server} is Kubernetes ${major}.${minor}`;
  return Number(major) === 1 && Number.parseInt(minor, 10) < MIN_KUBERNETES_MINOR
    ? [
        problem(
          text,
          `upgrade to Kubernetes 1.${MIN_KUBERNETES_MINOR} or newer, which has native sidecars`,
          CLUSTER_SECTION,
        ),
      ]
    : [ok(text)];
}

interface AnnotatedObject {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
}

async function gatewayApiOutcomes({ read }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const path = resourcePath(CRD, '', 'gateways.gateway.networking.k8s.io');
  const crd = await readOrNone<AnnotatedObject>(read, path);
  if (crd === undefined) {
    return [problem('the CRDs of Gateway API are missing', 'install Envoy Gateway with its CRDs', CLUSTER_SECTION)];
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
      resourcePath(configMaps, namespace, 'envoy-gateway-config'),
    ),
  ]);
  if (deployment === undefined) {
    return [problem(`no Deployment envoy-gateway is in ${namespace}`, install, CLUSTER_SECTION)];
  }
  const config = parse(settings?.data?.['envoy-gateway.yaml'] ?? '{}') as EnvoyGatewayConfig | null;
  const { enableBackend = false, enableEnvoyPatchPolicy = false } = config?.extensionApis ?? {};
  const value = (name: string) => `set config.envoyGateway.extensionApis.${name}=true in its chart`;
  return [
    replicasOutcome(deployment),
    ...imageOutcomes(deployment, ENVOY_GATEWAY_VERSION, install),
    enableBackend
      ? ok('its Backend API is on')
      : problem('its Backend API is off', value('enableBackend'), CLUSTER_SECTION),
    enableEnvoyPatchPolicy
      ? ok('EnvoyPatchPolicy is on')
      : patchOutcome(await list(read, ROUTE), value('enableEnvoyPatchPolicy')),
  ];
}

/** Only routes with several backends and `failover` report this condition. */
function patchOutcome(routes: readonly ObjectWithStatus[], fix: string): CheckOutcome {
  const lacking = routes.filter(({ status }) =>
    status?.parents?.some(({ conditions }) =>
      conditions?.some(({ type, status: state }) => type === 'tallygate.dev/FailoverWithinRequest' && state !== 'True'),
    ),
  );
  if (lacking.length === 0) {
    return ok('EnvoyPatchPolicy is off, and no route needs it');
  }
  const [first, ...more] = lacking.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
  const names = more.length === 0 ? first : `${first} and ${more.length} more`;
  return warning(`EnvoyPatchPolicy is off: ${names} cannot fail over within a request`, fix, CLUSTER_SECTION);
}

function replicasOutcome({ metadata, spec, status }: DeploymentObject): CheckOutcome {
  const [ready, wanted] = [status?.readyReplicas ?? 0, spec.replicas ?? 1];
  const text = `${ready} of ${wanted} replicas of ${metadata.namespace}/${metadata.name} are ready`;
  const fix = `see \`kubectl -n ${metadata.namespace} describe deployment ${metadata.name}\` and the log`;
  if (ready === 0) {
    return problem(text, fix, CLUSTER_SECTION);
  }
  return ready < wanted ? warning(text, fix, CLUSTER_SECTION) : ok(text);
}

/** Compares the tag of the image, if it is a version. */
function imageOutcomes({ spec }: DeploymentObject, wanted: string, fix: string): readonly CheckOutcome[] {
  const image = spec.template.spec.containers[0]?.image ?? '';
  const version = /:v?(\d+\.\d+(?:\.\d+)?)(?:[-@]|$)/.exec(image)?.[1];
  return version === undefined || `${version}.`.startsWith(`${wanted}.`)
    ? []
    : [warning(`its version is ${version}, not ${wanted}`, fix, CLUSTER_SECTION)];
}

interface ControllerLease {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly renewTime?: string;
    readonly leaseDurationSeconds?: number;
  };
}

const controllersOf = ({ read }: ClusterOfChecks) =>
  list<DeploymentObject>(read, DEPLOYMENT, { selector: CONTROLLER_SELECTOR });

async function controllerImage(cluster: ClusterOfChecks): Promise<string | undefined> {
  const [deployment] = await controllersOf(cluster);
  return deployment?.spec.template.spec.containers[0]?.image;
}

async function controllerOutcomes(cluster: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const { read, version, now } = cluster;
  const [deployment, ...others] = await controllersOf(cluster);
  if (deployment === undefined) {
    return [problem('there is no controller', 'install the chart of Tallygate', CLUSTER_SECTION)];
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
      : problem('nobody holds its Lease', `see the log of the controller in ${namespace}`, CLUSTER_SECTION),
    ...others.map(({ metadata }) =>
      problem(`${metadata.namespace} has another controller`, 'keep one installation in a cluster', CLUSTER_SECTION),
    ),
  ];
}
