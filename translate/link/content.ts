/**
 * The policy kind AIContentPolicy: validates and compiles which content leaves the gateway. A
 * policy with a fault keeps nothing; its targets stay open, because nothing depends on records.
 */
import { conditionFault } from '../../contract/condition.ts';
import type { ContentPolicy, Redaction } from '../../contract/content.ts';
import { builtinDetectorNames, type GuardrailRule } from '../../contract/guardrails.ts';
import type { AIContentPolicy } from '../../crds/kinds.ts';
import { sizeBytes } from '../../crds/schema.ts';
import { type AttachedPolicy, type PolicyKind, policiesOf } from '../attachment/policy-kind.ts';
import { type Diagnostics, subject } from '../diagnostics.ts';
import { byAge, fullName } from '../object-names.ts';
import type { ProblemFields } from '../problem.ts';
import type { Located } from '../world.ts';
import { type guardrailPolicyKind, principalOf } from './guardrails.ts';

interface CompiledContent {
  /** Undefined: the policy has a fault and keeps nothing. */
  readonly policy: ContentPolicy | undefined;
}

type AttachedContent = AttachedPolicy<Located<AIContentPolicy>, CompiledContent>;
type NamedGuardrails = Parameters<typeof guardrailPolicyKind.statusNotes>[0];

const PLACEHOLDER = '<{type}-{index}>';

/** Each policy that applies copies the text of a request. */
const MAX_POLICIES_OF_NAMESPACE = 8;

export const contentPolicyKind: PolicyKind<Located<AIContentPolicy>, CompiledContent> = {
  kind: 'AIContentPolicy',
  affectedCondition: 'tallygate.dev/AIContentPolicyAffected',
  compile(policy, { diagnostics }) {
    const { content, destinations, maxBytes, samplingPercent, notifyHeader, when, exempt = [] } = policy.spec;
    const fault = when === undefined ? undefined : conditionFault(when);
    if (fault !== undefined) {
      const { message, fix, position } = fault;
      const place = position === undefined ? '' : ` (character ${position})`;
      refuse(diagnostics, policy, { path: 'spec.when', message: `the condition ${message}${place}`, fix });
      return { valid: true, compiled: { policy: undefined } };
    }
    const compiled: ContentPolicy = {
      name: fullName(policy),
      content,
      destinations,
      maxBytes: sizeBytes(maxBytes),
      samplingPercent,
      redact: builtinRedaction(policy),
      notifyHeader,
      ...(when !== undefined && { when }),
      exempt: exempt.map(principalOf),
    };
    return { valid: true, compiled: { policy: compiled } };
  },
  statusNotes: () => ({ message: '', conditions: [] }),
};

/** Returns the content policies of these policies, without those with a fault. */
export function contentOf(policies: readonly AttachedPolicy[]): readonly ContentPolicy[] {
  return policiesOf(contentPolicyKind, policies).flatMap(({ compiled }) => compiled.policy ?? []);
}

/** Adds the detectors of the guardrails that policies name; bounds the policies of a namespace. */
export function withRedaction(
  policies: readonly AttachedContent[],
  guardrails: readonly NamedGuardrails[],
  diagnostics: Diagnostics,
): readonly AttachedContent[] {
  const byAges = policies.toSorted((left, right) => byAge(left.policy, right.policy));
  const ofNamespace = Map.groupBy(byAges, ({ policy }) => policy.metadata.namespace);
  return policies.map((each) => {
    const { namespace } = each.policy.metadata;
    const place = ofNamespace.get(namespace)!.indexOf(each);
    if (place >= MAX_POLICIES_OF_NAMESPACE) {
      return without(each, diagnostics, {
        path: 'spec',
        message: `namespace ${namespace} has more than ${MAX_POLICIES_OF_NAMESPACE} content policies, so this one keeps nothing`,
        fix: 'join policies, or remove some',
      });
    }
    return redacted(each, guardrails, diagnostics);
  });
}

function builtinRedaction({ spec: { redact } }: AIContentPolicy): readonly Redaction[] {
  if (redact.type !== 'Builtin') {
    return [];
  }
  const { phoneRegions } = redact;
  const detector = { type: 'Builtin', detectors: builtinDetectorNames, ...(phoneRegions && { phoneRegions }) } as const;
  return [{ detector, placeholder: PLACEHOLDER }];
}

function redacted(
  each: AttachedContent,
  guardrails: readonly NamedGuardrails[],
  diagnostics: Diagnostics,
): AttachedContent {
  const { policy, compiled } = each;
  const { guardrails: names } = policy.spec.redact;
  if (names === undefined || compiled.policy === undefined) {
    return each;
  }
  const redact: Redaction[] = [];
  for (const [index, name] of names.entries()) {
    const full = `${policy.metadata.namespace}/${name}`;
    const path = `spec.redact.guardrails[${index}]`;
    const found = guardrails.find((guardrail) => guardrail.name === full);
    if (found === undefined || !found.valid) {
      const message = `AIGuardrailPolicy ${full} ${found === undefined ? 'does not exist' : 'has a fault'}, so nothing is kept`;
      return without(each, diagnostics, { path, message, fix: 'name a valid policy of this namespace' });
    }
    const masks = found.compiled.policy.rules.filter(({ action }) => action.type === 'Mask');
    const rules = masks.map(redactionOf);
    const usable = rules.filter((rule) => rule !== undefined);
    if (usable.length === 0 || usable.length < rules.length) {
      return without(each, diagnostics, {
        path,
        message: `AIGuardrailPolicy ${full} ${usable.length === rules.length ? 'has no rule of type Mask' : 'masks by a service'}, so nothing is kept`,
        fix: 'name a policy whose rules of type Mask use Builtin, Pattern or PromptInjection',
      });
    }
    redact.push(...usable);
  }
  return { ...each, compiled: { policy: { ...compiled.policy, redact } } };
}

function redactionOf({ detector, action }: GuardrailRule): Redaction | undefined {
  const { type } = detector;
  return type === 'Builtin' || type === 'Pattern' || type === 'PromptInjection'
    ? { detector, placeholder: action.type === 'Mask' ? action.placeholder : PLACEHOLDER }
    : undefined;
}

function without(
  each: AttachedContent,
  diagnostics: Diagnostics,
  problem: Omit<ProblemFields, 'reason'>,
): AttachedContent {
  refuse(diagnostics, each.policy, problem);
  return { ...each, compiled: { policy: undefined } };
}

function refuse(
  diagnostics: Diagnostics,
  policy: Located<AIContentPolicy>,
  problem: Omit<ProblemFields, 'reason'>,
): void {
  diagnostics.error(subject('AIContentPolicy', policy), { reason: 'Invalid', ...problem });
}
