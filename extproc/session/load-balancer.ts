/**
 * Weighs the targets of one priority by the cost of a request, or by the time until their first
 * token. Pure.
 */
import type { CompiledRule, CompiledTarget } from '../policy/compile.ts';
import type { RequestFacts } from '../providers/adapter.ts';
import { costNanos, covers, possiblePrices, pricesAt, pricesOfUnits } from '../quota/money.ts';
import { textUsage } from '../usage.ts';
import type { FirstTokenTimes } from './first-token-times.ts';
import { modelFacts, type WeightsOf } from './routing.ts';

/** Of text, by recordings of chats. */
const BYTES_PER_TOKEN = 4;

/** Of a response whose length nobody bounds. */
const ASSUMED_OUTPUT_TOKENS = 500;

/** What the slowest target keeps of its weight, so that a faster one is noticed. */
const LEAST_SHARE = 0.02;

/** Returns undefined where the weights of the rule decide. */
export function weightsFor(
  { rule }: CompiledRule,
  facts: RequestFacts,
  times: FirstTokenTimes,
  nowMs: number,
): WeightsOf | undefined {
  switch (rule.loadBalancer) {
    case undefined:
      return undefined;
    case 'LeastCost':
      return (group) => weightsByCost(group, facts, rule.requestLimits.outputTokens, nowMs);
    case 'LeastLatency':
      return (group) => weightsByLatency(group, (target) => times.mean(firstTokenKey(target, facts), nowMs));
    default:
      return rule.loadBalancer satisfies never;
  }
}

/** Returns the key of a target's first-token times; documents take longer than streams. */
export function firstTokenKey(target: CompiledTarget, { model, stream }: RequestFacts): string {
  // A client could invent the name of a model that neither rule nor backend names.
  const named = target.model ?? modelFacts(target.backendPolicy, model)?.name ?? '*';
  return `${target.backend} ${stream ? 'stream' : 'document'} ${named}`;
}

/** Only the cheapest targets keep their weight; targets without a price come last. */
function weightsByCost(
  group: readonly CompiledTarget[],
  facts: RequestFacts,
  outputLimit: number | undefined,
  nowMs: number,
): readonly number[] {
  const output = Math.min(facts.askedOutputTokens ?? ASSUMED_OUTPUT_TOKENS, outputLimit ?? Number.POSITIVE_INFINITY);
  const outputTokens = facts.hasOutput ? facts.choices * output : 0;
  const priced = group.map((target) => {
    const known = modelFacts(target.backendPolicy, target.model ?? facts.model);
    const prices = known && pricesAt(known, nowMs);
    return prices !== undefined && covers(prices, facts.hasOutput) ? prices : undefined;
  });
  // Amounts of different currencies cannot be compared.
  const currency = priced.find((prices) => prices !== undefined)?.currency;
  const costs = group.map(({ backendPolicy: { tokenizer } }, at) => {
    const prices = priced[at];
    if (prices === undefined || prices.currency !== currency) {
      return Number.POSITIVE_INFINITY;
    }
    const possible = pricesOfUnits(possiblePrices(prices, facts.serviceTier), facts.priceUnits);
    return costNanos(textUsage(expectedInput(facts, tokenizer.factorPercent), outputTokens), possible);
  });
  const least = Math.min(...costs);
  return group.map(({ weight }, at) => (costs[at] === least ? weight : 0));
}

/** Estimates the input without a tokenizer: all targets get the same prompt. */
function expectedInput(facts: RequestFacts, factorPercent = 100): number {
  const text = (facts.textBytes / BYTES_PER_TOKEN) * (factorPercent / 100);
  return Math.ceil(text + facts.overheadTokens / BYTES_PER_TOKEN) + facts.givenTokens + facts.mediaTokens;
}

/**
 * Divides requests by the square of the speed, instead of sending all to the fastest target, which
 * would slow down. A target without a known time counts as fast, so that it is tried.
 */
function weightsByLatency(
  group: readonly CompiledTarget[],
  meanOf: (target: CompiledTarget) => number | undefined,
): readonly number[] {
  const times = group.map((target) => Math.max(1, meanOf(target) ?? Number.POSITIVE_INFINITY));
  const fastest = Math.min(...times);
  return group.map(({ weight }, at) => {
    const time = times[at]!;
    const share = Number.isFinite(time) ? (fastest / time) ** 2 : 1;
    return weight * Math.max(share, LEAST_SHARE);
  });
}
