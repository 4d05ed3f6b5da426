/**
 * Inspects the content of the request by the guardrails, masks what they find, and refuses what
 * they block. Comes before the plan, so that whatever reads the body reads the masked one, and a
 * blocked request holds nothing.
 */
import { isFailure } from '../../errors.ts';
import type { AnalyzeContext } from '../../guard/external/external-detector.ts';
import { type GuardPhase, RequestGuard } from '../../guard/guard.ts';
import type { TextQuestion } from '../../guard/request-analysis.ts';
import type { Action, EventOf } from '../protocol.ts';
import type { Admission, AdmissionStep, AdmissionWait, StepResult } from './admission.ts';
import { closedBy, GuardRun } from './guard-run.ts';
import { guardrailsFor } from './guardrails.ts';
import { withoutJudges } from './judge-requests.ts';

/** Smaller inspections are done at once: another turn of the event loop would cost more. */
const BYTES_AT_ONCE = 16 * 1024;

export const guard: AdmissionStep = {
  name: 'guard',
  run(admission, nowMs, out) {
    const rules = withoutJudges(admission, guardrailsFor(admission));
    if (isFailure(rules)) {
      return rules;
    }
    if (rules.length === 0) {
      return 'next';
    }
    const requestGuard = new RequestGuard(rules);
    admission.guard = requestGuard;
    if (admission.choice === undefined) {
      const unread = rules.map((rule) => ({ rule, reason: 'passthrough' }));
      return closedBy(admission, unread, 'content_blocked') ?? 'next';
    }
    if (!requestGuard.appliesTo('request')) {
      return 'next';
    }
    return proceed(admission, new GuardRun(admission, requestGuard, nowMs), out);
  },
};

const stopInspection: Action = { type: 'stop-inspection' };

/** Goes on as far as possible now. */
function proceed(admission: Admission, run: GuardRun, out: Action[]): StepResult {
  let bytes = 0;
  while (bytes < BYTES_AT_ONCE) {
    const step = run.step();
    if (step === 0) {
      return paused(admission, run, out);
    }
    bytes += step;
  }
  out.push({ type: 'inspect', inspection: run });
  return inspected(run);
}

function inspected(run: GuardRun): AdmissionWait<EventOf<'inspected'>> {
  return {
    event: 'inspected',
    cancel: stopInspection,
    resume: (admission, _event, _nowMs, out) => paused(admission, run, out),
  };
}

/** The inspection has ended, or waits for answers. */
function paused(admission: Admission, run: GuardRun, out: Action[]): StepResult {
  if (run.result !== undefined) {
    if (run.hasEdited) {
      admission.request.keepAgain(out);
    }
    return run.result.failure ?? 'next';
  }
  for (const [id, { rule, scope, text, isLast }] of run.questions.entries()) {
    const context = contextOf(admission, 'request', scope, isLast);
    out.push({ type: 'analyze', id, rule, text, context });
  }
  return analyzed(run);
}

function analyzed(run: GuardRun): AdmissionWait<EventOf<'analyzed'>> {
  return {
    event: 'analyzed',
    cancel: stopInspection,
    resume(admission, { id, result }, _nowMs, out) {
      run.answer(id, result);
      return run.isWaiting ? analyzed(run) : proceed(admission, run, out);
    },
  };
}

/** Returns what a service learns about a text. */
export function contextOf(
  { request, choice, identity }: Admission,
  phase: GuardPhase,
  scope: TextQuestion['scope'],
  final: boolean,
): AnalyzeContext {
  const { tenant, user } = identity?.proven.caller ?? {};
  return {
    phase,
    scope,
    model: choice!.facts.model,
    route: choice!.rule.rule.route,
    tenant,
    user,
    requestId: request.id,
    final,
  };
}
