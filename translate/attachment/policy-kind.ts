/**
 * Policy attachment (GEP-713), generic over the kind. A policy kind is a schema in `crds/` with
 * `targetRefs`, a `PolicyKind` with its compile function, and a row in `linkPolicies`
 * (`link/link.ts`).
 */
import type { Condition, ConditionType } from '../../crds/conditions.ts';
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import { byName, fullName } from '../object-names.ts';
import { type PolicyObject, type PolicyTarget, resolveTargets, type TargetScope } from './targets.ts';

export interface PolicyKind<Policy extends PolicyObject = PolicyObject, Compiled = unknown> {
  readonly kind: string;
  /** The condition of routes that a policy of this kind affects. */
  readonly affectedCondition: ConditionType & `${string}Affected`;
  /** Validates and compiles a policy. Reports problems. */
  compile(policy: Policy, context: TranslationContext): PolicyCompilation<Compiled>;
  /** Returns what the status of an accepted policy adds at an ancestor. */
  statusNotes(
    attached: AttachedPolicy<Policy, Compiled>,
    here: PolicyNeighbours,
    context: TranslationContext,
  ): PolicyStatusNotes;
}

export interface PolicyCompilation<Compiled> {
  /** False closes all targets of the policy: serving without the policy would be worse. */
  readonly valid: boolean;
  readonly compiled: Compiled;
  /** The place among the policies of one target; equal or absent: by name. */
  readonly rank?: number;
}

/** For each place where a policy applies: all policies that apply there, of any kind. */
export type PolicyNeighbours = readonly (readonly AttachedPolicy[])[];

export interface PolicyStatusNotes {
  /** The message of `Accepted`. */
  readonly message: string;
  readonly conditions: readonly Condition[];
}

export interface AttachedPolicy<Policy extends PolicyObject = PolicyObject, Compiled = unknown>
  extends PolicyCompilation<Compiled> {
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  readonly kind: PolicyKind<Policy, Compiled>;
  readonly policy: Policy;
  readonly targets: readonly PolicyTarget[];
}

/** Compiles the policies of one kind and resolves their targets. */
export function attachPolicies<Policy extends PolicyObject, Compiled>(
  kind: PolicyKind<Policy, Compiled>,
  policies: readonly Policy[],
  scope: TargetScope,
  context: TranslationContext,
): readonly AttachedPolicy<Policy, Compiled>[] {
  return policies.toSorted(byName).map((policy) => ({
    name: fullName(policy),
    kind,
    policy,
    ...kind.compile(policy, context),
    targets: resolveTargets(policy, subject(kind.kind, policy), scope, context),
  }));
}

/** Selects the policies of one kind. */
export function policiesOf<Policy extends PolicyObject, Compiled>(
  kind: PolicyKind<Policy, Compiled>,
  policies: readonly AttachedPolicy[],
): readonly AttachedPolicy<Policy, Compiled>[] {
  return policies.filter((policy): policy is AttachedPolicy<Policy, Compiled> => policy.kind === kind);
}
