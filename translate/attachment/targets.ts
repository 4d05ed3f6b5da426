/** The targets of a policy: which Gateways, listeners, routes and rules it applies to. */
import type { KubernetesObject } from '../../crds/kinds.ts';
import type { PolicyTargetRef } from '../../crds/target-ref.ts';
import type { TranslationContext } from '../context.ts';
import type { Subject } from '../diagnostics.ts';
import type { GatewayListener } from '../link/listeners.ts';
import type { LinkedRoute } from '../link/routes.ts';
import { fullName } from '../object-names.ts';
import { notFound } from '../resource-index.ts';
import type { Located } from '../world.ts';

/** An object of any policy kind. */
export type PolicyObject = Located<KubernetesObject<{ readonly targetRefs: readonly PolicyTargetRef[] }>>;

export interface PolicyTarget {
  /** In `spec.targetRefs`. */
  readonly index: number;
  readonly kind: 'Gateway' | 'AIGatewayRoute';
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  /** A listener or a rule. */
  readonly section?: string;
  readonly exists: boolean;
}

/** A rule at a listener, or a whole route (passthrough) if `rule` is undefined. */
export interface PolicyPlace {
  readonly listener: GatewayListener;
  /** `NAMESPACE/NAME`. */
  readonly route: string;
  readonly rule: string | undefined;
}

/** The objects that policies can target. */
export interface TargetScope {
  readonly listeners: readonly GatewayListener[];
  readonly routes: readonly LinkedRoute[];
}

const sectionKind = { Gateway: 'listener', AIGatewayRoute: 'rule' } as const;

/** Resolves `targetRefs`. Reports targets that do not exist. */
export function resolveTargets(
  policy: PolicyObject,
  about: Subject,
  scope: TargetScope,
  { resources, diagnostics }: TranslationContext,
): readonly PolicyTarget[] {
  const { namespace } = policy.metadata;
  return policy.spec.targetRefs.map(({ kind, name: targetName, sectionName }, index) => {
    const name = `${namespace}/${targetName}`;
    const sections = sectionsOf(kind, name, scope);
    const exists = sections.length > 0 && (sectionName === undefined || sections.includes(sectionName));
    if (!exists) {
      const path = `spec.targetRefs[${index}]`;
      const fault =
        sections.length === 0
          ? { path: `${path}.name`, ...notFound(resources, kind, namespace, targetName) }
          : {
              path: `${path}.sectionName`,
              message: `${kind} ${name} has no ${sectionKind[kind]} ${sectionName}`,
              fix: `use one of ${[...new Set(sections)].join(', ')}`,
            };
      const message = `${fault.message}, so the policy has no effect there`;
      diagnostics.error(about, { ...fault, reason: 'TargetNotFound', message });
    }
    return { index, kind, name, ...(sectionName !== undefined && { section: sectionName }), exists };
  });
}

function sectionsOf(kind: PolicyTarget['kind'], name: string, { listeners, routes }: TargetScope): readonly string[] {
  return kind === 'Gateway'
    ? listeners.filter(({ gateway }) => fullName(gateway) === name).map(({ spec }) => spec.name)
    : routes.filter((route) => route.name === name).flatMap((route) => route.rules.map(({ rule }) => rule.name));
}

/** Returns the targets that include a place. */
export function targetsIncluding(
  targets: readonly PolicyTarget[],
  { listener, route, rule }: PolicyPlace,
): readonly PolicyTarget[] {
  return targets.filter(({ kind, name, section }) =>
    kind === 'Gateway'
      ? name === fullName(listener.gateway) && (section === undefined || section === listener.spec.name)
      : name === route && (section === undefined || section === rule),
  );
}
