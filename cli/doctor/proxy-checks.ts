/** Checks the sidecars in the proxy pods of a cluster. */
import { pods } from '../../controller/resources.ts';
import { type CheckOutcome, notChecked, ok, problem, warning } from './check-result.ts';
import { CLUSTER_SECTION, type ClusterOfChecks, list } from './cluster-reader.ts';

interface ProxyContainer {
  readonly name: string;
  readonly image?: string;
}

interface ListedProxy {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec: {
    readonly containers: readonly ProxyContainer[];
    readonly initContainers?: readonly ProxyContainer[];
  };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

const PROXY_SELECTOR = 'app.kubernetes.io/managed-by=envoy-gateway,app.kubernetes.io/component=proxy';
const OWNER = 'gateway.envoyproxy.io/owning-gateway';
const SIDECAR = 'tallygate';

const sidecarOf = ({ spec }: ListedProxy) =>
  [...spec.containers, ...(spec.initContainers ?? [])].find(({ name }) => name === SIDECAR);

const proxiesOf = ({ read, namespace }: ClusterOfChecks) =>
  list<ListedProxy>(read, pods, { namespace, selector: PROXY_SELECTOR });

export async function sidecarOutcomes(cluster: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const { namespace } = cluster;
  const items = await proxiesOf(cluster);
  const having = items.filter((pod) => sidecarOf(pod) !== undefined);
  if (having.length === 0) {
    const text = `none of ${items.length} proxy pods in ${namespace} has a sidecar`;
    const fix = 'use the GatewayClass of the chart, or merge `tallygate sidecar-patch` into your EnvoyProxy';
    return [warning(text, fix, CLUSTER_SECTION)];
  }
  const found = [...notReady(having, namespace), ...withoutSidecar(items, having, namespace)];
  return found.length > 0 ? found : [ok(`${having.length} of ${items.length} proxy pods have one, and are ready`)];
}

function notReady(having: readonly ListedProxy[], namespace: string): readonly CheckOutcome[] {
  return having
    .filter(({ status }) => !status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True'))
    .map(({ metadata }) =>
      problem(
        `pod ${namespace}/${metadata.name} is not ready`,
        `see \`kubectl -n ${namespace} logs ${metadata.name} -c ${SIDECAR}\``,
        CLUSTER_SECTION,
      ),
    );
}

/** Gateways without Tallygate have no sidecar in any of their pods. */
function withoutSidecar(
  items: readonly ListedProxy[],
  having: readonly ListedProxy[],
  namespace: string,
): readonly CheckOutcome[] {
  const owners = new Set(having.map(ownerOf));
  return items
    .filter((pod) => !having.includes(pod) && owners.has(ownerOf(pod)))
    .map(({ metadata }) =>
      problem(
        `pod ${namespace}/${metadata.name} has no sidecar, unlike another pod of its Gateway`,
        `wait for the end of a rollout, or \`kubectl -n ${namespace} delete pod ${metadata.name}\``,
        CLUSTER_SECTION,
      ),
    );
}

/** Returns the Gateway of a proxy, or the class of merged Gateways. */
function ownerOf({ metadata }: ListedProxy): string {
  const { labels = {} } = metadata;
  return [`${OWNER}-namespace`, `${OWNER}-name`, `${OWNER}class`].map((name) => labels[name]).join('/');
}

/** Compares the images of the sidecars with that of the controller. */
export async function sidecarVersionOutcomes(
  cluster: ClusterOfChecks,
  controllerImage: string | undefined,
): Promise<readonly CheckOutcome[]> {
  const wanted = versionOf(controllerImage);
  if (wanted === undefined) {
    return [notChecked('there is no controller with a version')];
  }
  const { namespace } = cluster;
  const byVersion = Map.groupBy(await proxiesOf(cluster), (pod) => versionOf(sidecarOf(pod)?.image));
  const found = [...byVersion].flatMap(([version, [first, ...more]]) =>
    version === undefined || version === wanted || first === undefined
      ? []
      : [
          warning(
            `${namespace}/${first.metadata.name}${more.length === 0 ? '' : ` and ${more.length} more pods`} have ` +
              `version ${version} of the sidecar, the controller ${wanted}`,
            'upgrade the chart, and the image in an EnvoyProxy of your own',
            CLUSTER_SECTION,
          ),
        ],
  );
  return found.length > 0 ? found : [ok(`all sidecars have ${wanted}, as the controller`)];
}

/** Returns the tag of an image, else its digest. */
function versionOf(image: string | undefined): string | undefined {
  return /:([^:@/]+)(?:@|$)/.exec(image ?? '')?.[1] ?? image?.split('@')[1];
}
