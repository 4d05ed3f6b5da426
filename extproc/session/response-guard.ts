/** What the guardrails of a request mean for its response. */
import { type Failure, failure } from '../errors.ts';
import type { ServiceFailure } from '../guard/stream/analyses.ts';
import type { HoldBackLimits } from '../guard/stream/guarded-stream.ts';
import type { Admission } from './admission/admission.ts';
import { contextOf } from './admission/guard.ts';
import { ruleId } from './admission/guardrails.ts';
import type { ResponseGuard, UnexaminedReason } from './response/stream-guard.ts';

/** Returns undefined where no rule looks at the response and nothing is to be restored. */
export function responseGuard(admission: Admission): ResponseGuard | undefined {
  const { guard } = admission;
  if (guard === undefined || !guard.appliesTo('response')) {
    return undefined;
  }
  return {
    guard,
    limits: limitsOf(admission),
    unexamined: (reason) => unexamined(admission, reason),
    unanswered: (failures) => unanswered(admission, failures),
    ask: ({ id, rule, scope, text, isLast }) => ({
      type: 'analyze',
      id,
      rule,
      text,
      context: contextOf(admission, 'response', scope, isLast),
    }),
  };
}

/** Several policies hold back as long as the shortest bounds allow. */
function limitsOf({ choice }: Admission): HoldBackLimits {
  const limits = (choice?.rule.guardrails ?? []).map(({ policy }) => policy.holdBack);
  return {
    bytes: Math.min(...limits.map(({ bytes }) => bytes)),
    ms: Math.min(...limits.map(({ ms }) => ms)),
  };
}

function unexamined({ guard, guardFailures }: Admission, reason: UnexaminedReason): Failure | undefined {
  const rules = guard!.rules.filter(({ phases }) => phases.has('response'));
  guardFailures.push(...rules.map((rule) => ({ rule: ruleId(rule), reason })));
  return rules.some(({ onFailure }) => onFailure === 'Closed')
    ? failure('unreadable_answer', 'The gateway cannot examine the content of this response, so it is refused.')
    : undefined;
}

function unanswered({ guardFailures }: Admission, failures: readonly ServiceFailure[]): Failure | undefined {
  guardFailures.push(...failures.map(({ rule, reason }) => ({ rule: ruleId(rule), reason })));
  return failures.some(({ rule }) => rule.onFailure === 'Closed')
    ? failure('guardrail_unavailable', 'A guardrail is not available to examine this response. Try again shortly.', {
        retryAfterMs: 1000,
      })
    : undefined;
}
