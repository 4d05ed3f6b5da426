/** Users' own policies of Envoy Gateway's kinds: their targets and their fields. */
import type { LabelSelector } from '../../crds/gateway-api.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import { selects } from '../../translate/link/listener-access.ts';
import type { KubeObject } from '../api/object.ts';
import { isRefused } from './verdicts.ts';

export interface UserPolicy {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  readonly targets: readonly UserPolicyTarget[];
  readonly selectors: readonly (LabelSelector & { readonly kind: string })[];
  /** The names of its fields; empty if Envoy Gateway does not accept it. */
  readonly asks: readonly string[];
}

interface UserPolicyTarget {
  readonly kind: string;
  readonly name: string;
  /** A listener or a rule of the target. */
  readonly sectionName?: string;
}

interface UserPolicySpec {
  readonly targetRef?: UserPolicyTarget;
  readonly targetRefs?: readonly UserPolicyTarget[];
  readonly targetSelectors?: readonly TargetSelector[];
}

interface TargetSelector {
  readonly group?: string;
  readonly kind: string;
  readonly matchLabels?: LabelSelector['matchLabels'];
  readonly matchExpressions?: readonly (Omit<LabelSelector['matchExpressions'][number], 'values'> & {
    readonly values?: string[];
  })[];
}

const fieldsOfAttachment: ReadonlySet<string> = new Set(['targetRef', 'targetRefs', 'targetSelectors', 'mergeType']);

export function userPolicy(kind: string, { metadata, ...object }: KubeObject): UserPolicy {
  const spec = (object['spec'] ?? {}) as UserPolicySpec;
  // Selectors of other namespaces need a ReferenceGrant, which nobody writes for generated routes.
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
      : Object.keys(spec).filter((field) => !fieldsOfAttachment.has(field)),
  };
}

/**
 * Returns the sections of an object that the policy targets; undefined stands for the whole object.
 * Empty: none.
 */
export function targetedSections(
  { targets, selectors }: UserPolicy,
  kind: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): readonly (string | undefined)[] {
  const named = targets.filter((target) => target.kind === kind && target.name === name);
  const chosen = selectors.filter((selector) => selector.kind === kind && selects(selector, labels));
  return [...named.map(({ sectionName }) => sectionName), ...chosen.map(() => undefined)];
}
