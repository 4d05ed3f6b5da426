/**
 * Admission: the rule and backend of a request, whether its endpoint is allowed, and what it must
 * hold. Pure.
 */
import type { KeyPart, ModelFacts, Passthrough, Quota, Tokenizer } from '../../contract/policy.ts';
import { type Failure, failure } from '../errors.ts';
import type { CompiledRule, CompiledTarget, CompiledVirtualHost } from '../policy/compile.ts';
import type { ClientApi, RequestFacts } from '../providers/adapter.ts';
import { disguisesMetered } from '../providers/disguise.ts';
import { bucketsFor } from '../quota/keys.ts';
import type { BucketRef, OutputDemand } from '../quota/store.ts';
import { drawsOutput, drawsTokens } from '../quota/units.ts';
import type { EstimateKey } from '../record.ts';
import { chooseTarget, findPassthrough, findRule, modelFacts } from './routing.ts';

/** Held for a unary response of a model without `maxOutputTokens`. */
const ASSUMED_MAX_OUTPUT_TOKENS = 16_384;

/**
 * Bytes are an upper bound on tokens. A hold of this many bytes per expected token covers most
 * streams, so they are never tokenized. Where less of the budget is left, less is granted.
 */
const UNCOUNTED_BYTES_PER_TOKEN = 6;

export interface RoutingDecision {
  readonly rule: CompiledRule;
  readonly target: CompiledTarget;
  readonly facts: RequestFacts;
  /** The model's name at the backend. */
  readonly backendModel: string;
  readonly modelFacts: ModelFacts | undefined;
  /** A rule or the backend names the model, so it may be a label in metrics. */
  readonly modelIsKnown: boolean;
  readonly tokenizer: Tokenizer;
}

/** Chooses rule and backend. Returns a failure where there is none. */
export function selectBackend(
  entry: CompiledVirtualHost,
  endpoint: ClientApi,
  facts: RequestFacts,
  header: (name: string) => readonly string[],
  bodyBytes: number,
  healthy: (target: string) => boolean,
  random: number,
): RoutingDecision | Failure {
  const rule = findRule(entry, facts.model, header);
  if (rule === undefined) {
    return failure(
      'model_not_found',
      `No rule serves the model ${quoted(facts.model)} on this host. GET /v1/models lists the models.`,
      { param: 'model' },
    );
  }
  if (bodyBytes > rule.rule.maxRequestBodyBytes) {
    return bodyTooLarge(rule.rule.maxRequestBodyBytes);
  }
  if (rule.targets.length === 0) {
    return failure(
      'backend_unavailable',
      `Rule ${JSON.stringify(rule.rule.name)} of AIGatewayRoute ${rule.rule.route} has no usable backend. See the status of the route, or the log of the gateway.`,
    );
  }
  const target = chooseTarget(rule.targets, endpoint.providerApis, healthy, random);
  if (target === undefined) {
    return failure(
      'model_not_found',
      `No backend of the model ${quoted(facts.model)} serves ${endpoint.method} ${endpoint.path}. Use a client for another API.`,
      { param: 'model' },
    );
  }
  const backendModel = target.model ?? facts.model;
  const known = modelFacts(target.backendPolicy, backendModel);
  return {
    rule,
    target,
    facts,
    backendModel,
    modelFacts: known,
    modelIsKnown: rule.rule.models.includes(facts.model) || known?.name === facts.model,
    tokenizer: target.backendPolicy.tokenizer,
  };
}

export function bodyTooLarge(maxBytes: number): Failure {
  return failure(
    'request_too_large',
    `The request body exceeds ${maxBytes} bytes. Send less, or raise maxRequestBodySize of the AIGatewayRoute.`,
  );
}

function quoted(model: string): string {
  return JSON.stringify(model.length > 100 ? `${model.slice(0, 100)}…` : model);
}

export interface AdmittedPassthrough {
  readonly passthrough: Passthrough;
  readonly buckets: readonly BucketRef[];
}

/**
 * Admits an unknown endpoint where a route lists it. Its bytes are not read, so a token quota must
 * allow unmetered endpoints too.
 */
export function admitPassthrough(
  entry: CompiledVirtualHost,
  method: string,
  path: string,
  header: (name: string) => readonly string[],
): AdmittedPassthrough | Failure {
  if (disguisesMetered(method, path)) {
    return failure(
      'unknown_endpoint',
      `The gateway does not serve ${method} ${path.slice(0, 200)}, another spelling of a metered endpoint. Use the usual spelling.`,
    );
  }
  const found = findPassthrough(entry, method, path);
  if (found === undefined) {
    return failure(
      'unknown_endpoint',
      `The gateway does not serve ${method} ${path.slice(0, 200)}. Check the path, or list it in passthrough of the AIGatewayRoute.`,
    );
  }
  const { passthrough, quotas } = found;
  const refusing = quotas.some(
    (quota) => drawsTokens(quota) && quota.mode === 'Enforce' && quota.unmetered === 'Refuse',
  );
  if (refusing) {
    return failure(
      'unmetered_endpoint',
      'A token quota applies here, and this endpoint is not metered. Set unmetered: Allow on each token quota to let it pass.',
    );
  }
  const requests = quotas.filter((quota) => !drawsTokens(quota));
  const keyed = bucketsFor(requests, { header, model: '', route: passthrough.route });
  return 'missing' in keyed ? missingKey(keyed.missing) : { passthrough, buckets: keyed.buckets };
}

function missingKey({ quota, part }: { readonly quota: Quota; readonly part: KeyPart }): Failure {
  const header = part.type === 'Header';
  const need = header
    ? `the header ${part.name}. Send it exactly once with each request.`
    : `a ${part.type.toLowerCase()}. Send one with each request.`;
  return failure('missing_quota_key', `Quota ${quota.id} needs ${need}`, header ? { param: part.name } : {});
}

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

/** Computes what the request must hold. Returns a failure where it may not pass. */
export function planQuota(
  endpoint: ClientApi,
  choice: RoutingDecision,
  header: (name: string) => readonly string[],
  usualTokens: (...key: EstimateKey) => number,
): QuotaPlan | Failure {
  const { facts, rule, modelFacts: model } = choice;
  const keyed = bucketsFor(rule.quotas, { header, model: keyModel(choice), route: rule.rule.route });
  if ('missing' in keyed) {
    return missingKey(keyed.missing);
  }
  const tokenQuotas = keyed.buckets.filter(({ quota }) => drawsTokens(quota));
  const refusing = tokenQuotas.find(({ quota }) => quota.unbounded === 'Refuse' && quota.mode === 'Enforce');
  if (endpoint.kind === 'metered' && facts.unbounded.length > 0 && refusing !== undefined) {
    return failure(
      'unbounded_cost',
      `The cost of the request is unbounded (${facts.unbounded.join(', ')}), and quota ${refusing.quota.id} has unbounded: Refuse. Remove that part of the request, or set unbounded: Allow.`,
    );
  }
  const limit = rule.rule.requestLimits.outputTokens;
  const asked = facts.askedOutputTokens;
  if (limit !== undefined && asked !== undefined && asked > limit) {
    return failure(
      'output_tokens_exceeded',
      `The request asks for ${asked} output tokens, and the limit is ${limit}. Ask for less.`,
    );
  }
  const most = Math.min(
    asked ?? Number.POSITIVE_INFINITY,
    model?.maxOutputTokens ?? Number.POSITIVE_INFINITY,
    model?.contextTokens ?? Number.POSITIVE_INFINITY,
  );
  const policyBound = limit !== undefined && most > limit && facts.hasOutput ? limit : undefined;
  const choiceTokens = policyBound ?? (Number.isFinite(most) ? most : ASSUMED_MAX_OUTPUT_TOKENS);
  const hidden =
    model === undefined || model.reasoningTokens === 'Auto'
      ? facts.hiddenOutput || endpoint.hidesOutput?.(choice.backendModel) === true
      : model.reasoningTokens === 'Billed';
  const counted = endpoint.kind === 'metered' && facts.hasOutput && tokenQuotas.some(({ quota }) => drawsOutput(quota));
  return {
    buckets: keyed.buckets,
    inputTokens: endpoint.kind === 'metered' ? inputUpperBound(facts, choice.tokenizer) : 0,
    output: counted
      ? outputDemand(facts, choiceTokens, hidden, usualTokens(...estimateKey(choice)))
      : { mode: 'none', want: 0, least: 0 },
    choiceTokens,
    policyBound,
    hidden,
  };
}

/**
 * Returns the model for the key of a quota. Where a glob matches, a client could invent a name for
 * each request, so its name is used only where the rule or the backend names it.
 */
function keyModel({ rule, target, facts, backendModel, modelIsKnown }: RoutingDecision): string {
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

/** Output estimates are kept by route and model; the policy bounds the number of both. */
export function estimateKey(choice: RoutingDecision): EstimateKey {
  return [choice.modelIsKnown ? choice.backendModel : '*', choice.rule.rule.route];
}

function outputDemand(facts: RequestFacts, choiceTokens: number, hidden: boolean, usualTokens: number): OutputDemand {
  const all = facts.choices * choiceTokens;
  if (facts.stream && !hidden) {
    const want = Math.min(all, facts.choices * usualTokens * UNCOUNTED_BYTES_PER_TOKEN);
    return { mode: 'lease', want, least: facts.choices, usual: Math.min(all, facts.choices * usualTokens) };
  }
  return { mode: 'bound', want: all, least: Math.min(all, facts.choices * Math.max(1, facts.leastOutputTokens)) };
}

/** Estimates learned from earlier responses. */
export interface OutputEstimates {
  /** Returns the output tokens of the first hold of a stream. */
  holdTokens(...key: EstimateKey): number;
  /** Returns the usual speed of responses. */
  tokensPerSecond(...key: EstimateKey): number;
}
