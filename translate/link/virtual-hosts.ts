/**
 * Virtual hosts: for each listener and host name the union of all routes there, in order of
 * precedence.
 */
import { effectivePolicies, indexPolicies, type PolicyIndex } from '../attachment/effective-policies.ts';
import type { AttachedPolicy } from '../attachment/policy-kind.ts';
import type { TranslationContext } from '../context.ts';
import { byAge, compare, fullName } from '../object-names.ts';
import type { Problem } from '../problem.ts';
import type { LinkedTarget } from './linked-target.ts';
import { allows } from './listener-access.ts';
import type { GatewayListener } from './listeners.ts';
import type { RouteAttachment } from './route-attachment.ts';
import type { LinkedPassthrough, LinkedRoute, LinkedRule } from './routes.ts';

export interface LinkedVirtualHost {
  /** `NAMESPACE/GATEWAY/LISTENER/HOSTNAME`. */
  readonly key: string;
  readonly listener: GatewayListener;
  readonly hostname: string;
  /** Oldest first. */
  readonly routes: readonly LinkedRoute[];
  readonly rules: readonly VirtualHostRule[];
  readonly passthrough: readonly VirtualHostPassthrough[];
  /** All targets of rules and passthrough, unique and sorted by id. */
  readonly targets: readonly LinkedTarget[];
  readonly conflicts: readonly RouteConflict[];
  /**
   * Backends whose generated HTTPRoutes may not attach to the listener, because of their namespace.
   */
  readonly refsNotAllowed: readonly RefNotAllowed[];
}

/**
 * The models of a rule that have the same precedence: a rule with exact names and globs has
 * several.
 */
export interface VirtualHostRule {
  readonly route: LinkedRoute;
  readonly rule: LinkedRule;
  readonly models: readonly string[];
  /** The targets that the listener allows. */
  readonly targets: readonly LinkedTarget[];
  readonly policies: readonly AttachedPolicy[];
}

export interface VirtualHostPassthrough {
  readonly route: LinkedRoute;
  readonly passthrough: LinkedPassthrough;
  readonly policies: readonly AttachedPolicy[];
}

interface RefNotAllowed {
  readonly route: LinkedRoute;
  readonly problem: Pick<Problem, 'path' | 'message' | 'fix'>;
}

export const conflictFix = 'remove it from one of them, or use different headers or host names';

/** A part of a route that another rule or route takes precedence over. */
interface RouteConflict {
  readonly loser: LinkedRoute;
  readonly path: string;
  readonly message: string;
}

export function linkVirtualHosts(
  listeners: readonly GatewayListener[],
  attachments: readonly RouteAttachment[],
  policies: readonly AttachedPolicy[],
  context: TranslationContext,
): readonly LinkedVirtualHost[] {
  const index = indexPolicies(policies);
  return listeners.flatMap((listener) => {
    const routesByHostname = new Map<string, Set<LinkedRoute>>();
    for (const { route, places } of attachments) {
      for (const place of places) {
        if (place.listener !== listener) {
          continue;
        }
        const routes = routesByHostname.get(place.hostname) ?? new Set();
        routesByHostname.set(place.hostname, routes.add(route));
      }
    }
    const isAllowed = ({ target }: LinkedTarget): boolean =>
      context.mode.type === 'Standalone' || allows(listener, namespaceOf(target.backend), context.mode);
    return [...routesByHostname]
      .toSorted(([left], [right]) => compare(left, right))
      .map(([hostname, routes]) => {
        const ordered = [...routes].toSorted((left, right) => byAge(left.route, right.route));
        return virtualHost({ listener, hostname, routes: ordered, policies: index, isAllowed });
      });
  });
}

interface VirtualHostInput {
  readonly listener: GatewayListener;
  readonly hostname: string;
  /** Oldest first. */
  readonly routes: readonly LinkedRoute[];
  readonly policies: PolicyIndex;
  readonly isAllowed: (target: LinkedTarget) => boolean;
}

function virtualHost(input: VirtualHostInput): LinkedVirtualHost {
  const { listener, hostname, routes, isAllowed } = input;
  const rules = rulesOf(input);
  const passthrough = passthroughOf(input);
  const served = passthrough.items.filter((each) => isAllowed(each.passthrough.target));
  const targets = new Map(
    [...rules.items.flatMap((rule) => rule.targets), ...served.map((each) => each.passthrough.target)].map((each) => [
      each.target.id,
      each,
    ]),
  );
  return {
    key: virtualHostKey(listener, hostname),
    listener,
    hostname,
    routes,
    rules: rules.items,
    passthrough: served,
    targets: [...targets.values()].toSorted((left, right) => compare(left.target.id, right.target.id)),
    conflicts: [...rules.conflicts, ...passthrough.conflicts],
    refsNotAllowed: refsNotAllowedOf(input),
  };
}

export function virtualHostKey(listener: GatewayListener, hostname: string): string {
  return `${listener.key}/${hostname}`;
}

function refsNotAllowedOf({ listener, routes, isAllowed }: VirtualHostInput): readonly RefNotAllowed[] {
  const where = `listener ${listener.spec.name} of Gateway ${fullName(listener.gateway)}`;
  return routes.flatMap((route) => {
    const targets = [
      ...route.rules.flatMap(({ index, targets }) =>
        targets.map((target) => ({ target, path: `spec.rules[${index}].backendRefs` })),
      ),
      ...route.passthrough.map(({ index, target }) => ({ target, path: `spec.passthrough[${index}].backendRef` })),
    ];
    return targets
      .filter(({ target }) => !isAllowed(target))
      .map(({ target: { target }, path }) => {
        const namespace = namespaceOf(target.backend);
        const message = `${where} does not allow HTTPRoutes from namespace ${namespace} of AIBackend ${target.backend}`;
        const fix = `allow namespace ${namespace} in allowedRoutes.namespaces of the listener`;
        return { route, problem: { path, message, fix } };
      });
  });
}

function namespaceOf(backend: string): string {
  return backend.slice(0, backend.indexOf('/'));
}

interface WithConflicts<Item> {
  readonly items: readonly Item[];
  readonly conflicts: readonly RouteConflict[];
}

/** The models of a rule with the same precedence. */
interface RankedModels {
  readonly route: LinkedRoute;
  readonly rule: LinkedRule;
  /** Length of the globs; infinite for exact names. */
  readonly rank: number;
  readonly models: readonly string[];
}

/** Sorts by headers, then models. Ties keep the age of routes and the order of rules. */
function rulesOf({ listener, routes, policies, isAllowed }: VirtualHostInput): WithConflicts<VirtualHostRule> {
  const { items, conflicts } = rankedModels(routes);
  const rules = items
    .toSorted(
      (left, right) =>
        right.rule.headers.length - left.rule.headers.length || (left.rank === right.rank ? 0 : right.rank - left.rank),
    )
    .map(({ route, rule, models }) => ({
      route,
      rule,
      models,
      targets: rule.targets.filter(isAllowed),
      policies: effectivePolicies(policies, { listener, route: route.name, rule: rule.rule.name }),
    }));
  return { items: rules, conflicts };
}

/** Assigns each model to the first rule that has it with the same headers. */
function rankedModels(routes: readonly LinkedRoute[]): WithConflicts<RankedModels> {
  const conflicts: RouteConflict[] = [];
  const owners = new Map<string, { readonly route: string; readonly rule: string }>();
  const items = routes.flatMap((route) =>
    route.rules.flatMap((rule): readonly RankedModels[] => {
      const headers = JSON.stringify(rule.headers);
      const byRank = new Map<number, string[]>();
      for (const model of rule.rule.models) {
        const owner = owners.get(`${headers} ${model}`);
        if (owner !== undefined) {
          const where = route.name === owner.route ? '' : ` of AIGatewayRoute ${owner.route}`;
          conflicts.push({
            loser: route,
            path: `spec.rules[${rule.index}].models`,
            message: `rule ${rule.rule.name}: model ${model} is already served by rule ${owner.rule}${where}`,
          });
          continue;
        }
        owners.set(`${headers} ${model}`, { route: route.name, rule: rule.rule.name });
        const rank = model.includes('*') ? model.length : Number.POSITIVE_INFINITY;
        byRank.set(rank, [...(byRank.get(rank) ?? []), model]);
      }
      return [...byRank].map(([rank, models]) => ({ route, rule, rank, models: models.toSorted(compare) }));
    }),
  );
  return { items, conflicts };
}

function passthroughOf({ listener, routes, policies }: VirtualHostInput): WithConflicts<VirtualHostPassthrough> {
  const conflicts: RouteConflict[] = [];
  const owners = new Map<string, string>();
  const items = routes.flatMap((route) =>
    route.passthrough.flatMap((passthrough): VirtualHostPassthrough[] => {
      const { method, path } = passthrough.item;
      const owner = owners.get(`${method} ${path}`);
      if (owner !== undefined) {
        const message = `passthrough ${method} ${path} is already served by AIGatewayRoute ${owner}`;
        conflicts.push({ loser: route, path: `spec.passthrough[${passthrough.index}]`, message });
        return [];
      }
      owners.set(`${method} ${path}`, route.name);
      const place = { listener, route: route.name, rule: undefined };
      return [{ route, passthrough, policies: effectivePolicies(policies, place) }];
    }),
  );
  const ranked = items.toSorted(
    (left, right) => pathRank(right.passthrough.item.path) - pathRank(left.passthrough.item.path),
  );
  return { items: ranked, conflicts };
}

/** Exact paths before prefixes, longer before shorter. */
function pathRank(path: string): number {
  return path.endsWith('*') ? path.length : path.length + 1_000;
}
