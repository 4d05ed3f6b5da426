/** Links routes: resolves the backends of each rule and assigns target ids. */
import { knownToken } from '../../contract/cloud-tokens.ts';
import type { HeaderMatch } from '../../contract/policy.ts';
import type { AIGatewayRoute } from '../../crds/kinds.ts';
import type { RouteRule, RouteSpec } from '../../crds/route.ts';
import { GROUP } from '../../crds/schema.ts';
import type { TranslationContext } from '../context.ts';
import { type Subject, subject } from '../diagnostics.ts';
import { byAge, fullName } from '../object-names.ts';
import { notFound, referenceGrantHint } from '../resource-index.ts';
import type { Located } from '../world.ts';
import { type LinkedAttempts, linkAttempts } from './attempts.ts';
import type { LinkedBackend, UsableBackend } from './backends.ts';
import { headerMatches } from './header-matches.ts';
import type { LinkedTarget } from './linked-target.ts';
import { hasTooManyPatterns } from './pattern-bounds.ts';
import type { TargetIds } from './route-ids.ts';

export interface LinkedRoute {
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  readonly route: Located<AIGatewayRoute>;
  /** False if a value beyond the schema is not valid; nothing of the route is then served. */
  readonly valid: boolean;
  readonly rules: readonly LinkedRule[];
  readonly passthrough: readonly LinkedPassthrough[];
}

export interface LinkedRule {
  readonly route: LinkedRoute['name'];
  readonly rule: RouteRule;
  readonly index: number;
  readonly headers: readonly HeaderMatch[];
  /**
   * The usable targets. If there are none, the rule still matches its models, and extproc answers
   * 503.
   */
  readonly targets: readonly LinkedTarget[];
  /** Present with failover within a request. */
  readonly attempts?: LinkedAttempts;
}

export interface LinkedPassthrough {
  readonly item: NonNullable<RouteSpec['passthrough']>[number];
  readonly index: number;
  readonly target: LinkedTarget;
}

/** Replaces the rule name in ids of passthrough targets; not a valid rule name. */
const PASSTHROUGH_RULE = '-';

export function linkRoutes(
  routes: readonly Located<AIGatewayRoute>[],
  backends: readonly LinkedBackend[],
  ids: TargetIds,
  context: TranslationContext,
): readonly LinkedRoute[] {
  const { diagnostics } = context;
  const byName = new Map(backends.map((each) => [each.name, each]));
  return routes.toSorted(byAge).map((route) => {
    const name = fullName(route);
    const about = subject('AIGatewayRoute', route);
    const find = (reference: BackendReference, path: string) => resolveBackend(reference, path, about, byName, context);
    let valid = !hasTooManyPatterns(route.spec.rules);
    if (!valid) {
      diagnostics.error(about, {
        reason: 'Invalid',
        path: 'spec.rules',
        message: 'the header patterns of the route are too large in total',
        fix: 'use fewer or shorter patterns, or exact values',
      });
    }
    const checked = valid;
    const rules = route.spec.rules.map((rule, index): LinkedRule => {
      const matches = checked ? (rule.headers ?? []) : [];
      const headers = headerMatches(matches, `spec.rules[${index}].headers`, about, diagnostics);
      valid &&= headers !== undefined;
      const targets = targetsOf(name, rule, index, ids, find);
      const attempts = linkAttempts(name, rule, targets, ids, context.mode);
      return { route: name, rule, index, headers: headers ?? [], targets, ...(attempts && { attempts }) };
    });
    return { name, route, valid, rules, passthrough: passthroughOf(name, route, ids, find) };
  });
}

interface BackendReference {
  readonly namespace?: string | undefined;
  readonly name: string;
}

type FindBackend = (
  reference: BackendReference,
  path: string,
) => { readonly name: string; readonly usable: UsableBackend } | undefined;

function targetsOf(
  route: string,
  rule: RouteRule,
  index: number,
  ids: TargetIds,
  find: FindBackend,
): readonly LinkedTarget[] {
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
          // The backend is part of the id, so that an edit cannot redirect an old id to another
          // provider.
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
  find: FindBackend,
): readonly LinkedPassthrough[] {
  return (spec.passthrough ?? []).flatMap((item, index): LinkedPassthrough[] => {
    const reference = item.backendRef ?? spec.rules[0]?.backendRefs[0];
    const found = reference && find(reference, `spec.passthrough[${index}].backendRef`);
    if (reference === undefined || found === undefined) {
      return [];
    }
    const id = ids(targetName(route, PASSTHROUGH_RULE, reference));
    const target = { id, backend: found.name, weight: 1, priority: 0 };
    return [{ item, index, target: { target, route, rule: 'passthrough', backend: found.usable } }];
  });
}

function targetName(route: string, rule: string, { namespace, name }: BackendReference): string {
  return [route, rule, ...(namespace === undefined ? [] : [namespace]), name].join('/');
}

function resolveBackend(
  reference: BackendReference,
  path: string,
  about: Subject,
  backends: ReadonlyMap<string, LinkedBackend>,
  { resources, tokens, diagnostics }: TranslationContext,
): { readonly name: string; readonly usable: UsableBackend } | undefined {
  const { namespace: home } = about.ref;
  const to = { group: GROUP, kind: 'AIBackend', namespace: reference.namespace ?? home, name: reference.name };
  const from = { group: GROUP, kind: 'AIGatewayRoute', namespace: home };
  const name = `${to.namespace}/${to.name}`;
  if (!resources.permits(from, to)) {
    const message = `AIBackend ${name} is in another namespace and not permitted by a ReferenceGrant there`;
    diagnostics.error(about, { reason: 'RefNotPermitted', path, message, fix: referenceGrantHint(from, to) });
    return undefined;
  }
  const linked = backends.get(name);
  if (linked?.usable === undefined && linked?.wanted !== undefined) {
    const hasFailed = knownToken(tokens, linked.wanted)?.failure !== undefined;
    if (hasFailed) {
      const message = `AIBackend ${name} has no token`;
      const fix = 'fix the problems of that AIBackend';
      diagnostics.warning(about, { reason: 'BackendNotReady', path: `${path}.name`, message, fix });
    }
    return undefined;
  }
  if (linked?.usable === undefined) {
    const there = linked !== undefined || resources.refused('AIBackend', to.namespace, to.name);
    const found = there
      ? { message: `AIBackend ${name} is not valid`, fix: 'fix the problems of that AIBackend' }
      : notFound(resources, 'AIBackend', to.namespace, to.name);
    diagnostics.error(about, { reason: there ? 'BackendNotReady' : 'BackendNotFound', path: `${path}.name`, ...found });
    return undefined;
  }
  return { name, usable: linked.usable };
}
