/** Decides whether the caller may send this request: by its route, model, endpoint and output. */
import { type AccessDemand, admit } from '../../access/decide.ts';
import { isFailure } from '../../errors.ts';
import type { Action, EventOf } from '../protocol.ts';
import { credentialRevoked } from '../replies.ts';
import { identify } from './access.ts';
import type { Admission, AdmissionStep, AdmissionWait, StepResult } from './admission.ts';
import { mostOutputTokens } from './quota-plan.ts';

export const permission: AdmissionStep = {
  name: 'permission',
  run: permit,
};

const permissionWait: AdmissionWait<EventOf<'tokens-verified'>> = {
  event: 'tokens-verified',
  cancel: undefined,
  resume: (admission, _event, nowMs, out) => permit(admission, nowMs, out),
};

function permit(admission: Admission, nowMs: number, out: Action[]): StepResult {
  const policies = (admission.choice?.rule ?? admission.passthrough!).access;
  if (policies.length > 0) {
    const problem = identify(admission, policies, nowMs, out);
    if (problem !== undefined) {
      return problem === 'verifying' ? permissionWait : problem;
    }
  }
  if (admission.identity === undefined) {
    return 'next';
  }
  // While the body arrived, the key may have been removed.
  if (admission.context.isRevoked(admission.identity)) {
    return credentialRevoked;
  }
  const admitted = admit(admission.identity, demandOf(admission));
  if (isFailure(admitted)) {
    return admitted;
  }
  admission.group = admitted.group;
  if (admission.identity.policies.some(({ policy }) => policy.revokeStreams)) {
    out.push({ type: 'watch-caller', identity: admission.identity });
  }
  return 'next';
}

/** Returns what conditions know of the request. */
export function demandOf({ choice, request }: Admission): AccessDemand {
  if (choice === undefined) {
    return { model: undefined, endpoint: 'passthrough', stream: false, maxOutputTokens: undefined };
  }
  const { facts } = choice;
  const most = mostOutputTokens(choice);
  return {
    model: facts.model,
    endpoint: request.found!.endpoint.name,
    stream: facts.stream,
    maxOutputTokens: Number.isFinite(most) ? most * facts.choices : undefined,
  };
}
