/** Plans what the request must hold of the quotas that apply to it. */
import type { ConditionFacts } from '../../../contract/condition.ts';
import { isFailure } from '../../errors.ts';
import { selectedQuotas } from '../../quota-conditions.ts';
import { InputCount } from '../input-count.ts';
import type { Admission, AdmissionStep } from './admission.ts';
import { passthroughBuckets } from './admit-passthrough.ts';
import { demandOf } from './permission.ts';
import { planQuota } from './quota-plan.ts';

export const plan: AdmissionStep = {
  name: 'plan',
  run(admission) {
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
    const planned = planQuota(request.found!.endpoint, choice, quotas, facts, admission.context.estimates);
    if (isFailure(planned)) {
      return planned;
    }
    admission.buckets = planned.buckets;
    admission.prepared = { body: admission.body, choice, plan: planned, input: new InputCount(choice, planned) };
    return 'next';
  },
};

/** Without an access policy, the caller has no tenant, user or groups. */
function factsOf(admission: Admission): ConditionFacts {
  const { tenant, user, groups = [] } = admission.identity?.proven.caller ?? {};
  return { request: demandOf(admission), caller: { tenant, user, groups } };
}
