/** Plans what the request must hold of the quotas that apply to it. */
import type { ConditionFacts } from '../../../contract/condition.ts';
import type { Conversion, ConvertedRequest } from '../../conversion/converted-request.ts';
import { type Failure, isFailure } from '../../errors.ts';
import { selectedQuotas } from '../../quota-conditions.ts';
import { InputCount } from '../input-count.ts';
import type { Action } from '../protocol.ts';
import type { PreparedRequest } from '../request.ts';
import type { Admission, AdmissionStep } from './admission.ts';
import { passthroughBuckets } from './admit-passthrough.ts';
import { convertBody } from './convert-body.ts';
import { demandOf } from './permission.ts';
import { planAttempts } from './plan-attempts.ts';
import { planQuota } from './quota-plan.ts';
import type { RoutingDecision } from './select-backend.ts';

export const plan: AdmissionStep = {
  name: 'plan',
  run(admission, nowMs, out) {
    const { request, choice, identity, group } = admission;
    const quotas = selectedQuotas((choice?.rule ?? admission.passthrough!).quotas, () => factsOf(admission));
    const facts = { header: request.header, caller: identity?.proven.caller, group };
    if (choice === undefined) {
      const buckets = passthroughBuckets(admission.passthrough!, quotas, facts);
      if (isFailure(buckets)) {
        return buckets;
      }
      admission.buckets = buckets;
      return 'next';
    }
    // Before it is counted, because what cannot be converted is refused.
    const converted = choice.conversion && keepConverted(admission, choice, choice.conversion, out);
    if (converted !== undefined && isFailure(converted)) {
      return converted;
    }
    const { endpoint } = request.found!;
    const hides = converted?.hiddenOutput ?? endpoint.hidesOutput?.(choice.backendModel, choice.facts) ?? false;
    const planOf = (target: RoutingDecision, hidesOutput: boolean) =>
      planQuota(endpoint, target, hidesOutput, quotas, facts, admission.context.estimates);
    const planned = planOf(choice, hides);
    if (isFailure(planned)) {
      return planned;
    }
    admission.buckets = planned.buckets;
    const input = new InputCount(choice, planned);
    const prepared: PreparedRequest = { body: admission.body, choice, converted, plan: planned, input };
    admission.prepared = prepared;
    admission.attempts = planAttempts(admission, prepared, planOf, nowMs);
    return 'next';
  },
};

function keepConverted(
  admission: Admission,
  choice: RoutingDecision,
  conversion: Conversion,
  out: Action[],
): ConvertedRequest | Failure {
  admission.request.keepAgain(out);
  return convertBody(admission, choice, conversion);
}

/** Without an access policy, the caller has no tenant, user or groups. */
function factsOf(admission: Admission): ConditionFacts {
  const { tenant, user, groups = [] } = admission.identity?.proven.caller ?? {};
  return { request: demandOf(admission), caller: { tenant, user, groups } };
}
