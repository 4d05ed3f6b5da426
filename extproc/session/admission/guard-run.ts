/**
 * The inspection of one request, in steps: the detectors of the gateway itself, then the services.
 * A coroutine, because the inspection pauses for the event loop and for answers.
 */
import { type Failure, failure, isFailure } from '../../errors.ts';
import { isExternal } from '../../guard/compile.ts';
import type { Analysis, DetectorError } from '../../guard/external/external-detector.ts';
import type { GuardRule, RequestGuard } from '../../guard/guard.ts';
import { RequestAnalysis, type TextQuestion } from '../../guard/request-analysis.ts';
import { inspectJson, inspectPlain } from '../../guard/request-inspection.ts';
import type { SpanReader } from '../../json/scanner.ts';
import { type Splice, splice } from '../../json/splice.ts';
import type { Inspection } from '../protocol.ts';
import type { Admission } from './admission.ts';
import { ruleId } from './guardrails.ts';
import { decisionFor } from './select-backend.ts';

/** The bytes of a step, or the questions that must be answered first. */
type Pause = number | RequestAnalysis;

export class GuardRun implements Inspection {
  /** Present once the inspection has ended; `undefined` in it: the request may pass. */
  result: { readonly failure: Failure | undefined } | undefined;
  /** The questions to services that are to be answered now. */
  questions: readonly TextQuestion[] = [];
  readonly #admission: Admission;
  readonly #body: Admission['body'];
  readonly #pauses: Generator<Pause, Failure | undefined>;
  readonly #answers: (Analysis | DetectorError)[] = [];
  #missing = 0;

  constructor(admission: Admission, guard: RequestGuard, nowMs: number) {
    this.#admission = admission;
    this.#body = admission.body;
    this.#pauses = inspect(admission, guard, nowMs, this.#answers);
  }

  /** Whether another body has taken the place of the client's. */
  get hasEdited(): boolean {
    return this.#admission.body !== this.#body;
  }

  get isWaiting(): boolean {
    return this.#missing > 0;
  }

  step(): number {
    if (this.result !== undefined || this.isWaiting) {
      return 0;
    }
    const { done, value } = this.#pauses.next();
    if (done) {
      this.result = { failure: value };
      return 0;
    }
    if (typeof value === 'number') {
      return Math.max(1, value);
    }
    this.questions = value.questions;
    this.#missing = this.questions.length;
    this.#answers.length = this.#missing;
    return this.isWaiting ? 0 : 1;
  }

  /** Takes the answer to a question. */
  answer(question: number, answer: Analysis | DetectorError): void {
    if (this.#answers[question] === undefined) {
      this.#answers[question] = answer;
      this.#missing--;
    }
  }
}

function* inspect(
  admission: Admission,
  guard: RequestGuard,
  nowMs: number,
  answers: readonly (Analysis | DetectorError)[],
): Generator<Pause, Failure | undefined> {
  const { form } = admission.request.found!.endpoint;
  const body = joined(admission.body!.bytes);
  const inspected =
    form === undefined
      ? yield* inspectJson(body, guard)
      : yield* inspectPlain(body, spansOf(admission.body!.textSpans()), guard);
  const refused = blocked(guard) ?? unexamined(admission, guard, inspected.fault);
  if (refused !== undefined) {
    return refused;
  }
  const problem = yield* edit(admission, body, inspected.splices, nowMs);
  const services = guard.rules.filter((rule) => isExternal(rule) && rule.phases.has('request'));
  if (problem !== undefined || services.length === 0) {
    return problem;
  }
  if (form !== undefined) {
    // Services get no forms.
    const unread = services.map((rule) => ({ rule, reason: 'form' }));
    return closedBy(admission, unread, 'content_blocked');
  }
  const masked = joined(admission.body!.bytes);
  const analysis = new RequestAnalysis(masked, guard);
  yield* analysis.collect();
  yield analysis;
  const splices = analysis.apply(answers);
  const failed = blocked(guard) ?? notAnalyzed(admission, analysis);
  return failed ?? (yield* edit(admission, masked, splices, nowMs));
}

/** Replaces the body by the masked one, and reads it again. */
function* edit(
  admission: Admission,
  body: Uint8Array,
  splices: readonly Splice[],
  nowMs: number,
): Generator<number, Failure | undefined> {
  if (splices.length === 0) {
    return undefined;
  }
  const { request, choice } = admission;
  if (choice!.rule.rule.affinity !== undefined) {
    // The key is that of the client's own body, which must not be kept for it.
    admission.affinityKey?.();
  }
  const scanned = yield* request.replaceBody(splice([body], splices));
  if (isFailure(scanned)) {
    return scanned;
  }
  const { endpoint } = request.found!;
  const facts = endpoint.readRequest(scanned, request);
  if (isFailure(facts)) {
    return facts;
  }
  admission.body = scanned;
  admission.choice = decisionFor(choice!.rule, choice!.target, endpoint, facts, nowMs);
  return undefined;
}

function blocked({ block }: RequestGuard): Failure | undefined {
  return block && failure('content_blocked', block.message);
}

/** Decides about a body that cannot be read. */
function unexamined(admission: Admission, guard: RequestGuard, fault: string | undefined): Failure | undefined {
  if (fault === undefined) {
    return undefined;
  }
  const rules = guard.rules.filter(({ phases }) => phases.has('request'));
  return closedBy(
    admission,
    rules.map((rule) => ({ rule, reason: fault })),
    'content_blocked',
  );
}

function notAnalyzed(admission: Admission, { failures }: RequestAnalysis): Failure | undefined {
  return closedBy(admission, failures, 'guardrail_unavailable');
}

interface FailedRule {
  readonly rule: GuardRule;
  readonly reason: string;
}

/** Notes the failures, and refuses the request where one of the rules is closed. */
export function closedBy(
  { guardFailures }: Admission,
  failures: readonly FailedRule[],
  code: 'content_blocked' | 'guardrail_unavailable',
): Failure | undefined {
  guardFailures.push(...failures.map(({ rule, reason }) => ({ rule: ruleId(rule), reason })));
  if (failures.every(({ rule }) => rule.onFailure === 'Open')) {
    return undefined;
  }
  return code === 'content_blocked'
    ? failure(code, 'The gateway cannot examine the content of this request, so the request is refused.')
    : failure(code, 'A guardrail is not available to examine this request. Try again shortly.', { retryAfterMs: 1000 });
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

function* spansOf(spans: SpanReader): Generator<{ readonly start: number; readonly end: number }> {
  while (spans.next()) {
    yield { start: spans.start, end: spans.end };
  }
}
