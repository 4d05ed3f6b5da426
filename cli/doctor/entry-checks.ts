/** Checks the Gateways that AIGatewayRoutes name: their class, conditions, and certificates. */
import { type Resource, resourcePath } from '../../controller/api/resource.ts';
import { clientPolicies, gatewayClasses, gateways, ownResources, secrets } from '../../controller/resources.ts';
import { type CheckOutcome, notChecked, ok, problem, warning } from './check-result.ts';
import { CLUSTER_SECTION, type ClusterOfChecks, list, type ReadApi, readOrNone } from './cluster-reader.ts';
import { certificateExpiries, expiryOutcomes } from './expiry-checks.ts';
import type { ConditionHolder, StatusCondition } from './status-checks.ts';

interface ParentReference {
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
}

interface RouteWithParents {
  readonly metadata: { readonly namespace: string };
  readonly spec: { readonly parentRefs?: readonly ParentReference[] };
}

interface ListenerObject {
  readonly tls?: { readonly certificateRefs?: readonly ParentReference[] };
}

interface GatewayObject {
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly spec: { readonly gatewayClassName: string; readonly listeners?: readonly ListenerObject[] };
  readonly status?: ConditionHolder & { readonly listeners?: readonly (ConditionHolder & { readonly name: string })[] };
}

interface ClientPolicyObject {
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly spec: {
    readonly targetRef?: ParentReference;
    readonly targetRefs?: readonly ParentReference[];
    readonly headers?: { readonly requestID?: string };
  };
}

const routes: Resource = ownResources.find(({ kind }) => kind === 'AIGatewayRoute')!;

const nameOf = ({ metadata }: { readonly metadata: { readonly namespace: string; readonly name: string } }) =>
  `${metadata.namespace}/${metadata.name}`;

/** A route whose Gateway does not exist reports that itself. */
async function usedGateways(read: ReadApi): Promise<readonly GatewayObject[]> {
  const [all, users] = await Promise.all([list<GatewayObject>(read, gateways), list<RouteWithParents>(read, routes)]);
  const used = new Set(
    users.flatMap(({ metadata, spec }) =>
      (spec.parentRefs ?? [])
        .filter(({ kind = 'Gateway' }) => kind === 'Gateway')
        .map(({ namespace = metadata.namespace, name }) => `${namespace}/${name}`),
    ),
  );
  return all.filter((gateway) => used.has(nameOf(gateway)));
}

export async function gatewayOutcomes({ read }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const used = await usedGateways(read);
  if (used.length === 0) {
    return [notChecked('no AIGatewayRoute has a Gateway')];
  }
  const classes = [...new Set(used.map(({ spec }) => spec.gatewayClassName))];
  const found = [
    ...(await Promise.all(classes.map((name) => classOutcomes(read, name)))).flat(),
    ...used.flatMap(conditionOutcomes),
  ];
  return found.length > 0 ? found : [ok(`all ${used.length} of AIGatewayRoutes are programmed`)];
}

async function classOutcomes(read: ReadApi, name: string): Promise<readonly CheckOutcome[]> {
  const found = await readOrNone<{ readonly status?: ConditionHolder }>(read, resourcePath(gatewayClasses, '', name));
  if (found === undefined) {
    const fix = 'correct spec.gatewayClassName of its Gateways; that of the chart is tallygate';
    return [problem(`there is no GatewayClass ${name}`, fix, CLUSTER_SECTION)];
  }
  const accepted = found.status?.conditions?.find(({ type }) => type === 'Accepted');
  return accepted?.status === 'True'
    ? []
    : [
        problem(
          `GatewayClass ${name} is not accepted${messageOf(accepted)}`,
          'correct its controllerName and parametersRef, and see the log of Envoy Gateway',
          CLUSTER_SECTION,
        ),
      ];
}

function messageOf(condition: StatusCondition | undefined): string {
  return condition === undefined ? '' : `, ${condition.reason}: ${condition.message}`;
}

/** Reports the first condition that keeps a Gateway or a listener from serving. */
function conditionOutcomes(gateway: GatewayObject): readonly CheckOutcome[] {
  const name = nameOf(gateway);
  const { namespace } = gateway.metadata;
  const { conditions = [], listeners = [] } = gateway.status ?? {};
  const fix = `see \`kubectl -n ${namespace} describe gateway ${gateway.metadata.name}\``;
  const wrong = wrongCondition(conditions, ['Accepted', 'Programmed']);
  // Such a Gateway serves inside the cluster.
  if (wrong !== undefined && 'reason' in wrong && wrong.reason === 'AddressNotAssigned') {
    const address =
      'give the cluster a load balancer, or set spec.addresses or the type of its Service in an EnvoyProxy';
    return [warning(`${name} has no address${messageOf(wrong)}`, address, CLUSTER_SECTION)];
  }
  if (wrong !== undefined) {
    const text = 'reason' in wrong ? messageOf(wrong) : ', Envoy Gateway has not seen it';
    return [problem(`${name} is not ${wrong.type.toLowerCase()}${text}`, fix, CLUSTER_SECTION)];
  }
  return listeners.flatMap((listener) => {
    const ofListener = (listener.conditions ?? []).find(
      ({ type, status }) => status === 'False' && ['Accepted', 'ResolvedRefs', 'Programmed'].includes(type),
    );
    return ofListener === undefined
      ? []
      : [
          problem(
            `${name} listener ${listener.name}: ${ofListener.type}: False${messageOf(ofListener)}`,
            fix,
            CLUSTER_SECTION,
          ),
        ];
  });
}

/** Returns the first of these conditions that is absent or not `True`. */
function wrongCondition(conditions: readonly StatusCondition[], types: readonly string[]) {
  return types
    .map((wanted) => conditions.find(({ type }) => type === wanted) ?? { type: wanted, status: 'absent' as const })
    .find(({ status }) => status !== 'True');
}

/** Reads certificates only, and nothing else of their Secrets. */
export async function certificateOutcomes({ read, now }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const references = new Map(
    (await usedGateways(read)).flatMap(({ metadata, spec }) =>
      (spec.listeners ?? [])
        .flatMap(({ tls }) => tls?.certificateRefs ?? [])
        .filter(({ kind = 'Secret' }) => kind === 'Secret')
        .map(({ namespace = metadata.namespace, name }) => [`${namespace}/${name}`, { namespace, name }]),
    ),
  );
  if (references.size === 0) {
    return [notChecked('no Gateway of an AIGatewayRoute has a certificate')];
  }
  const expiries = await Promise.all(
    [...references].map(async ([fullName, { namespace, name }]) => {
      const secret = await readOrNone<{ readonly data?: Readonly<Record<string, string>> }>(
        read,
        resourcePath(secrets, namespace, name),
      );
      const text = Buffer.from(secret?.data?.['tls.crt'] ?? '', 'base64').toString();
      return certificateExpiries(`Secret ${fullName} tls.crt`, text, true);
    }),
  );
  return expiryOutcomes(expiries.flat(), now());
}

/** Without an id, access lines cannot be found by what a client or a provider reports. */
export async function requestIdOutcomes({ read }: ClusterOfChecks): Promise<readonly CheckOutcome[]> {
  const [policies, used] = await Promise.all([list<ClientPolicyObject>(read, clientPolicies), usedGateways(read)]);
  const names = new Set(used.map(nameOf));
  const found = policies
    .filter(({ spec }) => spec.headers?.requestID === 'Disable')
    .filter(({ metadata, spec }) =>
      [...(spec.targetRefs ?? []), ...(spec.targetRef === undefined ? [] : [spec.targetRef])].some(({ name }) =>
        names.has(`${metadata.namespace}/${name}`),
      ),
    )
    .map((policy) =>
      warning(
        `ClientTrafficPolicy ${nameOf(policy)} turns off the ids of requests`,
        'set spec.headers.requestID to PreserveOrGenerate',
        CLUSTER_SECTION,
      ),
    );
  return found.length > 0 ? found : [ok('no ClientTrafficPolicy turns them off')];
}
