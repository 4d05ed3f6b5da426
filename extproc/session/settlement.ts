/** Computes the cost and the record of a request at its end. Pure. */
import type { Quota } from '../../contract/policy.ts';
import type { ModelPrices } from '../../contract/tokens.ts';
import { envoyFailure, type Failure } from '../errors.ts';
import { type Interruption, interruptedBy } from '../interruption.ts';
import type { RequestFacts } from '../providers/adapter.ts';
import { costNanos, covers, finalPrices, pricesOfUnits } from '../quota/money.ts';
import type { Hold } from '../quota/store.ts';
import { drawsTokens, unitOf } from '../quota/units.ts';
import type { AccessRecord, ConversionRecord, QuotaDecision, RequestCost, RequestRecord } from '../record.ts';
import { textUsage } from '../usage.ts';
import type { Admission } from './admission/admission.ts';
import { guardRecord } from './admission/guardrails.ts';
import type { QuotaPlan } from './admission/quota-plan.ts';
import { estimateKey, type RoutingDecision } from './admission/select-backend.ts';
import type { BilledAttempt } from './attempts.ts';
import { type Cost, cost } from './charge.ts';
import type { OutputEstimates } from './output-estimates.ts';
import type { Settle } from './protocol.ts';
import type { PreparedRequest } from './request.ts';
import { type ResponseEvidence, unreadEvidence } from './response/evidence.ts';
import type { Forwarded } from './state.ts';

/** The codes of failures with which the access policies refuse. */
const accessCodes: readonly string[] = ['unauthenticated', 'forbidden', 'model_not_allowed'];

/** How a request ended, where the response did not end it. */
export interface Ending {
  readonly failure?: Failure;
  /** The status of our own reply. */
  readonly replyStatus?: number;
  /** The exchange was interrupted; `interruption` names the cause unless the client left. */
  readonly abandoned?: boolean;
  readonly interruption?: Interruption | undefined;
}

/** The knowledge of a session at its end. */
export interface SettlementInput {
  readonly admission: Admission;
  /** Absent where the request was refused, replied to by us, or abandoned before that. */
  readonly forwarded: Forwarded | undefined;
  /** Absent without response headers. */
  readonly evidence: ResponseEvidence | undefined;
  readonly ending: Ending;
  /** The operator who has stopped the request. */
  readonly stoppedBy: string | undefined;
  readonly startMs: number;
  readonly nowMs: number;
  /** Whether this response is in the sample whose counts are compared. */
  readonly compares: () => boolean;
  readonly estimates: OutputEstimates;
}

/** A request that a backend may have worked on, for its cost. */
interface Work {
  readonly input: SettlementInput;
  readonly evidence: ResponseEvidence;
  readonly prepared: PreparedRequest;
  readonly status: number | undefined;
  readonly sinceMs: number;
  readonly heldOutputTokens: number;
}

/** Returns undefined where nothing was delivered that costs anything. */
export function requestCost(input: SettlementInput): Cost | undefined {
  const { forwarded, admission } = input;
  const { prepared, sinceMs, held, lease, head } = forwarded ?? {};
  if (prepared === undefined || sinceMs === undefined || admission.request.found?.endpoint.kind !== 'metered') {
    return undefined;
  }
  const status = head?.status;
  // A provider that refused the request has delivered nothing. After a 504 it may have, to nobody.
  if (status !== undefined && (status < 200 || status >= 300) && status !== 504) {
    return undefined;
  }
  const evidence = input.evidence ?? unreadEvidence(false, 0, false);
  const heldOutputTokens = lease?.tokens ?? held?.outputTokens ?? 0;
  const work: Work = { input, evidence, prepared, status, sinceMs, heldOutputTokens };
  const { facts } = prepared.choice;
  // Candidates that are not shown cost about as much as those that are.
  const candidates = facts.choices / (facts.shownChoices ?? facts.choices);
  const undelivered = undeliveredTokens(work);
  return cost({
    facts,
    undeliveredTokens: undelivered,
    choiceTokens: prepared.plan.choiceTokens,
    usage: evidence.usage,
    usageFinal: evidence.usageFinal,
    serviceTier: evidence.serviceTier,
    priceUnits: evidence.priceUnits,
    countInput: () => prepared.input.likely(),
    countOutput: () => Math.max(Math.ceil(evidence.countOutput() * candidates), unseenTokens(work)) + undelivered,
    buckets: admission.buckets,
    heldInputTokens: held?.inputTokens ?? 0,
    heldOutputTokens,
    hidden: prepared.plan.hidden,
    cut: evidence.truncated,
  });
}

/** The cost of a request that failed by a fault of ours: all that it holds. */
export function costOfHold(forwarded: Forwarded | undefined): Cost | undefined {
  const { held, lease } = forwarded ?? {};
  if (held === undefined) {
    return undefined;
  }
  const usage = textUsage(held.inputTokens, lease?.tokens ?? held.outputTokens);
  return {
    usage,
    source: 'estimated',
    serviceTier: undefined,
    priceUnits: undefined,
    undeliveredTokens: 0,
    cause: 'in_flight',
  };
}

/**
 * Output that the provider may have produced unseen: of an incomplete unary response, and of a
 * model with hidden output that reported no usage. A client that left is charged as the policy's
 * `onAbandon` says, because it can leave on purpose; other interruptions by what is likely.
 */
function unseenTokens(work: Work): number {
  const { evidence, heldOutputTokens, prepared } = work;
  const { ending, estimates, admission, nowMs } = work.input;
  const { choice, plan } = prepared;
  const { facts } = choice;
  const incomplete = !facts.stream && (ending.abandoned === true || work.status === 504);
  const unseen = incomplete || isHidden(choice, plan) || evidence.unreadable;
  if (!facts.hasOutput || evidence.truncated || !unseen) {
    return 0;
  }
  const holds = admission.buckets.some(({ quota }) => quota.onAbandon !== 'Estimate');
  if (clientLeft(ending) && holds && heldOutputTokens > 0) {
    return heldOutputTokens;
  }
  const produced = Math.ceil(producedIn(work, nowMs - work.sinceMs));
  const likely = Math.max(produced, estimates.holdTokens(...estimateKey(choice)) * facts.choices);
  return Math.min(likely, heldOutputTokens > 0 ? heldOutputTokens : plan.choiceTokens * facts.choices);
}

/** Output of a visible stream that the provider produced while an extension was pending. */
function undeliveredTokens(work: Work): number {
  const { evidence, prepared } = work;
  const { choice, plan } = prepared;
  const { facts } = choice;
  const { unreadMs, usageFinal } = evidence;
  if (unreadMs <= 0 || usageFinal || !facts.stream || !facts.hasOutput || isHidden(choice, plan)) {
    return 0;
  }
  const possible = Math.max(0, plan.choiceTokens * facts.choices - evidence.countOutput());
  return Math.min(possible, Math.floor(producedIn(work, unreadMs)));
}

function producedIn({ input: { estimates }, prepared }: Work, timeMs: number): number {
  const { choice } = prepared;
  return (estimates.tokensPerSecond(...estimateKey(choice)) * timeMs * choice.facts.choices) / 1000;
}

/** Hidden candidates are estimated from the ones that are shown. */
function isHidden({ facts }: RoutingDecision, { hidden }: QuotaPlan): boolean {
  return hidden && facts.shownChoices === undefined;
}

function clientLeft({ abandoned, interruption }: Ending): boolean {
  return abandoned === true && interruptedBy(interruption) === 'client';
}

/** Converts what a request cost into the units of each of its buckets. */
export function settlement(hold: Hold, { buckets, choice, attempts }: Admission, cost: Cost | undefined): Settle {
  const billed = attempts?.billed ?? [];
  if (cost === undefined && billed.length === 0) {
    return { hold, charge: 'nothing' };
  }
  const prices = choice && cost && settledPrices(choice, cost);
  const amounts = buckets.map(({ quota }) => {
    const own = cost === undefined ? 0 : unitOf(quota).amount(quota.limit, cost.usage, prices);
    return billed.reduce((sum, attempt) => sum + billedAmount(quota, attempt), own);
  });
  return { hold, charge: { amounts, cause: cost?.cause ?? 'in_flight' } };
}

/** Attempts count for tokens and cost only: the client sent one request. */
function billedAmount(quota: Quota, { choice, inputTokens }: BilledAttempt): number {
  return drawsTokens(quota) ? unitOf(quota).amount(quota.limit, textUsage(inputTokens, 0), choice.prices) : 0;
}

function finalDecision({ evidence, stoppedBy, admission: { decision } }: SettlementInput): QuotaDecision {
  if (evidence === undefined || decision.type !== 'admitted') {
    return decision;
  }
  const queuedMs = decision.queuedMs + evidence.waitedMs;
  return { ...decision, type: evidence.truncated && stoppedBy === undefined ? 'cut' : 'admitted', queuedMs };
}

export function requestRecord(input: SettlementInput, cost: Cost | undefined): RequestRecord {
  const { admission, forwarded, evidence, ending, nowMs } = input;
  const { request, choice, passthrough } = admission;
  const { head, response, sinceMs } = forwarded ?? {};
  const facts = choice?.facts;
  const named = request.trace && evidence?.named;
  const late = ending.abandoned === true && interruptedBy(ending.interruption) === 'timeout';
  const complete = evidence?.finished === true && cost?.source === 'provider' && facts?.hasOutput === true;
  return {
    requestId: request.id,
    trace: request.trace,
    route: choice?.rule.rule.route ?? passthrough?.passthrough.route,
    rule: choice?.rule.rule.name ?? passthrough?.passthrough.rule,
    backend: choice?.target.backend,
    schema: choice?.target.backendPolicy.schema,
    conversion: conversionRecord(admission),
    failover: forwarded?.failed,
    attempts: admission.attempts?.all(head?.failure ? undefined : head?.status, forwarded?.failed, nowMs),
    operation: request.found?.endpoint.operation,
    method: request.method,
    path: request.path,
    model: request.model,
    modelIsKnown: choice?.modelIsKnown ?? false,
    responseModel: evidence?.responseModel,
    stream: facts?.stream ?? false,
    status: ending.replyStatus ?? head?.status,
    startMs: input.startMs,
    endMs: nowMs,
    forwardedMs: sinceMs,
    firstTokenMs: response?.firstTokenMs,
    usage: cost?.usage,
    source: cost?.source,
    cost: withBilled(cost && pricedCost(choice, cost), admission.attempts?.billed),
    serviceTier: evidence?.serviceTier,
    responseId: named?.responseId,
    finishReasons: named?.finishReasons,
    asked: request.trace && facts && askedOf(facts),
    undeliveredTokens: cost?.undeliveredTokens || undefined,
    estimatedOutputTokens: complete && input.compares() ? evidence.countExactly() : undefined,
    agent: request.agent,
    guard: guardRecord(admission),
    content: undefined,
    access: accessRecord(admission, ending.failure),
    decision: finalDecision(input),
    buckets: admission.buckets,
    failure: ending.failure ?? response?.failure ?? head?.failure ?? (late ? envoyFailure(504) : undefined),
    clientLeft: clientLeft(ending),
    stoppedBy: input.stoppedBy,
    broken: ending.interruption ?? head?.interruption,
    providerRequestId: head?.providerRequestId,
    unmetered: cost !== undefined && isUnmetered(cost, evidence),
    requestBytes: request.bodyBytes,
    responseBytes: response?.bytes ?? 0,
    observed: complete
      ? {
          key: estimateKey(choice!),
          outputTokens: Math.ceil(cost.usage.output / facts.choices),
          durationMs: nowMs - (sinceMs ?? 0),
        }
      : undefined,
  };
}

function askedOf({ askedOutputTokens, choices, serviceTier }: RequestFacts): RequestRecord['asked'] {
  return { outputTokens: askedOutputTokens, choices, serviceTier };
}

function conversionRecord({ choice, prepared }: Admission): ConversionRecord | undefined {
  return (
    choice?.conversion && {
      providerApi: choice.conversion.providerApi,
      dropped: prepared?.converted?.dropped ?? [],
    }
  );
}

function pricedCost(choice: RoutingDecision | undefined, cost: Cost): RequestCost | undefined {
  const prices = choice && settledPrices(choice, cost);
  return prices && covers(prices, choice.facts.hasOutput)
    ? { nanos: costNanos(cost.usage, prices), currency: prices.currency, catalog: prices.catalog }
    : undefined;
}

/** Adds what failed attempts cost in the same currency. */
function withBilled(cost: RequestCost | undefined, billed: readonly BilledAttempt[] = []): RequestCost | undefined {
  return billed.reduce((sum, { choice: { prices }, inputTokens }) => {
    if (prices === undefined || (sum !== undefined && sum.currency !== prices.currency)) {
      return sum;
    }
    const nanos = costNanos(textUsage(inputTokens, 0), prices) + (sum?.nanos ?? 0);
    return { nanos, currency: prices.currency, catalog: sum?.catalog ?? prices.catalog };
  }, cost);
}

function settledPrices({ prices, facts }: RoutingDecision, { serviceTier, priceUnits }: Cost): ModelPrices | undefined {
  return prices && pricesOfUnits(finalPrices(prices, serviceTier, facts.serviceTier), priceUnits ?? facts.priceUnits);
}

/** `ended` is the failure that we replied with. */
function accessRecord({ identity, group }: Admission, ended: Failure | undefined): AccessRecord | undefined {
  const refused = ended !== undefined && accessCodes.includes(ended.code);
  if (identity === undefined && !refused) {
    return undefined;
  }
  const { caller, method } = identity?.proven ?? {};
  return { decision: refused ? 'refused' : 'admitted', caller, method, group };
}

function isUnmetered({ usage, source }: Cost, evidence: ResponseEvidence | undefined): boolean {
  const unread = evidence?.partlyUnreadable === true && source !== 'provider';
  return unread || (usage.input === 0 && usage.output === 0);
}
