/**
 * Routes a request: passthrough needs only its headers, and all other requests need their body,
 * which names the model.
 */
import { refusedModel } from '../../access/decide.ts';
import { isFailure } from '../../errors.ts';
import { affinityKey } from '../affinity-key.ts';
import type { Admission, AdmissionStep, AdmissionWait, BodyComplete, StepResult } from './admission.ts';
import { routedPassthrough } from './admit-passthrough.ts';
import { selectBackend } from './select-backend.ts';

export const route: AdmissionStep = {
  name: 'route',
  run(admission, nowMs) {
    const { request } = admission;
    if (request.found === undefined) {
      return routePassthrough(admission);
    }
    return request.complete ? routeBody(admission, nowMs) : bodyWait;
  },
};

const bodyWait: AdmissionWait<BodyComplete> = {
  event: 'body-complete',
  cancel: undefined,
  resume: (admission, _event, nowMs) => routeBody(admission, nowMs),
};

function routeBody(admission: Admission, nowMs: number): StepResult {
  const { request, context } = admission;
  const { endpoint } = request.found!;
  const body = request.scanned();
  if (isFailure(body)) {
    return body;
  }
  const facts = endpoint.readRequest(body, request);
  if (isFailure(facts)) {
    return facts;
  }
  request.model = facts.model;
  // Before the routing, whose answer would tell which models exist.
  const refused = admission.identity && refusedModel(admission.identity, facts.model);
  if (refused !== undefined) {
    return refused;
  }
  let key: string | undefined;
  let hasKey = false;
  admission.affinityKey = () => {
    key = hasKey ? key : affinityKey(request, admission.identity?.proven.caller.tenant, facts.model, body);
    hasKey = true;
    return key;
  };
  const choice = selectBackend(
    request.entry!,
    endpoint,
    facts,
    request.header,
    request.bodyBytes,
    context,
    nowMs,
    admission.affinityKey,
  );
  if (isFailure(choice)) {
    return choice;
  }
  admission.choice = choice;
  admission.body = body;
  return 'next';
}

function routePassthrough(admission: Admission): StepResult {
  const { request } = admission;
  const routed = routedPassthrough(request.entry!, request.method, request.path);
  if (isFailure(routed)) {
    return routed;
  }
  const problem = request.limitPassthrough(routed.passthrough.maxRequestBodyBytes);
  if (problem !== undefined) {
    return problem;
  }
  admission.passthrough = routed;
  return 'next';
}
