/**
 * Decides what a recorded request draws on a quota. What its record cannot tell is a gap, and never
 * a guess.
 */
import type { Quota } from '../../contract/policy.ts';
import type { ModelPrices, PriceTier } from '../../contract/tokens.ts';
import { bucketRef, bucketsFor, type KeyFacts } from '../../extproc/quota/keys.ts';
import { covers, isFree, pricesAt } from '../../extproc/quota/money.ts';
import type { BucketRef, Draw } from '../../extproc/quota/store.ts';
import { drawOn, drawsTokens, unitOf } from '../../extproc/quota/units.ts';
import type { RecordedRequest } from '../../extproc/quota/usage-records.ts';
import type { Usage } from '../../extproc/usage.ts';
import type { RoutedRequest } from './route-quotas.ts';

export type RecordedDraw =
  | {
      readonly type: 'draws';
      readonly draw: Draw;
      readonly amountOf: (usage: Usage) => number;
      /** Why the amount may differ from that of the data plane. */
      readonly inexact: readonly string[];
    }
  /** The quota refuses the request for what it is, whatever is left. */
  | { readonly type: 'refused'; readonly bucket: BucketRef; readonly reason: string }
  /** The quota does not count the request. */
  | { readonly type: 'free' }
  | { readonly type: 'unknown'; readonly reason: string };

/** Fields of conditions that records do not have; a literal with such a name is taken for one. */
const unrecordedFacts = /\b(endpoint|stream|maxOutputTokens|groups)\b/;

/** Returns why no request of a quota can be simulated; undefined: they can. */
export function whyNotSimulated({ limit, key, when }: Quota): string | undefined {
  if (limit.type === 'ConcurrentRequests') {
    return 'it counts requests that run at the same time, and records have no start';
  }
  const part = key.find(({ type }) => type === 'Header' || type === 'Claim' || type === 'Group');
  if (part !== undefined) {
    return `its key has the part ${part.type}, and records have none`;
  }
  const field = when === undefined ? undefined : unrecordedFacts.exec(when)?.[0];
  return field === undefined ? undefined : `its \`when\` reads ${field}, and records have none`;
}

/** Returns what the request draws on a quota that can be simulated. */
export function recordedDraw(quota: Quota, request: RecordedRequest, routed: RoutedRequest): RecordedDraw {
  if (routed.isPassthrough && drawsTokens(quota)) {
    return quota.mode === 'Enforce' && quota.unmetered === 'Refuse'
      ? { type: 'refused', bucket: bucketRef(quota, []), reason: 'unmetered' }
      : { type: 'free' };
  }
  const [model, ...otherModels] = routed.keyModels;
  if (quota.key.some(({ type }) => type === 'Model') && (model === undefined || otherModels.length > 0)) {
    return { type: 'unknown', reason: 'the files do not tell which model its backend served' };
  }
  const keyed = bucketsFor([quota], keyFacts(request, model ?? ''));
  if ('missing' in keyed) {
    return { type: 'refused', bucket: bucketRef(quota, []), reason: `no ${keyed.missing.part.type}` };
  }
  const bucket = keyed.buckets[0]!;
  if (!drawsTokens(quota)) {
    return draws(bucket, undefined, request, []);
  }
  if (request.decision === 'recovered') {
    return { type: 'unknown', reason: 'the gateway ended before the request, so its tokens are unknown' };
  }
  if (request.usage === null) {
    return { type: 'unknown', reason: 'the record has no tokens: the request failed, or is not metered' };
  }
  return quota.limit.type === 'Cost'
    ? costDraw(bucket, request, routed)
    : draws(bucket, undefined, request, weighed(quota, request));
}

function keyFacts({ tenant, user, apiKey, route }: RecordedRequest, model: string): KeyFacts {
  return {
    header: () => [],
    model,
    route: route ?? '',
    caller: {
      tenant: tenant ?? undefined,
      user: user ?? undefined,
      apiKey: apiKey ?? undefined,
      groups: [],
      claim: () => undefined,
    },
  };
}

function draws(
  bucket: BucketRef,
  prices: ModelPrices | undefined,
  { usage }: RecordedRequest,
  inexact: readonly string[],
): RecordedDraw {
  const { quota } = bucket;
  const amountOf = (used: Usage) => unitOf(quota).amount(quota.limit, used, prices);
  return { type: 'draws', draw: drawOn(bucket, prices, usage?.input ?? 0), amountOf, inexact };
}

/** Follows the prices of the files; the recorded cost counts where they name another backend. */
function costDraw(bucket: BucketRef, request: RecordedRequest, { facts }: RoutedRequest): RecordedDraw {
  const { limit, mode } = bucket.quota;
  if (limit.type !== 'Cost' || facts.length > 1) {
    return { type: 'unknown', reason: 'the files do not tell which model its backend served' };
  }
  if (facts.length === 0) {
    if (request.cost?.currency !== limit.currency) {
      return { type: 'unknown', reason: `neither the files nor the record have its price in ${limit.currency}` };
    }
    const { nanos } = request.cost;
    const draw = { ...drawOn(bucket, undefined, 0), fixed: nanos };
    return {
      type: 'draws',
      draw,
      amountOf: () => nanos,
      inexact: ['the recorded cost counts: its backend is not in the files'],
    };
  }
  const [known] = facts;
  const prices = known && pricesAt(known, request.timeMs);
  const hasOutput = (request.usage?.output ?? 0) > 0;
  if (prices === undefined || !covers(prices, hasOutput) || prices.currency !== limit.currency) {
    return limit.unpriced === 'Refuse' && mode === 'Enforce'
      ? { type: 'refused', bucket, reason: 'unpriced' }
      : { type: 'free' };
  }
  return isFree(prices) ? { type: 'free' } : draws(bucket, prices, request, priced(prices, request));
}

const IMAGES = 'records of earlier versions have no image tokens, so they count as other tokens';
const TIERS = 'records have no service tier, so the dearest counts';

function weighed({ limit }: Quota, { hasImageTokens }: RecordedRequest): readonly string[] {
  const kinds = limit.type === 'WeightedTokens' ? limit.weight.perToken : {};
  return hasImageTokens || (kinds.imageInput === undefined && kinds.imageOutput === undefined) ? [] : [IMAGES];
}

function priced(prices: ModelPrices, { hasImageTokens }: RecordedRequest): readonly string[] {
  const { serviceTiers = [] } = prices;
  const hasImages = ({ perMillionTokens: of, longContext }: PriceTier) =>
    [of, longContext?.perMillionTokens].some((one) => one?.imageInput !== undefined || one?.imageOutput !== undefined);
  return [
    ...(serviceTiers.length > 0 ? [TIERS] : []),
    ...(!hasImageTokens && [prices, ...serviceTiers].some(hasImages) ? [IMAGES] : []),
  ];
}
