/** Replies to requests for what the gateway knows: lists of models, and what is left of quotas. */
import type { Action, EventOf } from '../protocol.ts';
import type { Admission, AdmissionStep, AdmissionWait, StepResult } from './admission.ts';
import { listModels } from './list-models.ts';
import { type CallerQuotas, quotaReport, quotasOfCaller } from './quota-report.ts';
import { RuleCallers } from './rule-callers.ts';

export const reply: AdmissionStep = {
  name: 'reply',
  run: (admission, nowMs, out) => {
    const kind = admission.request.found?.endpoint.kind;
    return kind === 'models' || kind === 'quota' ? replyTo(admission, nowMs, out) : 'next';
  },
};

function replyTo(admission: Admission, nowMs: number, out: Action[]): StepResult {
  const { request } = admission;
  const { endpoint } = request.found!;
  const callers = new RuleCallers(admission, nowMs);
  const found =
    endpoint.kind === 'models' ? listModels(request, endpoint, callers, nowMs) : quotasOfCaller(request, callers);
  if (callers.pending !== undefined) {
    out.push({ type: 'verify-tokens', verified: callers.pending });
    return accessWait;
  }
  if (callers.failure !== undefined) {
    return callers.failure;
  }
  if (!('rows' in found)) {
    return found;
  }
  out.push({ type: 'read-quotas', buckets: found.rows.flatMap(({ bucket }) => bucket ?? []) });
  return quotasWait(found);
}

const accessWait: AdmissionWait<EventOf<'tokens-verified'>> = {
  event: 'tokens-verified',
  cancel: undefined,
  resume: (admission, _event, nowMs, out) => replyTo(admission, nowMs, out),
};

function quotasWait(found: CallerQuotas): AdmissionWait<EventOf<'quotas-read'>> {
  return {
    event: 'quotas-read',
    cancel: undefined,
    resume: ({ context }, { snapshots }) => ({ reply: quotaReport(found, snapshots, context.plainErrors) }),
  };
}
