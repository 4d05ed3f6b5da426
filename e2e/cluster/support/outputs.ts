/**
 * Reads what gateways in namespaces of a test write and serve, and what the controllers write about
 * them. When the process ends, a secret, a credential or content in it fails the test file.
 */
import { Output } from '../../data-plane/support/leaks/outputs.ts';
import { command, get, kubectl } from './kubectl.ts';

const OWNER = 'gateway.envoyproxy.io/owning-gateway-namespace';
const CONTROLLERS: ReadonlySet<string> = new Set(['tallygate-system', 'envoy-gateway-system']);
/** All but Secrets: what people with the right to read can see. */
const KINDS = [
  ...['aibackends', 'aigatewayroutes', 'aiquotapolicies', 'aiaccesspolicies', 'aiguardrailpolicies'],
  ...['aicontentpolicies', 'gateways', 'httproutes', 'configmaps', 'events', 'services', 'pods'],
  ...['backends.gateway.envoyproxy.io', 'backendtrafficpolicies', 'clienttrafficpolicies', 'envoyextensionpolicies'],
  ...['envoypatchpolicies', 'envoyproxies', 'httproutefilters', 'securitypolicies'],
];
/** The programs of the tests, with their texts. */
const SOURCES = /-sources$/;
/** Of the sidecar and of Envoy. */
const PAGES = [':9464/metrics', ':19001/stats/prometheus'];
const PAGE_MS = 2_000;
const startedAt = new Date().toISOString();

interface RunningPod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly status: {
    readonly podIP?: string;
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
    readonly initContainerStatuses?: readonly { readonly restartCount: number }[];
  };
}

/** Call before the namespaces are deleted. */
export async function readOutputs(namespaces: readonly string[]): Promise<void> {
  const existing = (await kubectl('get', 'namespaces', ...namespaces, '--ignore-not-found', '-o', 'name')).trim();
  if (existing === '') {
    return;
  }
  const pods: readonly RunningPod[] = (await get('pods', '-A')).items;
  const proxies = pods.filter(({ metadata }) => namespaces.includes(metadata.labels?.[OWNER] ?? ''));
  const controllers = pods.filter(
    ({ metadata }) => CONTROLLERS.has(metadata.namespace) && metadata.labels?.[OWNER] === undefined,
  );
  await Promise.all([
    ...existing.split('\n').map((name) => readObjects(name.replace('namespace/', ''))),
    ...proxies.map((pod) => readPages(pod)),
    ...proxies.map((pod) => readLogs(pod, [])),
    ...controllers.map((pod) => readLogs(pod, [`--since-time=${startedAt}`])),
    readManifest(),
  ]);
}

async function readObjects(namespace: string): Promise<void> {
  const { items } = await get(KINDS.join(), '-n', namespace);
  for (const item of items) {
    if (!SOURCES.test(item.metadata.name)) {
      new Output(`the ${item.kind} ${namespace}/${item.metadata.name}`).add(JSON.stringify(item));
    }
  }
}

async function readLogs({ metadata, status }: RunningPod, more: readonly string[]): Promise<void> {
  const { namespace, name } = metadata;
  const logs = ['-n', namespace, 'logs', name, '--all-containers', '--prefix', '--tail=-1'];
  const output = new Output(`the logs of the pod ${namespace}/${name}`);
  output.add(await kubectl(...logs, ...more));
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  if (containers.some(({ restartCount }) => restartCount > 0)) {
    // Fails for containers that did not restart.
    output.add(await kubectl(...logs, '--previous', '--ignore-errors').catch(() => ''));
  }
}

/** Outside of the network of the node, pages cannot be reached. */
async function readPages({ metadata, status }: RunningPod): Promise<void> {
  for (const page of process.env['E2E_KUBECONFIG'] === undefined ? PAGES : []) {
    const response = await fetch(`http://${status.podIP}${page}`, { signal: AbortSignal.timeout(PAGE_MS) }).catch(
      () => undefined,
    );
    new Output(`the page ${page} of the pod ${metadata.name}`).add((await response?.text()) ?? '');
  }
}

async function readManifest(): Promise<void> {
  const manifest = await command('helm', ['get', 'manifest', 'tallygate', '-n', 'tallygate-system']).catch(() => '');
  new Output('the manifest of the release').add(manifest);
}
