/**
 * The limit types, one row each: what a request draws at admission, what its usage amounts to, and
 * how headers and refusals name the limit. Everything that depends on a limit type is here; adding
 * one is adding a row.
 */
import { currencyUnits, decimalText } from '../../contract/money.ts';
import type { Limit, LimitType, Quota } from '../../contract/policy.ts';
import type { ModelPrices } from '../../contract/tokens.ts';
import { WEIGHTED_UNITS } from '../../contract/weight.ts';
import type { Usage } from '../usage.ts';
import { costNanos, dearestRates } from './money.ts';
import type { BucketRef, Draw, Rates } from './store.ts';
import { weighsInput, weighsOutput, weightedTokens, weightRates } from './weights.ts';

/** The infix of the rate limit headers of a limit type, as the providers' own clients read them. */
export type LimitKind = 'requests' | 'tokens' | 'input-tokens' | 'output-tokens' | 'weighted-tokens';

/** The providers have no header for money; `budget` stands for our own. */
export type HeaderKind = LimitKind | 'budget';

interface Unit<L extends Limit = Limit> {
  /** Upper bounds of what a request of at most this input draws at a model with these prices. */
  rates(limit: L, prices: ModelPrices | undefined, inputTokens: number): Rates;
  amount(limit: L, usage: Usage, prices: ModelPrices | undefined): number;
  drawsInput(limit: L): boolean;
  drawsOutput(limit: L): boolean;
  /** Undefined: no client reads such a header. */
  readonly header: HeaderKind | undefined;
  /** The plural noun in refusals; undefined: the currency. */
  readonly noun: string | undefined;
  readonly exceededCode: 'quota_exceeded' | 'request_rate_exceeded';
  readonly heldCode: 'budget_held' | 'concurrency_exceeded';
  /** Whether a hold is given back whole, so that nothing is ever charged. */
  readonly returnsHolds: boolean;
}

const requestRates: Rates = { fixed: 1, perInputToken: 0, perOutputToken: 0 };
const inputRates: Rates = { fixed: 0, perInputToken: 1, perOutputToken: 0 };
const outputRates: Rates = { fixed: 0, perInputToken: 0, perOutputToken: 1 };
const totalRates: Rates = { fixed: 0, perInputToken: 1, perOutputToken: 1 };
const noRates: Rates = { fixed: 0, perInputToken: 0, perOutputToken: 0 };

const units: { readonly [T in LimitType]: Unit<Limit & { readonly type: T }> } = {
  Requests: {
    rates: () => requestRates,
    amount: () => 1,
    drawsInput: () => false,
    drawsOutput: () => false,
    header: 'requests',
    noun: 'requests',
    exceededCode: 'request_rate_exceeded',
    heldCode: 'budget_held',
    returnsHolds: false,
  },
  InputTokens: {
    rates: () => inputRates,
    amount: (_limit, { input }) => input,
    drawsInput: () => true,
    drawsOutput: () => false,
    header: 'input-tokens',
    noun: 'input tokens',
    exceededCode: 'quota_exceeded',
    heldCode: 'budget_held',
    returnsHolds: false,
  },
  OutputTokens: {
    rates: () => outputRates,
    amount: (_limit, { output }) => output,
    drawsInput: () => false,
    drawsOutput: () => true,
    header: 'output-tokens',
    noun: 'output tokens',
    exceededCode: 'quota_exceeded',
    heldCode: 'budget_held',
    returnsHolds: false,
  },
  TotalTokens: {
    rates: () => totalRates,
    amount: (_limit, { input, output }) => input + output,
    drawsInput: () => true,
    drawsOutput: () => true,
    header: 'tokens',
    noun: 'tokens',
    exceededCode: 'quota_exceeded',
    heldCode: 'budget_held',
    returnsHolds: false,
  },
  WeightedTokens: {
    rates: ({ weight }) => weightRates(weight),
    amount: ({ weight }, usage) => weightedTokens(usage, weight),
    drawsInput: ({ weight }) => weighsInput(weight),
    drawsOutput: ({ weight }) => weighsOutput(weight),
    header: 'weighted-tokens',
    noun: 'weighted tokens',
    exceededCode: 'quota_exceeded',
    heldCode: 'budget_held',
    returnsHolds: false,
  },
  ConcurrentRequests: {
    rates: () => requestRates,
    amount: () => 0,
    drawsInput: () => false,
    drawsOutput: () => false,
    header: undefined,
    noun: 'concurrent requests',
    exceededCode: 'request_rate_exceeded',
    heldCode: 'concurrency_exceeded',
    returnsHolds: true,
  },
  Cost: {
    rates: (_limit, prices, inputTokens) => (prices === undefined ? noRates : dearestRates(prices, inputTokens)),
    amount: (_limit, usage, prices) => (prices === undefined ? 0 : costNanos(usage, prices)),
    drawsInput: () => true,
    drawsOutput: () => true,
    header: 'budget',
    noun: undefined,
    exceededCode: 'quota_exceeded',
    heldCode: 'budget_held',
    returnsHolds: false,
  },
};

/**
 * Returns the row of a quota's limit type. The policy is checked when it is read, so every type has
 * one.
 */
export function unitOf({ limit }: Quota): Unit {
  return units[limit.type];
}

export function drawsInput(quota: Quota): boolean {
  return unitOf(quota).drawsInput(quota.limit);
}

export function drawsOutput(quota: Quota): boolean {
  return unitOf(quota).drawsOutput(quota.limit);
}

/** Whether a quota counts what requests use, as opposed to the requests themselves. */
export function drawsTokens(quota: Quota): boolean {
  return drawsInput(quota) || drawsOutput(quota);
}

/** Returns the name of what a limit counts; amounts of equal names can be added. */
export function unitName(limit: Limit): string {
  return limit.type === 'Cost' ? `Cost ${limit.currency}` : limit.type;
}

/** Returns an amount as operators and clients see it: money in a decimal number. */
export function shownAmount({ limit }: Quota, amount: number): number | string {
  return limit.type === 'Cost' ? decimalText(amount) : measuredAmount(limit, amount);
}

/** Returns an amount for metrics: in units of the currency, in tokens or in requests. */
export function measuredAmount({ type }: Limit, amount: number): number {
  switch (type) {
    case 'Cost':
      return currencyUnits(amount);
    case 'WeightedTokens':
      return amount / WEIGHTED_UNITS;
    default:
      return amount;
  }
}

/** Returns what follows an amount in a sentence. */
export function unitNoun(quota: Quota): string {
  return quota.limit.type === 'Cost' ? quota.limit.currency : unitOf(quota).noun!;
}

/** Returns what a request of at most this input draws on a bucket, at a model with these prices. */
export function drawOn(bucket: BucketRef, prices: ModelPrices | undefined, inputTokens: number): Draw {
  const { quota } = bucket;
  const unit = unitOf(quota);
  const { fixed, perInputToken, perOutputToken } = unit.rates(quota.limit, prices, inputTokens);
  const final = !drawsTokens(quota) && !unit.returnsHolds;
  return { bucket, unit: unitName(quota.limit), final, fixed, perInputToken, perOutputToken };
}
