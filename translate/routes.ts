/** Routes with their backends: each rule's targets, under the names by which Envoy and extproc speak of them. */
import type { HeaderMatch, Target } from '../contract/policy.ts';
import type { AIGatewayRoute } from '../crds/kinds.ts';
import type { RouteRule, RouteSpec } from '../crds/route.ts';
import { GROUP } from '../crds/schema.ts';
import type { LinkedBackend, UsableBackend } from './backends.ts';
import { absence, type Catalog, grantFix } from './catalog.ts';
import { headerMatches } from './header-matches.ts';
import { hasTooManyPatterns } from './namespace-bounds.ts';
import { byAge, fullName, type Report, type Subject, subject } from './report.ts';
import type { TargetIds } from './route-ids.ts';
import type { Located } from './world.ts';

export interface LinkedRoute {
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  readonly route: Located<AIGatewayRoute>;
  /** False: a value that no schema could check is wrong, and nothing of the route is served. */
  readonly valid: boolean;
  readonly rules: readonly LinkedRule[];
  readonly passthrough: readonly LinkedPassthrough[];
}

export interface LinkedRule {
  readonly route: LinkedRoute['name'];
  readonly rule: RouteRule;
  readonly index: number;
  readonly headers: readonly HeaderMatch[];
  /** Without those that cannot be used. None left: the rule still catches its models, and extproc answers 503. */
  readonly targets: readonly LinkedTarget[];
}

export interface LinkedTarget {
  readonly target: Target;
  /** `NAMESPACE/NAME`. */
  readonly route: LinkedRoute['name'];
  /** The rule's name, or `passthrough`. */
  readonly rule: string;
  readonly backend: UsableBackend;
  readonly timeouts?: RouteRule['timeouts'];
  readonly retries?: RouteRule['retries'];
}

export interface LinkedPassthrough {
  readonly item: NonNullable<RouteSpec['passthrough']>[number];
  readonly index: number;
  readonly target: LinkedTarget;
}

/** Stands where rules have a name in target ids; no rule can be called so. */
const passthroughRule = '-';

export function linkRoutes(
  routes: readonly Located<AIGatewayRoute>[],
  backends: readonly LinkedBackend[],
  catalog: Catalog,
  ids: TargetIds,
  report: Report,
): readonly LinkedRoute[] {
  const byName = new Map(backends.map((each) => [each.name, each]));
  return routes.toSorted(byAge).map((route) => {
    const name = fullName(route);
    const about = subject('AIGatewayRoute', route);
    const find = (reference: Reference, path: string) => resolve(reference, path, about, byName, catalog, report);
    let valid = !hasTooManyPatterns(route.spec.rules);
    if (!valid) {
      report.error(about, {
        reason: 'Invalid',
        path: 'spec.rules',
        message: 'the header patterns of the route are too large in total',
        fix: 'use fewer or shorter patterns, or exact values',
      });
    }
    const checked = valid;
    const rules = route.spec.rules.map((rule, index): LinkedRule => {
      const matches = checked ? (rule.headers ?? []) : [];
      const headers = headerMatches(matches, `spec.rules[${index}].headers`, about, report);
      valid &&= headers !== undefined;
      return { route: name, rule, index, headers: headers ?? [], targets: targetsOf(name, rule, index, ids, find) };
    });
    return { name, route, valid, rules, passthrough: passthroughOf(name, route, ids, find) };
  });
}

interface Reference {
  readonly namespace?: string | undefined;
  readonly name: string;
}

type Find = (
  reference: Reference,
  path: string,
) => { readonly name: string; readonly usable: UsableBackend } | undefined;

function targetsOf(route: string, rule: RouteRule, index: number, ids: TargetIds, find: Find): readonly LinkedTarget[] {
  const used = new Map<string, number>();
  return rule.backendRefs.flatMap((reference, position): LinkedTarget[] => {
    const found = find(reference, `spec.rules[${index}].backendRefs[${position}]`);
    if (found === undefined) {
      return [];
    }
    const base = targetName(route, rule.name, reference);
    const times = (used.get(base) ?? 0) + 1;
    used.set(base, times);
    return [
      {
        target: {
          // The backend is part of the id, so that an edit can never lead an old id to another provider.
          id: ids(times === 1 ? base : `${base}/${times}`),
          backend: found.name,
          ...(reference.model !== undefined && { model: reference.model }),
          weight: reference.weight,
          priority: reference.priority,
        },
        route,
        rule: rule.name,
        backend: found.usable,
        ...(rule.timeouts && { timeouts: rule.timeouts }),
        ...(rule.retries && { retries: rule.retries }),
      },
    ];
  });
}

function passthroughOf(
  route: string,
  { spec }: Located<AIGatewayRoute>,
  ids: TargetIds,
  find: Find,
): readonly LinkedPassthrough[] {
  return (spec.passthrough ?? []).flatMap((item, index): LinkedPassthrough[] => {
    const reference = item.backendRef ?? spec.rules[0]?.backendRefs[0];
    const found = reference && find(reference, `spec.passthrough[${index}].backendRef`);
    if (reference === undefined || found === undefined) {
      return [];
    }
    const id = ids(targetName(route, passthroughRule, reference));
    const target = { id, backend: found.name, weight: 1, priority: 0 };
    return [{ item, index, target: { target, route, rule: 'passthrough', backend: found.usable } }];
  });
}

function targetName(route: string, rule: string, { namespace, name }: Reference): string {
  return [route, rule, ...(namespace === undefined ? [] : [namespace]), name].join('/');
}

function resolve(
  reference: Reference,
  path: string,
  about: Subject,
  backends: ReadonlyMap<string, LinkedBackend>,
  catalog: Catalog,
  report: Report,
): { readonly name: string; readonly usable: UsableBackend } | undefined {
  const { namespace: home } = about.ref;
  const to = { group: GROUP, kind: 'AIBackend', namespace: reference.namespace ?? home, name: reference.name };
  const from = { group: GROUP, kind: 'AIGatewayRoute', namespace: home };
  const name = `${to.namespace}/${to.name}`;
  if (!catalog.permits(from, to)) {
    const message = `AIBackend ${name} is in another namespace and not permitted by a ReferenceGrant there`;
    report.error(about, { reason: 'RefNotPermitted', path, message, fix: grantFix(from, to) });
    return undefined;
  }
  const linked = backends.get(name);
  if (linked?.usable === undefined) {
    const there = linked !== undefined || catalog.refused('AIBackend', to.namespace, to.name);
    const found = there
      ? { message: `AIBackend ${name} is not valid`, fix: 'fix the problems of that AIBackend' }
      : absence(catalog, 'AIBackend', to.namespace, to.name);
    report.error(about, { reason: there ? 'BackendNotReady' : 'BackendNotFound', path: `${path}.name`, ...found });
    return undefined;
  }
  return { name, usable: linked.usable };
}
