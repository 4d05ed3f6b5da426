/**
 * Decides whether policies keep the content of the request, and collects its text as the provider
 * gets it. Comes last: nothing is kept of a request that is refused.
 */
import type { ConditionFacts } from '../../../contract/condition.ts';
import type { CompiledContentPolicy } from '../../content/compile.ts';
import { ContentCapture } from '../../content/content-capture.ts';
import { promptTexts } from '../../content/prompt-texts.ts';
import { isSampled } from '../../content/sampling.ts';
import type { Action, Inspection } from '../protocol.ts';
import type { Admission, AdmissionStep, StepResult } from './admission.ts';
import { isExempt } from './guardrails.ts';
import { demandOf } from './permission.ts';

/** Smaller bodies are read at once: another turn of the event loop would cost more. */
const BYTES_AT_ONCE = 32 * 1024;

const stopInspection: Action = { type: 'stop-inspection' };

export const content: AdmissionStep = {
  name: 'content',
  run(admission, _nowMs, out) {
    const policies = admission.choice?.rule.content ?? [];
    if (policies.length === 0) {
      return 'next';
    }
    const applying = policiesFor(admission, policies);
    if (applying.length === 0) {
      return 'next';
    }
    const capture = new ContentCapture(applying);
    admission.content = capture;
    if (capture.promptBytes === 0) {
      return 'next';
    }
    if (admission.request.found!.endpoint.form !== undefined) {
      capture.takePrompt(undefined);
      return 'next';
    }
    return begun(new PromptReading(capture, admission.body!.bytes), out);
  },
};

class PromptReading implements Inspection {
  isDone = false;
  readonly #capture: ContentCapture;
  readonly #work: ReturnType<typeof promptTexts>;

  constructor(capture: ContentCapture, pieces: readonly Uint8Array[]) {
    this.#capture = capture;
    const body = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    this.#work = promptTexts(body, capture.promptBytes);
  }

  step(): number {
    if (this.isDone) {
      return 0;
    }
    const { done, value } = this.#work.next();
    if (!done) {
      return Math.max(1, value);
    }
    this.isDone = true;
    this.#capture.takePrompt(value);
    return 0;
  }
}

function begun(reading: PromptReading, out: Action[]): StepResult {
  for (let bytes = 0; bytes < BYTES_AT_ONCE; ) {
    const step = reading.step();
    if (step === 0) {
      return 'next';
    }
    bytes += step;
  }
  out.push({ type: 'inspect', inspection: reading });
  return { event: 'inspected', cancel: stopInspection, resume: () => 'next' };
}

function policiesFor(
  admission: Admission,
  policies: readonly CompiledContentPolicy[],
): readonly CompiledContentPolicy[] {
  const { request, identity } = admission;
  const caller = identity?.proven.caller;
  const { tenant, user, groups = [] } = caller ?? {};
  const facts: ConditionFacts = { request: demandOf(admission), caller: { tenant, user, groups } };
  return policies.filter(
    ({ policy, when }) =>
      !isExempt(policy.exempt, caller) &&
      (when === undefined || when(facts)) &&
      isSampled(request.id, policy.samplingPercent),
  );
}
