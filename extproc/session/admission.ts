/** Before a request may go on: which rule and backend, whether it may be asked at all, and what it must hold. Pure. */
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

/** Where nobody says how much a model answers at most: what a whole answer holds then. State `maxOutputTokens` of the model to be exact. */
const ASSUMED_MAX_OUTPUT_TOKENS = 16_384;

/**
 * While bytes bound the tokens of a stream, nothing need be tokenized: a hold of so much for each token that is expected lasts for most streams. Where less is
 * left, less is granted.
 */
const UNCOUNTED_BYTES_A_TOKEN = 6;

export interface RoutingDecision {
  readonly rule: CompiledRule;
  readonly target: CompiledTarget;
  readonly facts: RequestFacts;
  /** What the backend calls the model. */
  readonly backendModel: string;
  readonly modelFacts: ModelFacts | undefined;
  /** A rule or the backend names the model, so it may label metrics. */
  readonly modelIsKnown: boolean;
  readonly tokenizer: Tokenizer;
}

/** The rule and the backend, or why there is none. */
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
      `No rule of this gateway serves the model ${quoted(facts.model)} here; GET /v1/models lists what it serves.`,
      { param: 'model' },
    );
  }
  if (bodyBytes > rule.rule.maxRequestBodyBytes) {
    return bodyTooLarge(rule.rule.maxRequestBodyBytes);
  }
  if (rule.targets.length === 0) {
    return failure(
      'backend_unavailable',
      `The rule ${rule.rule.name} of ${rule.rule.route} cannot be carried out as it is written; the gateway's operator finds the reason in its status or log.`,
    );
  }
  const target = chooseTarget(rule.targets, endpoint.providerApis, healthy, random);
  if (target === undefined) {
    return failure(
      'model_not_found',
      `No backend of the model ${quoted(facts.model)} speaks the API of ${endpoint.method} ${endpoint.path}; use a client for another API.`,
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
    `The request body is larger than the ${maxBytes} bytes that this route takes; send less, or raise maxRequestBodySize of the AIGatewayRoute.`,
  );
}

function quoted(model: string): string {
  return JSON.stringify(model.length > 100 ? `${model.slice(0, 100)}…` : model);
}

export interface AdmittedPassthrough {
  readonly passthrough: Passthrough;
  readonly buckets: readonly BucketRef[];
}

/** What is not known passes only where a route lists it, and past a token quota only where that says so: its bytes are not read. */
export function admitPassthrough(
  entry: CompiledVirtualHost,
  method: string,
  path: string,
  header: (name: string) => readonly string[],
): AdmittedPassthrough | Failure {
  if (disguisesMetered(method, path)) {
    return failure(
      'unknown_endpoint',
      `This gateway does not serve ${method} ${path.slice(0, 200)}: it is another spelling of an endpoint that is counted.`,
    );
  }
  const found = findPassthrough(entry, method, path);
  if (found === undefined) {
    return failure('unknown_endpoint', `This gateway does not serve ${method} ${path.slice(0, 200)}.`);
  }
  const { passthrough, quotas } = found;
  const refusing = quotas.some(
    (quota) => drawsTokens(quota) && quota.mode === 'Enforce' && quota.unmetered === 'Refuse',
  );
  if (refusing) {
    return failure(
      'unmetered_endpoint',
      'A token quota stands here and this endpoint is not counted; it passes only if all token quotas say unmetered: Allow.',
    );
  }
  const requests = quotas.filter((quota) => !drawsTokens(quota));
  const keyed = bucketsFor(requests, { header, model: '', route: passthrough.route });
  return 'missing' in keyed ? missingKey(keyed.missing) : { passthrough, buckets: keyed.buckets };
}

function missingKey({ quota, part }: { readonly quota: Quota; readonly part: KeyPart }): Failure {
  const header = part.type === 'Header';
  const what = header ? `exactly one value of the header ${part.name}` : `a ${part.type.toLowerCase()}`;
  return failure(
    'missing_quota_key',
    `The quota ${quota.id} is kept by ${what}; send it with each request.`,
    header ? { param: part.name } : {},
  );
}

export interface QuotaPlan {
  readonly buckets: readonly BucketRef[];
  /** An upper bound of the input as far as text goes; media are estimated. */
  readonly inputTokens: number;
  readonly output: OutputDemand;
  /** Output for each choice that may come at most, as far as known. */
  readonly choiceTokens: number;
  /** An output bound that must be sent although nothing is short: the policy's. */
  readonly policyBound: number | undefined;
  readonly hidden: boolean;
}

/** What the request must hold, or why it may not pass. */
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
      `The request's cost cannot be bounded beforehand (${facts.unbounded.join(', ')}) and the quota ${refusing.quota.id} has unbounded: Refuse.`,
    );
  }
  const limit = rule.rule.requestLimits.outputTokens;
  const asked = facts.askedOutputTokens;
  if (limit !== undefined && asked !== undefined && asked > limit) {
    return failure('output_tokens_exceeded', `At most ${limit} output tokens may be asked for here, not ${asked}.`);
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
 * What a quota's key calls the model. A client chooses the name that it sends, and may invent one for each request where a glob lets it through: so it counts
 * only where the rule or the backend names it.
 */
function keyModel({ rule, target, facts, backendModel, modelIsKnown }: RoutingDecision): string {
  if (target.model !== undefined || modelIsKnown) {
    return backendModel;
  }
  return rule.models.find(({ matches }) => matches(facts.model))?.text ?? '*';
}

/** Byte-level encodings have no token of less than one byte. */
function inputUpperBound(facts: RequestFacts, tokenizer: Tokenizer): number {
  return inputTokens(facts, Math.ceil((facts.textBytes * (tokenizer.factorPercent ?? 100)) / 100));
}

/** The whole input, given the tokens of its text. */
export function inputTokens(facts: RequestFacts, textTokens: number): number {
  return textTokens + facts.overheadTokens + facts.givenTokens + facts.mediaTokens;
}

/** A guess for a charge: what the bounds allow around the text is about four times what providers use (recordings of chats). */
export function likelyInputTokens(facts: RequestFacts, textTokens: number): number {
  return inputTokens(facts, textTokens) - facts.overheadTokens + Math.ceil(facts.overheadTokens / 4);
}

/** Learned estimates are kept by route and the backend's model: both are of the policy's making or bounded by it. */
export function estimateKey(choice: RoutingDecision): EstimateKey {
  return [choice.modelIsKnown ? choice.backendModel : '*', choice.rule.rule.route];
}

function outputDemand(facts: RequestFacts, choiceTokens: number, hidden: boolean, usualTokens: number): OutputDemand {
  const all = facts.choices * choiceTokens;
  if (facts.stream && !hidden) {
    const want = Math.min(all, facts.choices * usualTokens * UNCOUNTED_BYTES_A_TOKEN);
    return { mode: 'lease', want, least: facts.choices, usual: Math.min(all, facts.choices * usualTokens) };
  }
  return { mode: 'bound', want: all, least: Math.min(all, facts.choices * Math.max(1, facts.leastOutputTokens)) };
}

/** What earlier answers teach. */
export interface OutputEstimates {
  /** Output tokens to hold at first for a stream. */
  holdTokens(...key: EstimateKey): number;
  /** How fast answers come. */
  tokensPerSecond(...key: EstimateKey): number;
}
