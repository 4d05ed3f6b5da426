/** Identifies the caller where an access policy applies. */
import { type AccessPolicies, authenticate, refusedAtHeaders } from '../../access/decide.ts';
import { type Failure, isFailure } from '../../errors.ts';
import type { Action, EventOf } from '../protocol.ts';
import type { Admission, AdmissionStep, AdmissionWait } from './admission.ts';

/**
 * Decides who the caller is by the policies that apply to all routes here. Runs at the request
 * headers, before the body is read, and refuses what no rule of these policies can allow.
 */
export const access: AdmissionStep = {
  name: 'access',
  run(admission, nowMs, out) {
    const { request } = admission;
    const policies = request.entry!.access;
    if (policies.length === 0) {
      return 'next';
    }
    const endpoint = request.found === undefined ? 'passthrough' : request.found.endpoint.name;
    const problem = identify(admission, policies, nowMs, out);
    return problem === 'verifying'
      ? accessWait
      : (problem ?? refusedAtHeaders(admission.identity!, endpoint) ?? 'next');
  },
};

const accessWait: AdmissionWait<EventOf<'tokens-verified'>> = {
  event: 'tokens-verified',
  cancel: undefined,
  resume: (admission, _event, nowMs, out) => access.run(admission, nowMs, out),
};

/** Sets the identity of the caller by these policies. `verifying`: `tokens-verified` follows. */
export function identify(
  admission: Admission,
  policies: AccessPolicies,
  nowMs: number,
  out: Action[],
): Failure | 'verifying' | undefined {
  const { context, request, identity } = admission;
  const services = { keys: context.policy.apiKeys, verifier: context.verifier, nowMs };
  const result = authenticate(policies, request.presented, services, identity);
  if (result instanceof Promise) {
    out.push({ type: 'verify-tokens', verified: result });
    return 'verifying';
  }
  if (isFailure(result)) {
    return result;
  }
  admission.identity = result;
  return undefined;
}
