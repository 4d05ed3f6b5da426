/** The end of a request: what it cost, and what its record says. Pure. */
import { envoyFailure, type Failure } from '../errors.ts';
import { type Interruption, interruptedBy } from '../interruption.ts';
import type { BucketRef, Hold } from '../quota/store.ts';
import { unitOf } from '../quota/units.ts';
import type { QuotaDecision, RequestRecord } from '../record.ts';
import { estimateKey, type OutputEstimates, type QuotaPlan, type RoutingDecision } from './admission.ts';
import type { Answer } from './answer.ts';
import { type Cost, cost } from './charge.ts';
import type { Settle } from './protocol.ts';
import type { PreparedRequest, Request } from './request.ts';

/** What a session knows at its end. */
export interface SettlementInput {
  readonly request: Request;
  readonly asked: PreparedRequest | undefined;
  readonly answer: Answer | undefined;
  readonly held: { readonly inputTokens: number; readonly outputTokens: number } | undefined;
  readonly buckets: readonly BucketRef[];
  readonly decision: QuotaDecision;
  readonly failure: Failure | undefined;
  readonly replyStatus: number | undefined;
  /** It was broken off; `broken` says by whom, if not by the client. */
  readonly clientLeft: boolean;
  readonly broken: Interruption | undefined;
  readonly startMs: number;
  /** 0: it was never let go. */
  readonly forwardedAtMs: number;
  readonly nowMs: number;
  readonly countInput: () => number;
  /** Whether this answer is one of the sample whose counts are compared. */
  readonly compares: () => boolean;
  readonly estimates: OutputEstimates;
}

/** Undefined: nothing was delivered that costs anything. */
export function charged(closing: SettlementInput): Cost | undefined {
  const { answer, held, request, asked } = closing;
  if (answer === undefined || asked === undefined || closing.forwardedAtMs === 0) {
    return undefined;
  }
  if (request.found?.endpoint.kind !== 'metered') {
    return undefined;
  }
  const { status } = answer;
  // A provider that refused or failed before it began has delivered nothing. A 504 says only that nobody waited for it.
  if (status !== undefined && (status < 200 || status >= 300) && status !== 504) {
    return undefined;
  }
  const heldOutputTokens = answer.leasedTokens ?? held?.outputTokens ?? 0;
  const { choice, plan } = asked;
  const { facts } = choice;
  // Candidates that are not shown cost about as much as those that are.
  const candidates = facts.choices / (facts.shownChoices ?? facts.choices);
  const undeliveredTokens = undelivered(closing, asked, answer);
  return cost({
    facts,
    undeliveredTokens,
    choiceTokens: plan.choiceTokens,
    usage: answer.usage,
    usageFinal: answer.usageFinal,
    countInput: closing.countInput,
    countOutput: () =>
      Math.max(Math.ceil(answer.countOutput() * candidates), unseenOutput(closing, asked, answer, heldOutputTokens)) +
      undeliveredTokens,
    buckets: closing.buckets,
    heldInputTokens: held?.inputTokens ?? 0,
    heldOutputTokens,
    hidden: plan.hidden,
    cut: answer.cut,
  });
}

/**
 * Output that may have been made although nobody saw it: of a whole answer that did not come to its end, and of a model with hidden output that told no usage.
 * A client that left is charged by the policy's word, since it can leave on purpose; a provider or a timeout that ended it, by what is likely.
 */
function unseenOutput(
  closing: SettlementInput,
  { choice, plan }: PreparedRequest,
  answer: Answer,
  heldTokens: number,
): number {
  const { facts } = choice;
  const isWhole = !facts.stream && (closing.clientLeft || answer.status === 504);
  if (!facts.hasOutput || answer.cut || !(isWhole || isHidden(choice, plan) || answer.unreadable)) {
    return 0;
  }
  const left = closing.clientLeft && interruptedBy(closing.broken) === 'client';
  const holds = closing.buckets.some(({ quota }) => quota.onAbandon !== 'Estimate');
  if (left && holds && heldTokens > 0) {
    return heldTokens;
  }
  const made = Math.ceil(madeIn(closing, choice, closing.nowMs - closing.forwardedAtMs));
  const likely = Math.max(made, closing.estimates.holdTokens(...estimateKey(choice)) * facts.choices);
  return Math.min(likely, heldTokens > 0 ? heldTokens : plan.choiceTokens * facts.choices);
}

/** Output of a visible stream that the provider made while nobody read it, because more budget was awaited. */
function undelivered(closing: SettlementInput, { choice, plan }: PreparedRequest, answer: Answer): number {
  const { facts } = choice;
  const unreadMs = answer.unreadMs(closing.nowMs);
  if (unreadMs <= 0 || answer.usageFinal || !facts.stream || !facts.hasOutput || isHidden(choice, plan)) {
    return 0;
  }
  const possible = Math.max(0, plan.choiceTokens * facts.choices - answer.countOutput());
  return Math.min(possible, Math.floor(madeIn(closing, choice, unreadMs)));
}

function madeIn({ estimates }: SettlementInput, choice: RoutingDecision, timeMs: number): number {
  return (estimates.tokensPerSecond(...estimateKey(choice)) * timeMs * choice.facts.choices) / 1000;
}

/** Hidden candidates are reckoned from those that are shown. */
function isHidden({ facts }: RoutingDecision, { hidden }: QuotaPlan): boolean {
  return hidden && facts.shownChoices === undefined;
}

/** Turns what a request cost into the units of each of its buckets. */
export function settlement(hold: Hold, buckets: readonly BucketRef[], cost: Cost | undefined): Settle {
  if (cost === undefined) {
    return { hold, charge: 'nothing' };
  }
  const amounts = buckets.map(({ quota }) => unitOf(quota).amount(cost.usage));
  return { hold, charge: { amounts, cause: cost.cause } };
}

function decided({ answer, decision, nowMs }: SettlementInput): QuotaDecision {
  if (answer === undefined || decision.type !== 'admitted') {
    return decision;
  }
  const queuedMs = decision.queuedMs + answer.waitedMs(nowMs);
  return { ...decision, type: answer.cut ? 'cut' : 'admitted', queuedMs };
}

export function outcome(closing: SettlementInput, cost: Cost | undefined): RequestRecord {
  const { request, answer, nowMs } = closing;
  const { choice } = request;
  const facts = choice?.facts;
  const late = closing.clientLeft && interruptedBy(closing.broken) === 'timeout';
  const complete = answer?.finished === true && cost?.source === 'provider' && facts?.hasOutput === true;
  return {
    requestId: request.id,
    route: choice?.rule.rule.route ?? request.passthrough?.route,
    rule: choice?.rule.rule.name ?? request.passthrough?.rule,
    backend: choice?.target.backend,
    schema: choice?.target.backendPolicy.schema,
    operation: request.found?.endpoint.operation,
    method: request.method,
    path: request.path,
    model: request.model,
    modelIsKnown: choice?.modelIsKnown ?? false,
    responseModel: answer?.responseModel,
    stream: facts?.stream ?? false,
    status: closing.replyStatus ?? answer?.status,
    startMs: closing.startMs,
    endMs: nowMs,
    firstTokenMs: answer?.firstTokenMs,
    usage: cost?.usage,
    source: cost?.source,
    undeliveredTokens: cost?.undeliveredTokens || undefined,
    estimatedOutputTokens: complete && closing.compares() ? answer.countExactly() : undefined,
    decision: decided(closing),
    buckets: closing.buckets,
    failure: closing.failure ?? answer?.failed ?? (late ? envoyFailure(504) : undefined),
    clientLeft: closing.clientLeft && interruptedBy(closing.broken) === 'client',
    broken: closing.broken ?? answer?.broken,
    providerRequestId: answer?.providerRequestId,
    unmetered:
      cost !== undefined &&
      ((answer?.partlyUnreadable === true && cost.source !== 'provider') ||
        (cost.usage.input === 0 && cost.usage.output === 0)),
    requestBytes: request.bodyBytes,
    responseBytes: answer?.bytes ?? 0,
    observed: complete
      ? {
          key: estimateKey(choice!),
          outputTokens: Math.ceil(cost.usage.output / facts.choices),
          durationMs: nowMs - closing.forwardedAtMs,
        }
      : undefined,
  };
}
