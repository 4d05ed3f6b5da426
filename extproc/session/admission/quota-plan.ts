/** Computes the amounts that a request must hold of its quotas. Pure. */
import type { Quota, Tokenizer } from '../../../contract/policy.ts';
import { type Failure, failure, isFailure } from '../../errors.ts';
import type { ClientApi, RequestFacts } from '../../providers/adapter.ts';
import { bucketsFor, type KeyFacts } from '../../quota/keys.ts';
import type { BucketRef, OutputDemand } from '../../quota/store.ts';
import { drawsOutput, drawsTokens } from '../../quota/units.ts';
import type { OutputEstimates } from '../output-estimates.ts';
import { missingQuotaKey } from '../replies.ts';
import { countedBuckets } from './counted-buckets.ts';
import { estimateKey, type RoutingDecision } from './select-backend.ts';

/** Held for a unary response of a model without `maxOutputTokens`. */
const ASSUMED_MAX_OUTPUT_TOKENS = 16_384;

/**
 * Bytes are an upper bound on tokens. A hold of this many bytes per expected token covers most
 * streams, so they are never tokenized. Where less of the budget is left, less is granted.
 */
const UNCOUNTED_BYTES_PER_TOKEN = 6;

export interface QuotaPlan {
  readonly buckets: readonly BucketRef[];
  /** An upper bound for the text, an estimate for media. */
  readonly inputTokens: number;
  readonly output: OutputDemand;
  /** The most output of each choice, as far as known. */
  readonly choiceTokens: number;
  /** The output bound of the policy, sent upstream whatever the budget. */
  readonly policyBound: number | undefined;
  readonly hidden: boolean;
}

/** What identifies the caller in the keys of quotas. */
export type CallerFacts = Pick<KeyFacts, 'header' | 'caller' | 'group'>;

type ModelChoice = Pick<RoutingDecision, 'rule' | 'target' | 'backendModel' | 'modelIsKnown'> & {
  readonly facts: Pick<RequestFacts, 'model'>;
};

/**
 * Computes what the request must hold of the quotas that count it. Returns a failure where it may
 * not pass. `hidesOutput`: the model at the backend bills output that it does not stream.
 */
export function planQuota(
  endpoint: ClientApi,
  choice: RoutingDecision,
  hidesOutput: boolean,
  quotas: readonly Quota[],
  caller: CallerFacts,
  estimates: OutputEstimates,
): QuotaPlan | Failure {
  const { facts, rule, modelFacts: model } = choice;
  const keyed = bucketsFor(quotas, { ...caller, model: keyModel(choice), route: rule.rule.route });
  if ('missing' in keyed) {
    return missingQuotaKey(keyed.missing);
  }
  const buckets = countedBuckets(keyed.buckets, choice, endpoint.kind === 'metered');
  if (isFailure(buckets)) {
    return buckets;
  }
  const tokenQuotas = buckets.filter(({ quota }) => drawsTokens(quota));
  const refusing = tokenQuotas.find(({ quota }) => quota.unbounded === 'Refuse' && quota.mode === 'Enforce');
  if (endpoint.kind === 'metered' && facts.unbounded.length > 0 && refusing !== undefined) {
    return failure(
      'unbounded_cost',
      `The cost of the request is unbounded (${facts.unbounded.join(', ')}), and quota ${refusing.quota.id} has unbounded: Refuse. Remove that part of the request, or set unbounded: Allow.`,
    );
  }
  const limit = rule.rule.requestLimits.outputTokens;
  const most = mostAskedTokens(choice);
  const policyBound = limit !== undefined && most > limit && facts.hasOutput ? limit : undefined;
  const choiceTokens = policyBound ?? (Number.isFinite(most) ? most : ASSUMED_MAX_OUTPUT_TOKENS);
  const hidden =
    model === undefined || model.reasoningTokens === 'Auto'
      ? facts.hiddenOutput || hidesOutput
      : model.reasoningTokens === 'Billed';
  const counted = endpoint.kind === 'metered' && facts.hasOutput && tokenQuotas.some(({ quota }) => drawsOutput(quota));
  return {
    buckets,
    inputTokens: endpoint.kind === 'metered' ? inputUpperBound(facts, choice.tokenizer) : 0,
    output: counted ? outputDemand(choice, choiceTokens, hidden, estimates) : { mode: 'none', want: 0, least: 0 },
    choiceTokens,
    policyBound,
    hidden,
  };
}

/**
 * Returns the model for the key of a quota. Where a glob matches, a client could invent a name for
 * each request, so its name is used only where the rule or the backend names it.
 */
export function keyModel({ rule, target, facts, backendModel, modelIsKnown }: ModelChoice): string {
  if (target.model !== undefined || modelIsKnown) {
    return backendModel;
  }
  return rule.models.find(({ matches }) => matches(facts.model))?.text ?? '*';
}

/** A token of a byte-level encoding has at least one byte. */
function inputUpperBound(facts: RequestFacts, tokenizer: Tokenizer): number {
  return inputTokens(facts, Math.ceil((facts.textBytes * (tokenizer.factorPercent ?? 100)) / 100));
}

/** Returns the whole input, given the tokens of its text. */
export function inputTokens(facts: RequestFacts, textTokens: number): number {
  return textTokens + facts.overheadTokens + facts.givenTokens + facts.mediaTokens;
}

/**
 * Estimates the input for a charge. The overhead in the bound is about four times what providers
 * count, by recordings of chats.
 */
export function likelyInputTokens(facts: RequestFacts, textTokens: number): number {
  return inputTokens(facts, textTokens) - facts.overheadTokens + Math.ceil(facts.overheadTokens / 4);
}

function outputDemand(
  choice: RoutingDecision,
  choiceTokens: number,
  hidden: boolean,
  estimates: OutputEstimates,
): OutputDemand {
  const { facts } = choice;
  const all = facts.choices * choiceTokens;
  if (facts.stream && !hidden) {
    const usualTokens = estimates.holdTokens(...estimateKey(choice));
    const want = Math.min(all, facts.choices * usualTokens * UNCOUNTED_BYTES_PER_TOKEN);
    return { mode: 'lease', want, least: facts.choices, usual: Math.min(all, facts.choices * usualTokens) };
  }
  return { mode: 'bound', want: all, least: Math.min(all, facts.choices * Math.max(1, facts.leastOutputTokens)) };
}

/** Returns the most output of each choice that the client can get; infinite where unknown. */
export function mostOutputTokens(choice: RoutingDecision): number {
  const limit = choice.rule.rule.requestLimits.outputTokens ?? Number.POSITIVE_INFINITY;
  return choice.facts.hasOutput ? Math.min(mostAskedTokens(choice), limit) : 0;
}

function mostAskedTokens({ facts, modelFacts: model }: RoutingDecision): number {
  return Math.min(
    facts.askedOutputTokens ?? Number.POSITIVE_INFINITY,
    model?.maxOutputTokens ?? Number.POSITIVE_INFINITY,
    model?.contextTokens ?? Number.POSITIVE_INFINITY,
  );
}
