/**
 * Routes a request: the models list is answered here, passthrough needs only its headers, and all
 * other requests need their body, which names the model.
 */
import { isFailure } from '../../errors.ts';
import { InputCount } from '../input-count.ts';
import type { Admission, AdmissionStep, AdmissionWait, BodyComplete, StepResult } from './admission.ts';
import { admitPassthrough } from './admit-passthrough.ts';
import { listModels } from './list-models.ts';
import { planQuota } from './quota-plan.ts';
import { selectBackend } from './select-backend.ts';

export const route: AdmissionStep = {
  name: 'route',
  run(admission) {
    const { request } = admission;
    if (request.found === undefined) {
      return routePassthrough(admission);
    }
    if (request.found.endpoint.kind === 'models') {
      return listModels(admission, request.found.endpoint);
    }
    return request.complete ? routeBody(admission) : bodyWait;
  },
};

const bodyWait: AdmissionWait<BodyComplete> = {
  event: 'body-complete',
  cancel: undefined,
  resume: routeBody,
};

function routeBody(admission: Admission): StepResult {
  const { request, context } = admission;
  const { endpoint } = request.found!;
  const body = request.scanned();
  if (isFailure(body)) {
    return body;
  }
  const facts = endpoint.readRequest(body);
  if (isFailure(facts)) {
    return facts;
  }
  request.model = facts.model;
  const { healthy, random, estimates } = context;
  const choice = selectBackend(request.entry!, endpoint, facts, request.header, request.bodyBytes, healthy, random());
  if (isFailure(choice)) {
    return choice;
  }
  admission.choice = choice;
  const plan = planQuota(endpoint, choice, request.header, estimates);
  if (isFailure(plan)) {
    return plan;
  }
  admission.buckets = plan.buckets;
  admission.prepared = { body, choice, plan, input: new InputCount(choice, plan) };
  return 'next';
}

function routePassthrough(admission: Admission): StepResult {
  const { request } = admission;
  const admitted = admitPassthrough(request.entry!, request.method, request.path, request.header);
  if (isFailure(admitted)) {
    return admitted;
  }
  const problem = request.limitPassthrough(admitted.passthrough.maxRequestBodyBytes);
  if (problem !== undefined) {
    return problem;
  }
  admission.passthrough = admitted.passthrough;
  admission.buckets = admitted.buckets;
  return 'next';
}
