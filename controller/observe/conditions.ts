/**
 * Adds the conditions that need a view of the proxies, `Programmed` and `Enforcing`, to the plan's
 * statuses, for each Gateway that accepts the object.
 */

import type { GatewayPolicy, Quota } from '../../contract/policy.ts';
import type { PolicyVersion } from '../../contract/policy-version.ts';
import { type Condition, condition } from '../../crds/conditions.ts';
import type { AffectedNames, ConfigCheck } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import type { GeneratedRoute } from '../../translate/kubernetes/plan.ts';
import type { ObjectStatus } from '../../translate/plan.ts';
import type { ConnectedSidecar } from '../push/sidecar.ts';
import { missingDestinations } from './content-destinations.ts';
import type { History, ObjectKey } from './contents.ts';
import { withheldFrom } from './detector-secrets.ts';
import { fleetsOf, type GatewayFacts, type ProxyPod } from './fleets.ts';
import { enforcedQuotas, hasReported, lossOf, meaningOf } from './store-loss.ts';
import type { GatewayVerdict } from './verdicts.ts';

export interface Observation {
  readonly gateways: readonly GatewayFacts[];
  readonly pods: readonly ProxyPod[];
  readonly sidecars: readonly ConnectedSidecar[];
  /** The version that the sidecars of a fleet should have. */
  published(fleet: string): PolicyVersion | undefined;
  /** By how much the newest policy of a fleet is too large to be sent. */
  excessBytes(fleet: string): number;
  /** Whether a version has the same content for an object as the fleet's newest one. */
  isCurrent: History['isCurrent'];
  /** The newest policy of a fleet. */
  readonly policy: History['policy'];
  /** The shared quota store, and what is wrong with its Secret; undefined: there is none. */
  readonly sharedStore: { readonly problem: string } | undefined;
  /**
   * The sidecars are still connecting to a new leader: a missing report is not reported as
   * `Pending`.
   */
  readonly settling: boolean;
  readonly generatedRoutes: readonly GeneratedRoute[];
  /** Envoy Gateway's verdict on a generated HTTPRoute and the policy of its namespace. */
  verdict(httpRoute: string, gateway: string): GatewayVerdict | undefined;
  /** The message about users' processors that Tallygate replaces at a listener of a Gateway. */
  replaced(gateway: string, listener: string | undefined): string | undefined;
}

export function withObserved(statuses: readonly ObjectStatus[], observation: Observation): readonly ObjectStatus[] {
  const newView = viewMaker(observation);
  return statuses.map((status): ObjectStatus => {
    const { namespace, name } = status.object;
    const own = `${namespace}/${name}`;
    const key = `${status.object.kind} ${own}`;
    const { settling } = observation;
    return {
      ...status,
      ...(status.parents && {
        parents: status.parents.map((parent) => {
          const gateway = `${parent.parentRef.namespace ?? namespace}/${parent.parentRef.name}`;
          const conditions = withConditions(parent.conditions, newView(gateway), key, settling, own);
          const replaced = observation.replaced(gateway, parent.parentRef.sectionName);
          return { ...parent, conditions: withReplaced(conditions, replaced) };
        }),
      }),
      ...(status.ancestors && {
        ancestors: status.ancestors.map((ancestor) => {
          const gateway = `${ancestor.ancestorRef.namespace}/${ancestor.ancestorRef.name}`;
          return {
            ...ancestor,
            conditions: withConditions(ancestor.conditions, newView(gateway), key, settling, undefined),
          };
        }),
      }),
    };
  });
}

type ObservedReason<Type extends 'Programmed' | 'Enforcing'> = readonly [
  reason: Parameters<typeof condition<Type>>[1],
  message: string,
];

/** The observed state of one Gateway. */
interface GatewayView {
  readonly gateway: string;
  programmed(key: ObjectKey): ObservedReason<'Programmed'>;
  /** `route`: `NAMESPACE/NAME` of an AIGatewayRoute; undefined: all routes of the Gateway. */
  enforcing(key: ObjectKey, route: string | undefined): ObservedReason<'Enforcing'>;
}

function withConditions(
  conditions: readonly Condition[],
  view: GatewayView,
  key: ObjectKey,
  settling: boolean,
  route: string | undefined,
): readonly Condition[] {
  const accepted = conditions.find(({ type }) => type === 'Accepted');
  if (accepted?.status !== 'True') {
    return conditions;
  }
  const generation = accepted.observedGeneration;
  const found = [
    condition('Programmed', ...view.programmed(key), generation),
    condition('Enforcing', ...view.enforcing(key, route), generation),
  ];
  return [...conditions, ...found.filter(({ reason }) => !(settling && reason === 'Pending'))];
}

function withReplaced(conditions: readonly Condition[], message: string | undefined): readonly Condition[] {
  const accepted = conditions.find(({ type }) => type === 'Accepted');
  if (message === undefined || accepted?.status !== 'True') {
    return conditions;
  }
  const { observedGeneration } = accepted;
  return [
    ...conditions,
    condition('tallygate.dev/ProcessorReplaced', 'ReplacedByTallygate', message, observedGeneration),
  ];
}

function viewMaker(observation: Observation): (gateway: string) => GatewayView {
  const views = new Map<string, GatewayView>();
  return (gateway) => {
    const view = views.get(gateway) ?? viewOf(gateway, observation);
    views.set(gateway, view);
    return view;
  };
}

function viewOf(gateway: string, observation: Observation): GatewayView {
  const facts = observation.gateways.find(({ name }) => name === gateway);
  const fleets = facts === undefined ? [] : fleetsOf(facts);
  const pods = observation.pods.filter((pod) => fleets.includes(pod.fleet) && pod.ready && !pod.terminating);
  const sidecars = new Map(observation.sidecars.map((each) => [each.pod.podUid, each]));
  const watched = pods.map((pod): ObservedProxy => {
    const sidecar = sidecars.get(pod.uid);
    return {
      pod,
      sidecar,
      wanted: observation.published(pod.fleet),
      has: (version, key) => version !== undefined && observation.isCurrent(pod.fleet, version, key),
      policy: observation.policy(pod.fleet),
      excessBytes: observation.excessBytes(pod.fleet),
    };
  });
  const own = observation.generatedRoutes.filter((each) => each.gateway === gateway);
  const byRoute = Map.groupBy(own, ({ route }) => route);
  return {
    gateway,
    programmed: (key) => programmedOf(watched, key),
    enforcing: (key, route) =>
      enforcingOf(
        watched,
        key,
        route === undefined ? own : [...(byRoute.get('') ?? []), ...(byRoute.get(route) ?? [])],
        (httpRoute) => observation.verdict(httpRoute, gateway),
        observation.sharedStore,
      ),
  };
}

interface ObservedProxy {
  readonly pod: ProxyPod;
  readonly sidecar: ConnectedSidecar | undefined;
  readonly wanted: PolicyVersion | undefined;
  /** Whether the version of the policy has the current content of the object. */
  has(version: string | undefined, key: ObjectKey): boolean;
  /** The newest of its fleet. */
  readonly policy: GatewayPolicy | undefined;
  readonly excessBytes: number;
}

/** Returns the enforced quotas of an object in the newest policy of a proxy. */
function quotasOf({ policy }: ObservedProxy, key: ObjectKey): readonly Quota[] {
  return policy === undefined ? [] : enforcedQuotas(policy, key);
}

const noProxies = ['NoProxies', 'no proxy pod of the Gateway is ready'] as const;

function programmedOf(watched: readonly ObservedProxy[], key: ObjectKey): ObservedReason<'Programmed'> {
  if (watched.length === 0) {
    return noProxies;
  }
  const withoutSidecar = watched.find(({ pod }) => !pod.hasSidecar);
  if (withoutSidecar !== undefined) {
    const message = `${podName(withoutSidecar)} has no sidecar; fix: use the GatewayClass of the chart, or merge the output of \`tallygate sidecar-patch\` into your EnvoyProxy`;
    return ['NoSidecar', message];
  }
  for (const each of watched) {
    const refused = each.sidecar?.refused;
    if (refused !== undefined && refused.version.version === each.wanted?.version) {
      return ['Refused', `${podName(each)} refuses the policy: ${refused.reason}`];
    }
  }
  const late = watched.filter(({ sidecar, has }) => !has(sidecar?.acknowledged?.version, key));
  const tooLarge = late.find(({ excessBytes }) => excessBytes > 0);
  if (tooLarge !== undefined) {
    const size = `${tooLarge.excessBytes} bytes more than the controller can send`;
    return [
      'PolicyTooLarge',
      `the policy of ${podName(tooLarge)} has ${size}, so an older one stays in force; fix: remove routes and policies, or divide them between Gateways with proxies of their own`,
    ];
  }
  if (late.length > 0) {
    return ['Pending', `${late.length} of ${watched.length} sidecars do not have the policy yet`];
  }
  return ['Programmed', `${watched.length} of ${watched.length} sidecars have the policy`];
}

function enforcingOf(
  watched: readonly ObservedProxy[],
  key: ObjectKey,
  routes: readonly GeneratedRoute[],
  verdict: (httpRoute: string) => GatewayVerdict | undefined,
  sharedStore: Observation['sharedStore'],
): ObservedReason<'Enforcing'> {
  if (watched.length === 0) {
    return noProxies;
  }
  const verdicts = routes.flatMap(({ httpRoute }) => verdict(httpRoute) ?? []);
  const bad = verdicts.find(({ reason }) => reason !== 'Pending');
  if (bad !== undefined) {
    return [bad.reason, bad.message];
  }
  const withoutSidecar = watched.find(({ pod }) => !pod.hasSidecar);
  if (withoutSidecar !== undefined) {
    return ['FilterMissing', `${podName(withoutSidecar)} has no sidecar: its traffic is not counted`];
  }
  const names = new Set(routes.flatMap(({ envoyRouteNames }) => envoyRouteNames));
  for (const each of watched) {
    const { configCheck } = each.sidecar ?? {};
    const found = configCheck && each.has(configCheck.version?.version, key) ? faultOf(configCheck, names) : undefined;
    if (found !== undefined) {
      return [found[0], `${podName(each)}: ${found[1]}`];
    }
  }
  const lost = sharedStore && storeLoss(watched, key, sharedStore.problem);
  if (lost !== undefined) {
    return ['QuotaStoreLost', lost];
  }
  for (const { sidecar, policy } of watched) {
    const withheld = sidecar && policy && withheldFrom(sidecar, policy, key);
    if (withheld !== undefined) {
      return ['SecretsWithheld', withheld];
    }
    const missing = sidecar && policy && missingDestinations(sidecar, policy, key);
    if (missing !== undefined) {
      return ['DestinationNotConfigured', missing];
    }
  }
  const unverified = watched.filter(
    ({ sidecar, has }) => !has(sidecar?.configCheck?.version?.version, key) || sidecar?.configCheck?.unreadable !== '',
  );
  if (unverified.length > 0 || verdicts.length > 0) {
    const unreadable = unverified.find(({ sidecar }) => sidecar?.configCheck?.unreadable)?.sidecar?.configCheck
      ?.unreadable;
    const waiting = `${unverified.length} of ${watched.length} proxies have not reported their configuration yet`;
    return ['Pending', verdicts[0]?.message ?? (unreadable ? `${waiting}: ${unreadable}` : waiting)];
  }
  const silent = watched.filter(
    (each) => sharedStore && each.sidecar && !hasReported(each.sidecar) && quotasOf(each, key).length > 0,
  );
  if (silent.length > 0) {
    return ['Pending', `${silent.length} of ${watched.length} proxies do not count in the shared quota store yet`];
  }
  return ['Enforcing', `verified in the configuration of ${watched.length} of ${watched.length} proxies`];
}

/** Returns what the loss of the store means for the quotas of an object, if it has any. */
function storeLoss(watched: readonly ObservedProxy[], key: ObjectKey, problem: string): string | undefined {
  const lost = watched.flatMap((each) => {
    const loss = each.sidecar && lossOf(each.sidecar);
    return loss === undefined ? [] : [{ ...each, loss }];
  });
  const [first] = lost;
  const meaning = meaningOf([...new Set(lost.flatMap((each) => quotasOf(each, key)))]);
  if (first === undefined || meaning === undefined) {
    return undefined;
  }
  const cause = `${podName(first)}: ${first.loss}${problem === '' ? '' : `; ${problem}`}`;
  return `${lost.length} of ${watched.length} proxies do not reach the shared quota store (${cause}); ${meaning}`;
}

function faultOf(configCheck: ConfigCheck, names: ReadonlySet<string>): ObservedReason<'Enforcing'> | undefined {
  const listeners = configCheck.listenersWithoutFilter;
  if (listeners !== undefined && listeners.total > 0) {
    return ['FilterMissing', `listeners without the filter: ${listing(listeners, listeners.names)}`];
  }
  const unfiltered = affectedAmong(configCheck.unfiltered, names);
  if (unfiltered !== undefined) {
    return ['FilterMissing', `routes without the filter: ${unfiltered}`];
  }
  const failing = affectedAmong(configCheck.failing, names);
  if (failing !== undefined) {
    return ['NotAccepted', `routes that Envoy answers with an error: ${failing}`];
  }
  const missing = affectedAmong(configCheck.missing, names);
  if (missing !== undefined) {
    return ['RouteMissing', `routes that Envoy does not have: ${missing}`];
  }
  return undefined;
}

/**
 * Returns the affected names among these routes. If the list is cut, the others may include them.
 */
function affectedAmong(findings: AffectedNames | undefined, names: ReadonlySet<string>): string | undefined {
  if (findings === undefined || findings.total === 0) {
    return undefined;
  }
  const own = findings.names.filter((name) => names.has(name));
  return own.length === 0 && findings.total <= findings.names.length ? undefined : listing(findings, own);
}

function listing({ total, names }: AffectedNames, shown: readonly string[]): string {
  const more = total - names.length;
  return [
    ...shown.slice(0, 3),
    ...(more > 0 || shown.length > 3 ? [`${Math.max(more, shown.length - 3)} more`] : []),
  ].join(', ');
}

function podName({ pod }: ObservedProxy): string {
  return `pod ${pod.namespace}/${pod.name}`;
}
