/**
 * `Programmed` and `Enforcing`: what only those can say who see the proxies. In come the plan's statuses and what was observed, out come the same statuses with
 * these conditions for each Gateway on which an object is accepted.
 */
import { type Condition, condition } from '../../crds/conditions.ts';
import type { AffectedNames, ConfigCheck } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import type { GeneratedRoute } from '../../translate/kubernetes/plan.ts';
import type { ObjectStatus } from '../../translate/plan.ts';
import type { Connected } from '../push/sidecar.ts';
import type { PolicyVersion } from '../push/wire.ts';
import type { History, ObjectKey } from './contents.ts';
import { fleetsOf, type GatewayFacts, type ProxyPod } from './fleets.ts';
import type { Verdict } from './verdicts.ts';

export interface Observation {
  readonly gateways: readonly GatewayFacts[];
  readonly pods: readonly ProxyPod[];
  readonly sidecars: readonly Connected[];
  /** What the sidecars of a fleet should have. */
  published(fleet: string): PolicyVersion | undefined;
  /** Whether a version of a fleet's policy says of an object what the newest one says. */
  isCurrent: History['isCurrent'];
  /** A new leader waits for the sidecars to come to it: what it has not heard yet, it does not take for bad news. */
  readonly settling: boolean;
  readonly generatedRoutes: readonly GeneratedRoute[];
  /** What Envoy Gateway holds against a generated HTTPRoute, or against what holds for all of its namespace. */
  verdict(httpRoute: string, gateway: string): Verdict | undefined;
  /** What our filter pushes aside at a listener of a Gateway. */
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
          const conditions = more(parent.conditions, newView(gateway), key, settling, own);
          const replaced = observation.replaced(gateway, parent.parentRef.sectionName);
          return { ...parent, conditions: withReplaced(conditions, replaced) };
        }),
      }),
      ...(status.ancestors && {
        ancestors: status.ancestors.map((ancestor) => {
          const gateway = `${ancestor.ancestorRef.namespace}/${ancestor.ancestorRef.name}`;
          return { ...ancestor, conditions: more(ancestor.conditions, newView(gateway), key, settling, undefined) };
        }),
      }),
    };
  });
}

type Found<Type extends 'Programmed' | 'Enforcing'> = readonly [
  reason: Parameters<typeof condition<Type>>[1],
  message: string,
];

/** What is seen of one Gateway. */
interface View {
  readonly gateway: string;
  programmed(key: ObjectKey): Found<'Programmed'>;
  /** `route`: `NAMESPACE/NAME` of an AIGatewayRoute; undefined: all of the Gateway. */
  enforcing(key: ObjectKey, route: string | undefined): Found<'Enforcing'>;
}

function more(
  conditions: readonly Condition[],
  view: View,
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

function viewMaker(observation: Observation): (gateway: string) => View {
  const views = new Map<string, View>();
  return (gateway) => {
    const view = views.get(gateway) ?? viewOf(gateway, observation);
    views.set(gateway, view);
    return view;
  };
}

function viewOf(gateway: string, observation: Observation): View {
  const facts = observation.gateways.find(({ name }) => name === gateway);
  const fleets = facts === undefined ? [] : fleetsOf(facts);
  const pods = observation.pods.filter((pod) => fleets.includes(pod.fleet) && pod.ready && !pod.terminating);
  const sidecars = new Map(observation.sidecars.map((each) => [each.pod.podUid, each]));
  const watched = pods.map((pod): Watched => {
    const sidecar = sidecars.get(pod.uid);
    return {
      pod,
      sidecar,
      wanted: observation.published(pod.fleet),
      has: (version, key) => version !== undefined && observation.isCurrent(pod.fleet, version, key),
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
      ),
  };
}

interface Watched {
  readonly pod: ProxyPod;
  readonly sidecar: Connected | undefined;
  readonly wanted: PolicyVersion | undefined;
  /** Whether that version of the policy has the object as it is now. */
  has(version: string | undefined, key: ObjectKey): boolean;
}

const noProxies = ['NoProxies', 'no proxy pod of the Gateway is ready'] as const;

function programmedOf(watched: readonly Watched[], key: ObjectKey): Found<'Programmed'> {
  if (watched.length === 0) {
    return noProxies;
  }
  const bare = watched.find(({ pod }) => !pod.hasSidecar);
  if (bare !== undefined) {
    const message = `${podName(bare)} has no sidecar; fix: use the GatewayClass of the chart, or put what \`tallygate sidecar-patch\` prints into your EnvoyProxy`;
    return ['NoSidecar', message];
  }
  for (const each of watched) {
    const refused = each.sidecar?.refused;
    if (refused !== undefined && refused.version.version === each.wanted?.version) {
      return ['Refused', `${podName(each)} refuses the policy: ${refused.reason}`];
    }
  }
  const late = watched.filter(({ sidecar, has }) => !has(sidecar?.acknowledged?.version, key));
  if (late.length > 0) {
    return ['Pending', `${late.length} of ${watched.length} sidecars do not have the policy yet`];
  }
  return ['Programmed', `${watched.length} of ${watched.length} sidecars have the policy`];
}

function enforcingOf(
  watched: readonly Watched[],
  key: ObjectKey,
  routes: readonly GeneratedRoute[],
  verdict: (httpRoute: string) => Verdict | undefined,
): Found<'Enforcing'> {
  if (watched.length === 0) {
    return noProxies;
  }
  const verdicts = routes.flatMap(({ httpRoute }) => verdict(httpRoute) ?? []);
  const bad = verdicts.find(({ reason }) => reason !== 'Pending');
  if (bad !== undefined) {
    return [bad.reason, bad.message];
  }
  const bare = watched.find(({ pod }) => !pod.hasSidecar);
  if (bare !== undefined) {
    return ['FilterMissing', `${podName(bare)} has no sidecar: nothing of its traffic is counted`];
  }
  const names = new Set(routes.flatMap(({ envoyRouteNames }) => envoyRouteNames));
  for (const each of watched) {
    const { configCheck } = each.sidecar ?? {};
    const found = configCheck && each.has(configCheck.version?.version, key) ? fault(configCheck, names) : undefined;
    if (found !== undefined) {
      return [found[0], `${podName(each)}: ${found[1]}`];
    }
  }
  const unproved = watched.filter(
    ({ sidecar, has }) => !has(sidecar?.configCheck?.version?.version, key) || sidecar?.configCheck?.unreadable !== '',
  );
  if (unproved.length > 0 || verdicts.length > 0) {
    const unreadable = unproved.find(({ sidecar }) => sidecar?.configCheck?.unreadable)?.sidecar?.configCheck
      ?.unreadable;
    const waiting = `${unproved.length} of ${watched.length} proxies have not shown their configuration yet`;
    return ['Pending', verdicts[0]?.message ?? (unreadable ? `${waiting}: ${unreadable}` : waiting)];
  }
  return ['Enforcing', `seen in the configuration of ${watched.length} of ${watched.length} proxies`];
}

function fault(configCheck: ConfigCheck, names: ReadonlySet<string>): Found<'Enforcing'> | undefined {
  const listeners = configCheck.listenersWithoutFilter;
  if (listeners !== undefined && listeners.total > 0) {
    return ['FilterMissing', `listeners without the filter: ${listing(listeners, listeners.names)}`];
  }
  const unfiltered = ours(configCheck.unfiltered, names);
  if (unfiltered !== undefined) {
    return ['FilterMissing', `routes without the filter: ${unfiltered}`];
  }
  const failing = ours(configCheck.failing, names);
  if (failing !== undefined) {
    return ['NotAccepted', `routes that Envoy Gateway lets fail: ${failing}`];
  }
  const missing = ours(configCheck.missing, names);
  if (missing !== undefined) {
    return ['RouteMissing', `routes that Envoy does not have: ${missing}`];
  }
  return undefined;
}

/** AffectedNames about these routes. Where not all of them are named, ours may be among the others. */
function ours(findings: AffectedNames | undefined, names: ReadonlySet<string>): string | undefined {
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

function podName({ pod }: Watched): string {
  return `pod ${pod.namespace}/${pod.name}`;
}
