/**
 * The policy kind AIGuardrailPolicy: validates and compiles guardrails. A policy with a fault lets
 * nothing pass, so that its targets are closed, not unguarded.
 */
import type { Principal } from '../../contract/access-policy.ts';
import { conditionFault } from '../../contract/condition.ts';
import {
  type GuardrailAction,
  type GuardrailPolicy,
  type GuardrailRule,
  guardrailScopes,
} from '../../contract/guardrails.ts';
import { type Condition, condition, type ReasonOf } from '../../crds/conditions.ts';
import type { GuardrailRuleSpec } from '../../crds/guardrail-policy.ts';
import type { AIGuardrailPolicy } from '../../crds/kinds.ts';
import { durationMs, sizeBytes } from '../../crds/schema.ts';
import { type AttachedPolicy, type PolicyCompilation, type PolicyKind, policiesOf } from '../attachment/policy-kind.ts';
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import { compare, fullName } from '../object-names.ts';
import type { DetectorSecret } from '../plan.ts';
import { firstWithReason, problemSentence } from '../problem.ts';
import type { Located } from '../world.ts';
import { policiesInUse } from './access-in-use.ts';
import { linkDetector } from './guardrail-detectors.ts';
import type { LinkedVirtualHost } from './virtual-hosts.ts';

export interface CompiledGuardrails {
  readonly policy: GuardrailPolicy;
  readonly secrets: readonly DetectorSecret[];
}

export const guardrailPolicyKind: PolicyKind<Located<AIGuardrailPolicy>, CompiledGuardrails> = {
  kind: 'AIGuardrailPolicy',
  affectedCondition: 'tallygate.dev/AIGuardrailPolicyAffected',
  compile(policy, context) {
    if (context.resources.refused('AIGuardrailPolicy', policy.metadata.namespace, policy.metadata.name)) {
      context.diagnostics.error(subject('AIGuardrailPolicy', policy), {
        reason: 'Invalid',
        path: 'spec',
        message: 'this version of Tallygate cannot read the policy, so it lets nothing pass',
        fix: 'apply the CustomResourceDefinitions of this version, then the policy again',
      });
      return closedGuardrails(policy);
    }
    const rules = policy.spec.rules.map((rule, index) => compileRule(rule, index, policy, context));
    const usable = rules.filter((rule) => rule !== undefined);
    if (usable.length < rules.length) {
      return closedGuardrails(policy);
    }
    const { holdBack, exempt = [] } = policy.spec;
    return {
      valid: true,
      compiled: {
        policy: {
          name: fullName(policy),
          rules: usable.map(({ rule }) => rule),
          exempt: exempt.map(principalOf),
          holdBack: { bytes: sizeBytes(holdBack.maxBytes), ms: durationMs(holdBack.maxDelay) },
        },
        secrets: usable.flatMap(({ secrets }) => secrets),
      },
    };
  },
  statusNotes({ policy }, _, context) {
    return { message: '', conditions: [resolvedRefs(policy, context)] };
  },
};

/** Lets nothing pass: the targets of a policy that is not valid are closed. */
export function closedGuardrails(policy: AIGuardrailPolicy): PolicyCompilation<CompiledGuardrails> {
  const none = { name: fullName(policy), rules: [], exempt: [], holdBack: { bytes: 0, ms: 0 } };
  return { valid: false, compiled: { policy: none, secrets: [] } };
}

/** Returns the guardrails of these policies, without those that are not valid. */
export function guardrailsOf(policies: readonly AttachedPolicy[]): readonly GuardrailPolicy[] {
  return policiesOf(guardrailPolicyKind, policies).flatMap(({ valid, compiled }) => (valid ? compiled.policy : []));
}

/** Returns the secrets of the policies that apply somewhere, each once. */
export function detectorSecretsInUse(
  virtualHosts: readonly LinkedVirtualHost[],
  policies: readonly AttachedPolicy[],
): readonly DetectorSecret[] {
  const secrets = policiesOf(guardrailPolicyKind, policiesInUse(virtualHosts, policies)).flatMap(
    ({ compiled }) => compiled.secrets,
  );
  return [...new Map(secrets.map((secret) => [secret.id, secret])).values()].toSorted((left, right) =>
    compare(left.id, right.id),
  );
}

function compileRule(
  spec: GuardrailRuleSpec,
  index: number,
  policy: Located<AIGuardrailPolicy>,
  context: TranslationContext,
): { readonly rule: GuardrailRule; readonly secrets: readonly DetectorSecret[] } | undefined {
  const path = `spec.rules[${index}]`;
  const { name, phases, scope, onFailure, onUnmaskable, when, exempt } = spec;
  const isUsable = when === undefined || hasValidCondition(when, path, policy, context);
  const linked = linkDetector(spec.detect, `${path}.detect`, policy, context);
  if (linked === undefined || !isUsable) {
    return undefined;
  }
  return {
    rule: {
      name,
      phases,
      scope: scope ?? guardrailScopes,
      detector: linked.detector,
      action: compileAction(spec.action),
      onFailure,
      timeoutMs: durationMs(spec.timeout),
      onUnmaskable,
      ...(when !== undefined && { when }),
      ...(exempt && { exempt: exempt.map(principalOf) }),
    },
    secrets: linked.secrets,
  };
}

function hasValidCondition(
  when: string,
  path: string,
  policy: Located<AIGuardrailPolicy>,
  { diagnostics }: TranslationContext,
): boolean {
  const fault = conditionFault(when);
  if (fault === undefined) {
    return true;
  }
  const { message, fix, position } = fault;
  const place = position === undefined ? '' : ` (character ${position})`;
  diagnostics.error(subject('AIGuardrailPolicy', policy), {
    reason: 'Invalid',
    path: `${path}.when`,
    message: `the condition ${message}${place}`,
    fix,
  });
  return false;
}

/** As in `crds/guardrail-policy.ts`. */
const defaults = { placeholder: '<{type}-{index}>', restore: false, message: 'The content is not allowed here.' };

function compileAction({ type, mask, block }: GuardrailRuleSpec['action']): GuardrailAction {
  const { placeholder, restore } = mask ?? defaults;
  const { message } = block ?? defaults;
  switch (type) {
    case 'Mask':
      return { type, placeholder, restore };
    case 'Block':
      return { type, message };
    case 'Monitor':
      return { type };
    case 'FromDetector':
      return { type, placeholder, restore, message };
    default:
      throw new Error(`unknown action ${type satisfies never}`);
  }
}

export function principalOf({ tenant, user, group, authenticated }: NonNullable<GuardrailRuleSpec['exempt']>[number]) {
  return {
    ...(tenant !== undefined && { tenant }),
    ...(user !== undefined && { user }),
    ...(group !== undefined && { group }),
    ...(authenticated && { authenticated }),
  } satisfies Principal;
}

const unresolvedReasons = [
  'DestinationNotAllowed',
  'RefNotPermitted',
  'SecretNotFound',
  'InvalidSecret',
] as const satisfies readonly ReasonOf<'ResolvedRefs'>[];

function resolvedRefs(policy: Located<AIGuardrailPolicy>, { diagnostics }: TranslationContext): Condition {
  const { generation } = policy.metadata;
  const found = firstWithReason(diagnostics.of(subject('AIGuardrailPolicy', policy).ref), unresolvedReasons);
  return found === undefined
    ? condition('ResolvedRefs', 'ResolvedRefs', '', generation)
    : condition('ResolvedRefs', found.reason, problemSentence(found.problem), generation);
}
