/**
 * Limits the guardrails of one namespace. All tenants of a proxy share its policy and its event
 * loop, so the guardrails of one tenant must neither make the policy too large to send nor slow
 * down the requests of others. Older policies take precedence; one that does not fit lets nothing
 * pass.
 */
import { conditionSteps } from '../../contract/condition.ts';
import { patternSize } from '../../contract/pattern.ts';
import type { AIGuardrailPolicy } from '../../crds/kinds.ts';
import type { AttachedPolicy } from '../attachment/policy-kind.ts';
import { type Diagnostics, subject } from '../diagnostics.ts';
import { byAge } from '../object-names.ts';
import type { Located } from '../world.ts';
import { type CompiledGuardrails, closedGuardrails } from './guardrails.ts';

type AttachedGuardrails = AttachedPolicy<Located<AIGuardrailPolicy>, CompiledGuardrails>;

/**
 * Per namespace. `bytes`: of the policies as JSON. `steps`: of the conditions, which one request
 * evaluates in 15 ms at worst. `parts`: of the expressions, see `patternSize`. `secretBytes`: of
 * the secrets for services, which a sidecar gets in one message.
 */
const limits = { bytes: 1024 * 1024, steps: 300_000, parts: 4096, secretBytes: 256 * 1024 };

const limitNames = {
  bytes: 'bytes of guardrail policies',
  steps: 'steps of conditions of guardrails',
  parts: 'parts of expressions of guardrails',
  secretBytes: 'bytes of secrets for services of guardrails',
};

type GuardrailWeight = typeof limits;

const measures = Object.keys(limits) as readonly (keyof GuardrailWeight)[];

const nothing: GuardrailWeight = { bytes: 0, steps: 0, parts: 0, secretBytes: 0 };

/** Closes the targets of the policies that exceed the limits. Keeps the order. */
export function guardrailsWithinBounds(
  policies: readonly AttachedGuardrails[],
  diagnostics: Diagnostics,
): readonly AttachedGuardrails[] {
  const taken = new Map<string, GuardrailWeight>();
  const refused = new Set<AttachedGuardrails>();
  const byPolicyAge = policies.toSorted((left, right) => byAge(left.policy, right.policy));
  for (const attached of byPolicyAge.filter(({ valid }) => valid)) {
    const { namespace } = attached.policy.metadata;
    const before = taken.get(namespace) ?? nothing;
    const weight = weightOf(attached.compiled);
    const sum = {
      bytes: before.bytes + weight.bytes,
      steps: before.steps + weight.steps,
      parts: before.parts + weight.parts,
      secretBytes: before.secretBytes + weight.secretBytes,
    };
    const over = measures.find((name) => sum[name] > limits[name]);
    if (over === undefined) {
      taken.set(namespace, sum);
      continue;
    }
    refused.add(attached);
    diagnostics.error(subject('AIGuardrailPolicy', attached.policy), {
      reason: 'Invalid',
      path: 'spec.rules',
      message: `with this policy, namespace ${namespace} has ${sum[over]} ${limitNames[over]}, so the policy lets nothing pass; the maximum is ${limits[over]}`,
      fix: 'remove policies, conditions, expressions or secrets from the namespace',
    });
  }
  return policies.map((each) => (refused.has(each) ? { ...each, ...closedGuardrails(each.policy) } : each));
}

function weightOf({ policy, secrets }: CompiledGuardrails): GuardrailWeight {
  let steps = 0;
  let parts = 0;
  for (const { when, detector } of policy.rules) {
    steps += when === undefined ? 0 : conditionSteps(when);
    const expressions = detector.type === 'Pattern' ? detector.expressions : [];
    parts += expressions.reduce((sum, expression) => sum + patternSize(expression), 0);
  }
  const byId = new Map(secrets.map(({ id, value }) => [id, value.reveal().length]));
  const secretBytes = [...byId.values()].reduce((sum, length) => sum + length, 0);
  return { bytes: JSON.stringify(policy).length, steps, parts, secretBytes };
}
