/** Entries: for each door and host name the union of all routes there, in order of precedence. */
import type { Attachment } from './attach.ts';
import type { Door } from './doors.ts';
import { allows } from './listener-access.ts';
import type { Problem } from './problem.ts';
import { holdingTargets, type LinkedPolicy } from './quotas.ts';
import { byAge, compare, fullName } from './report.ts';
import type { LinkedPassthrough, LinkedRoute, LinkedRule, LinkedTarget } from './routes.ts';
import type { Site } from './site.ts';

export interface LinkedEntry {
  /** `NAMESPACE/GATEWAY/LISTENER/HOSTNAME`. */
  readonly key: string;
  readonly door: Door;
  readonly hostname: string;
  /** Oldest first. */
  readonly routes: readonly LinkedRoute[];
  readonly rules: readonly EntryRule[];
  readonly passthrough: readonly EntryPassthrough[];
  /** Of rules and passthrough, one for each id, sorted by it. */
  readonly targets: readonly LinkedTarget[];
  readonly conflicts: readonly Conflict[];
  /** Targets that the door does not allow, because their HTTPRoutes would stand in a namespace that may not attach to it. */
  readonly shutOut: readonly ShutOut[];
}

/** The models of a rule that have one rank: a rule with exact names and globs stands here several times. */
export interface EntryRule {
  readonly route: LinkedRoute;
  readonly rule: LinkedRule;
  readonly models: readonly string[];
  /** Those that the door allows. */
  readonly targets: readonly LinkedTarget[];
  readonly policies: readonly LinkedPolicy[];
}

export interface EntryPassthrough {
  readonly route: LinkedRoute;
  readonly passthrough: LinkedPassthrough;
  readonly policies: readonly LinkedPolicy[];
}

interface ShutOut {
  readonly route: LinkedRoute;
  readonly problem: Pick<Problem, 'path' | 'message' | 'fix'>;
}

export const conflictFix = 'remove it from one of them, or use different headers or host names';

interface Conflict {
  readonly loser: LinkedRoute;
  readonly message: string;
}

export function entriesOf(
  doors: readonly Door[],
  attachments: readonly Attachment[],
  policies: readonly LinkedPolicy[],
  site: Site,
): readonly LinkedEntry[] {
  const index = indexed(policies);
  return doors.flatMap((door) => {
    const routesByHostname = new Map<string, Set<LinkedRoute>>();
    for (const { route, places } of attachments) {
      for (const place of places) {
        if (place.door !== door) {
          continue;
        }
        const routes = routesByHostname.get(place.hostname) ?? new Set();
        routesByHostname.set(place.hostname, routes.add(route));
      }
    }
    return [...routesByHostname]
      .toSorted(([left], [right]) => compare(left, right))
      .map(([hostname, routes]) => entry(door, hostname, [...routes], index, site));
  });
}

function entry(
  door: Door,
  hostname: string,
  routes: readonly LinkedRoute[],
  policies: PolicyIndex,
  site: Site,
): LinkedEntry {
  const conflicts: Conflict[] = [];
  const ordered = routes.toSorted((left, right) => byAge(left.route, right.route));
  const opens = ({ target }: LinkedTarget): boolean =>
    site.type === 'Machine' || allows(door, namespaceOf(target.backend), site);
  const rules = rulesOf(door, ordered, policies, conflicts, opens);
  const passthrough = passthroughOf(door, ordered, policies, conflicts).filter((each) =>
    opens(each.passthrough.target),
  );
  const targets = new Map(
    [...rules.flatMap((rule) => rule.targets), ...passthrough.map((each) => each.passthrough.target)].map((each) => [
      each.target.id,
      each,
    ]),
  );
  return {
    key: entryKey(door, hostname),
    door,
    hostname,
    routes: ordered,
    rules,
    passthrough,
    targets: [...targets.values()].toSorted((left, right) => compare(left.target.id, right.target.id)),
    conflicts,
    shutOut: shutOutOf(door, ordered, opens),
  };
}

export function entryKey(door: Door, hostname: string): string {
  return `${door.key}/${hostname}`;
}

function shutOutOf(
  { listener, gateway }: Door,
  routes: readonly LinkedRoute[],
  opens: (target: LinkedTarget) => boolean,
): readonly ShutOut[] {
  return routes.flatMap((route) => {
    const targets = [
      ...route.rules.flatMap(({ index, targets }) =>
        targets.map((target) => ({ target, path: `spec.rules[${index}].backendRefs` })),
      ),
      ...route.passthrough.map(({ index, target }) => ({ target, path: `spec.passthrough[${index}].backendRef` })),
    ];
    return targets
      .filter(({ target }) => !opens(target))
      .map(({ target: { target }, path }) => {
        const namespace = namespaceOf(target.backend);
        const where = `listener ${listener.name} of Gateway ${fullName(gateway)}`;
        const message = `${where} does not allow HTTPRoutes from namespace ${namespace} of AIBackend ${target.backend}`;
        const fix = `allow namespace ${namespace} in allowedRoutes.namespaces of the listener`;
        return { route, problem: { path, message, fix } };
      });
  });
}

function namespaceOf(fullName: string): string {
  return fullName.slice(0, fullName.indexOf('/'));
}

interface Piece {
  readonly route: LinkedRoute;
  readonly rule: LinkedRule;
  /** Length of the globs; exact names: more than any glob has. */
  readonly rank: number;
  readonly models: readonly string[];
}

/** `routes` come by age; that order and the order of rules in a route stand where nothing else decides. */
function rulesOf(
  door: Door,
  routes: readonly LinkedRoute[],
  policies: PolicyIndex,
  conflicts: Conflict[],
  opens: (target: LinkedTarget) => boolean,
): readonly EntryRule[] {
  const owners = new Map<string, { readonly route: string; readonly rule: string }>();
  const pieces = routes.flatMap((route) =>
    route.rules.flatMap((rule): readonly Piece[] => {
      const conditions = JSON.stringify(rule.headers);
      const byRank = new Map<number, string[]>();
      for (const model of rule.rule.models) {
        const owner = owners.get(`${conditions} ${model}`);
        if (owner !== undefined) {
          const where = route.name === owner.route ? '' : ` of AIGatewayRoute ${owner.route}`;
          conflicts.push({
            loser: route,
            message: `rule ${rule.rule.name}: model ${model} is already served by rule ${owner.rule}${where}`,
          });
          continue;
        }
        owners.set(`${conditions} ${model}`, { route: route.name, rule: rule.rule.name });
        const rank = model.includes('*') ? model.length : Number.POSITIVE_INFINITY;
        byRank.set(rank, [...(byRank.get(rank) ?? []), model]);
      }
      return [...byRank].map(([rank, models]) => ({ route, rule, rank, models: models.toSorted(compare) }));
    }),
  );
  return pieces
    .toSorted(
      (left, right) =>
        right.rule.headers.length - left.rule.headers.length || (left.rank === right.rank ? 0 : right.rank - left.rank),
    )
    .map(({ route, rule, models }) => ({
      route,
      rule,
      models,
      targets: rule.targets.filter(opens),
      policies: holding(policies, door, route, rule.rule.name),
    }));
}

function passthroughOf(
  door: Door,
  routes: readonly LinkedRoute[],
  policies: PolicyIndex,
  conflicts: Conflict[],
): readonly EntryPassthrough[] {
  const owners = new Map<string, string>();
  return routes
    .flatMap((route) =>
      route.passthrough.flatMap((passthrough): EntryPassthrough[] => {
        const { method, path } = passthrough.item;
        const owner = owners.get(`${method} ${path}`);
        if (owner !== undefined) {
          conflicts.push({
            loser: route,
            message: `passthrough ${method} ${path} is already served by AIGatewayRoute ${owner}`,
          });
          return [];
        }
        owners.set(`${method} ${path}`, route.name);
        return [{ route, passthrough, policies: holding(policies, door, route, undefined) }];
      }),
    )
    .toSorted((left, right) => pathRank(right.passthrough.item.path) - pathRank(left.passthrough.item.path));
}

/** Exact before prefix, longer before shorter. */
function pathRank(path: string): number {
  return path.endsWith('*') ? path.length : path.length + 1_000;
}

/** By `KIND NAMESPACE/NAME` of a target: a rule asks only the policies that name its Gateway or route. */
type PolicyIndex = ReadonlyMap<string, readonly LinkedPolicy[]>;

function indexed(policies: readonly LinkedPolicy[]): PolicyIndex {
  const index = new Map<string, Set<LinkedPolicy>>();
  for (const policy of policies) {
    for (const { kind, name } of policy.targets) {
      const key = `${kind} ${name}`;
      index.set(key, (index.get(key) ?? new Set()).add(policy));
    }
  }
  return new Map([...index].map(([key, own]) => [key, [...own]]));
}

/** From the Gateway down to the rule, then by name. */
function holding(
  policies: PolicyIndex,
  door: Door,
  route: LinkedRoute,
  rule: string | undefined,
): readonly LinkedPolicy[] {
  const named = new Set([
    ...(policies.get(`Gateway ${fullName(door.gateway)}`) ?? []),
    ...(policies.get(`AIGatewayRoute ${route.name}`) ?? []),
  ]);
  return [...named]
    .flatMap((policy) => {
      const targets = holdingTargets(policy, door, route.name, rule);
      const depths = targets.map(({ kind, section }) => (kind === 'Gateway' ? 0 : 2) + (section === undefined ? 0 : 1));
      return targets.length === 0 ? [] : [{ policy, depth: Math.min(...depths) }];
    })
    .toSorted((left, right) => left.depth - right.depth || compare(left.policy.name, right.policy.name))
    .map(({ policy }) => policy);
}
