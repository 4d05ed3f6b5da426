/** Plans what the request must hold of the quotas that apply to it. */
import { isFailure } from '../../errors.ts';
import { InputCount } from '../input-count.ts';
import type { AdmissionStep } from './admission.ts';
import { passthroughBuckets } from './admit-passthrough.ts';
import { planQuota } from './quota-plan.ts';

export const plan: AdmissionStep = {
  name: 'plan',
  run(admission) {
    const { request, choice, identity, group } = admission;
    const facts = { header: request.header, caller: identity?.proven.caller, group };
    if (choice === undefined) {
      const buckets = passthroughBuckets(admission.passthrough!, facts);
      if (isFailure(buckets)) {
        return buckets;
      }
      admission.buckets = buckets;
      return 'next';
    }
    const planned = planQuota(request.found!.endpoint, choice, facts, admission.context.estimates);
    if (isFailure(planned)) {
      return planned;
    }
    admission.buckets = planned.buckets;
    admission.prepared = { body: admission.body, choice, plan: planned, input: new InputCount(choice, planned) };
    return 'next';
  },
};
