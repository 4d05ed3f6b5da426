/** Requests of judges, which must not be judged again: each would ask for another one. */
import { JUDGE_HEADER } from '../../../contract/headers.ts';
import { type Failure, failure } from '../../errors.ts';
import { isExternal } from '../../guard/compile.ts';
import type { GuardRule } from '../../guard/guard.ts';
import type { Admission } from './admission.ts';

/**
 * Returns the rules without the judges that sent the request. A request with another judge's proof
 * is refused, also by open rules: it would end only when all judges have failed, and a client could
 * send the header to pass.
 */
export function withoutJudges(
  { request, context }: Admission,
  rules: readonly GuardRule[],
): readonly GuardRule[] | Failure {
  const judges = rules.flatMap((rule) => judgeOf(rule) ?? []);
  const [proof] = judges.length === 0 ? [] : request.header(JUDGE_HEADER);
  if (proof === undefined) {
    return rules;
  }
  return context.isJudge(proof, judges)
    ? rules.filter((rule) => judgeOf(rule) === undefined)
    : failure(
        'content_blocked',
        `The header ${JUDGE_HEADER} is for requests of this model’s own judges. Send the request without it.`,
      );
}

function judgeOf(rule: GuardRule) {
  return isExternal(rule) && rule.external.type === 'Model' ? rule.external : undefined;
}
