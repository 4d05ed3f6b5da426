/**
 * Reserves what the request may cost; the quota store may let it wait, or count its prompt first.
 */
import { possiblePrices, pricesOfUnits } from '../../quota/money.ts';
import type { Demand, OutputDemand } from '../../quota/store.ts';
import { drawOn, drawsInput } from '../../quota/units.ts';
import type { UsageSubject } from '../../quota/usage-record.ts';
import type { Action, EventOf } from '../protocol.ts';
import { quotaFailure } from '../replies.ts';
import type { Admission, AdmissionStep, AdmissionWait, StepResult } from './admission.ts';
import { countPrompt, stopCount } from './count-prompt.ts';
import { dearestDraw, largestInput, largestOutput } from './plan-attempts.ts';

export const reserve: AdmissionStep = {
  name: 'reserve',
  run: (admission, nowMs, out) => (admission.buckets.length === 0 ? 'next' : askStore(admission, nowMs, out)),
};

const storeWait: AdmissionWait<EventOf<'reserved'>> = {
  event: 'reserved',
  cancel: { type: 'cancel' },
  resume(admission, { decision }, nowMs, out) {
    if (decision.type === 'count-first') {
      countPrompt(admission.prepared!, decision.limitTokens, out);
      return countWait;
    }
    admission.snapshots = decision.snapshots;
    if (decision.type === 'refused') {
      admission.decision = { type: 'refused', reason: decision.reason, quota: decision.bucket.quota.id };
      return quotaFailure(decision);
    }
    const { hold, outputTokens, shadowRefused = [] } = decision;
    const queuedMs = Math.floor(nowMs - admission.reservingSinceMs);
    admission.decision = { type: 'admitted', queuedMs, shadowRefused };
    admission.held = { hold, outputTokens, inputTokens: mostInput(admission) };
    return 'next';
  },
};

const countWait: AdmissionWait<EventOf<'counted'>> = {
  event: 'counted',
  cancel: stopCount,
  resume(admission, { tokens }, nowMs, out) {
    admission.prepared!.input.counted(tokens);
    return askStore(admission, nowMs, out);
  },
};

function askStore(admission: Admission, nowMs: number, out: Action[]): StepResult {
  admission.reservingSinceMs = nowMs;
  out.push({ type: 'reserve', demand: quotaDemand(admission, nowMs) });
  return storeWait;
}

/** Returns what the request asks of the quota store; of passthrough only its number counts. */
function quotaDemand(admission: Admission, atMs: number): Demand {
  const { buckets, prepared, attempts, context } = admission;
  const { input, plan } = prepared ?? {};
  const { prices, facts } = prepared?.choice ?? {};
  const possible = prices && pricesOfUnits(possiblePrices(prices, facts?.serviceTier), facts?.priceUnits);
  const inputTokens = mostInput(admission);
  const output = attempts === undefined ? (plan?.output ?? noOutput) : largestOutput(attempts.candidates);
  admission.demandedOutput = output.mode;
  return {
    id: context.newId(),
    atMs,
    draws: buckets.map((bucket) =>
      attempts === undefined
        ? drawOn(bucket, possible, inputTokens)
        : dearestDraw(attempts.candidates, bucket, inputTokens),
    ),
    inputTokens,
    inputCounted: input?.text !== undefined || !buckets.some(({ quota }) => drawsInput(quota)),
    ...input?.leastOfDemand,
    output,
    subject: usageSubject(admission),
  };
}

const noOutput: OutputDemand = { mode: 'none', want: 0, least: 0 };

function mostInput({ prepared, attempts }: Admission): number {
  const most = prepared?.input.most ?? 0;
  return attempts === undefined ? most : largestInput(attempts.candidates, most);
}

function usageSubject({ request, choice, passthrough, identity }: Admission): UsageSubject {
  const { tenant, user, apiKey } = identity?.proven?.caller ?? {};
  return {
    requestId: request.id,
    tenant,
    user,
    apiKey,
    model: request.model,
    route: choice?.rule.rule.route ?? passthrough?.passthrough.route,
    backend: choice?.target.backend,
    session: request.agent?.sessionId,
  };
}
