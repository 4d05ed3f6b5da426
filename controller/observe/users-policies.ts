/** Policies of Envoy Gateway that users have written themselves: what they target, and which fields they have. */
import type { LabelSelector } from '../../crds/gateway-api.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import { selects } from '../../translate/listener-access.ts';
import type { KubeObject } from '../api/object.ts';
import { isRefused } from './verdicts.ts';

export interface UsersPolicy {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  readonly targets: readonly Target[];
  readonly selectors: readonly (LabelSelector & { readonly kind: string })[];
  /** What it asks for, as its fields are called; nothing, where Envoy Gateway does not take it. */
  readonly asks: readonly string[];
}

interface Target {
  readonly kind: string;
  readonly name: string;
  /** A part of it: a listener, a rule. */
  readonly sectionName?: string;
}

interface Spec {
  readonly targetRef?: Target;
  readonly targetRefs?: readonly Target[];
  readonly targetSelectors?: readonly Selector[];
}

interface Selector {
  readonly group?: string;
  readonly kind: string;
  readonly matchLabels?: LabelSelector['matchLabels'];
  readonly matchExpressions?: readonly (Omit<LabelSelector['matchExpressions'][number], 'values'> & {
    readonly values?: string[];
  })[];
}

const ABOUT_ITSELF: ReadonlySet<string> = new Set(['targetRef', 'targetRefs', 'targetSelectors', 'mergeType']);

export function usersPolicy(kind: string, { metadata, ...object }: KubeObject): UsersPolicy {
  const spec = (object['spec'] ?? {}) as Spec;
  // Those that reach other namespaces need a ReferenceGrant there; nobody gives one for generated routes.
  const selectors = (spec.targetSelectors ?? []).filter(({ group }) => (group ?? GATEWAY_GROUP) === GATEWAY_GROUP);
  return {
    kind,
    name: metadata.name,
    namespace: metadata.namespace,
    targets: [...(spec.targetRefs ?? []), ...(spec.targetRef ? [spec.targetRef] : [])],
    selectors: selectors.map(({ kind, matchLabels = {}, matchExpressions = [] }) => ({
      kind,
      matchLabels,
      matchExpressions: matchExpressions.map(({ values = [], ...each }) => ({ ...each, values })),
    })),
    asks: isRefused(object as Parameters<typeof isRefused>[0])
      ? []
      : Object.keys(spec).filter((field) => !ABOUT_ITSELF.has(field)),
  };
}

/** The parts of an object of its namespace that it is about; undefined: all of it. Empty: nothing. */
export function reached(
  { targets, selectors }: UsersPolicy,
  kind: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): readonly (string | undefined)[] {
  const named = targets.filter((target) => target.kind === kind && target.name === name);
  const chosen = selectors.filter((selector) => selector.kind === kind && selects(selector, labels));
  return [...named.map(({ sectionName }) => sectionName), ...chosen.map(() => undefined)];
}
