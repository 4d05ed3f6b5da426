/** Compiles guardrail policies into rules. Pure. Policies that did not change are reused. */
import { type ConditionFacts, conditionMatcher } from '../../contract/condition.ts';
import type { Redaction, RedactionDetector } from '../../contract/content.ts';
import type {
  ExternalDetectorSettings,
  GuardrailDetector,
  GuardrailPhase,
  GuardrailPolicy,
  GuardrailRule,
  GuardrailScope,
} from '../../contract/guardrails.ts';
import { builtinDetector } from './detectors/builtin.ts';
import type { Detector } from './detectors/detector.ts';
import { PatternDetector } from './detectors/pattern-detector.ts';
import { PromptInjectionDetector } from './detectors/prompt-injection.ts';
import type { GuardAction, GuardPhase, GuardRule } from './guard.ts';
import { type GuardScope, guardScopes } from './text/fragment.ts';

/** A rule of a policy, with the conditions under which the rule applies. */
export interface CompiledGuardRule {
  readonly guard: GuardRule | ExternalGuardRule;
  readonly exempt: NonNullable<GuardrailRule['exempt']>;
  readonly when: ((facts: ConditionFacts) => boolean) | undefined;
}

export interface CompiledGuardrailPolicy {
  readonly policy: GuardrailPolicy;
  readonly rules: readonly CompiledGuardRule[];
}

/** A rule whose detector is a service; its `detector` finds nothing. */
export interface ExternalGuardRule extends GuardRule {
  readonly external: ExternalDetectorSettings;
  readonly timeoutMs: number;
  /** The service decides about allow, block and modify; `message` is for a block without one. */
  readonly decides: { readonly message: string } | undefined;
}

export function isExternal(rule: GuardRule): rule is ExternalGuardRule {
  return 'external' in rule;
}

const compiledPolicies = new WeakMap<GuardrailPolicy, CompiledGuardrailPolicy>();

/** Throws for a rule that translate should have refused. */
export function compileGuardrailPolicy(policy: GuardrailPolicy): CompiledGuardrailPolicy {
  const compiled = compiledPolicies.get(policy) ?? {
    policy,
    rules: policy.rules.map((rule) => compileRule(policy.name, rule)),
  };
  compiledPolicies.set(policy, compiled);
  return compiled;
}

const phaseNames: Readonly<Record<GuardrailPhase, GuardPhase>> = { Request: 'request', Response: 'response' };

const scopeNames: Readonly<Record<GuardrailScope, GuardScope>> = {
  System: 'system',
  User: 'user',
  Assistant: 'assistant',
  ToolCall: 'toolCall',
  ToolResult: 'toolResult',
  Reasoning: 'reasoning',
};

/** Returns a rule that masks what a detector of the gateway itself finds, in all texts. */
export function maskRule(policy: string, { detector, placeholder }: Redaction): GuardRule {
  return {
    name: 'redact',
    policy,
    phases: new Set(['request', 'response']),
    scopes: new Set(guardScopes),
    detector: ownDetector(detector),
    action: { type: 'Mask', placeholder, restore: false },
    onFailure: 'Closed',
    onUnmaskable: 'Pass',
  };
}

function compileRule(policy: string, rule: GuardrailRule): CompiledGuardRule {
  const { name, phases, scope, detector, action, onFailure, onUnmaskable, timeoutMs, when, exempt = [] } = rule;
  const own = {
    name,
    policy,
    phases: new Set(phases.map((phase) => phaseNames[phase])),
    scopes: new Set(scope.map((each) => scopeNames[each])),
    action: guardAction(action),
    onFailure,
    onUnmaskable,
  };
  const found = detectorFor(detector);
  return {
    guard:
      'find' in found
        ? { ...own, detector: found }
        : {
            ...own,
            detector: nothing,
            external: found,
            timeoutMs,
            decides: action.type === 'FromDetector' ? { message: action.message } : undefined,
          },
    exempt,
    // A condition that cannot be evaluated must not take a request out of the rule.
    when: when === undefined ? undefined : conditionMatcher(when, true),
  };
}

/** What a service asks for is masked as by an action of type Mask. */
function guardAction(action: GuardrailRule['action']): GuardAction {
  return action.type === 'FromDetector'
    ? { type: 'Mask', placeholder: action.placeholder, restore: action.restore }
    : action;
}

const nothing: Detector = { find: () => undefined, openFrom: (text) => text.length };

/** Detectors by their settings, because many rules have the same ones. */
const detectors = new Map<string, WeakRef<Detector>>();

function detectorFor(settings: GuardrailDetector): Detector | ExternalDetectorSettings {
  if (settings.type !== 'Builtin' && settings.type !== 'Pattern' && settings.type !== 'PromptInjection') {
    return settings;
  }
  return ownDetector(settings);
}

function ownDetector(settings: RedactionDetector): Detector {
  const key = JSON.stringify(settings);
  const known = detectors.get(key)?.deref();
  if (known !== undefined) {
    return known;
  }
  const made = newDetector(settings);
  detectors.set(key, new WeakRef(made));
  return made;
}

function newDetector(settings: RedactionDetector): Detector {
  switch (settings.type) {
    case 'Builtin':
      return builtinDetector(settings.detectors, settings.phoneRegions);
    case 'Pattern':
      return new PatternDetector(settings.expressions);
    case 'PromptInjection':
      return new PromptInjectionDetector(settings.scoreThreshold);
    default:
      throw new Error(`unknown detector ${(settings satisfies never as GuardrailDetector).type}`);
  }
}
