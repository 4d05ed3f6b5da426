/** Chooses the rule and the backend of a request. Pure. */
import type { ModelFacts, Tokenizer } from '../../../contract/policy.ts';
import type { ModelPrices } from '../../../contract/tokens.ts';
import type { Conversion } from '../../conversion/converted-request.ts';
import { conversionFor, serves } from '../../conversion/registry.ts';
import { type Failure, failure } from '../../errors.ts';
import type { CompiledRule, CompiledTarget, CompiledVirtualHost } from '../../policy/compile.ts';
import type { ClientApi, RequestFacts } from '../../providers/adapter.ts';
import { pricesAt } from '../../quota/money.ts';
import type { EstimateKey } from '../../record.ts';
import type { FirstTokenTimes } from '../first-token-times.ts';
import { weightsFor } from '../load-balancer.ts';
import { bodyTooLarge } from '../replies.ts';
import { ableTargets, chooseTarget, findRule, modelFacts } from '../routing.ts';

export interface RoutingDecision {
  readonly rule: CompiledRule;
  readonly target: CompiledTarget;
  readonly facts: RequestFacts;
  /** Present where the target speaks another API than the client. */
  readonly conversion: Conversion | undefined;
  /** The backend cannot count the tokens of a prompt, so the gateway does. */
  readonly counts: boolean;
  /** The model's name at the backend. */
  readonly backendModel: string;
  readonly modelFacts: ModelFacts | undefined;
  /** In force when the request arrived. */
  readonly prices: ModelPrices | undefined;
  /** A rule or the backend names the model, so it may be a label in metrics. */
  readonly modelIsKnown: boolean;
  readonly tokenizer: Tokenizer;
}

/** What a choice depends on beyond the request and the policy. */
export interface BackendSelection {
  /** In [0, 1). */
  readonly random: () => number;
  /** Returns when the rest of a target ends, for the model that the client asks for. */
  readonly restsUntil: (target: CompiledTarget, model: string) => number | undefined;
  readonly firstTokenTimes: FirstTokenTimes;
}

/**
 * Chooses rule and backend. Returns a failure where there is none. `affinityKey` tells client
 * sessions apart, for rules that keep them with one backend.
 */
export function selectBackend(
  entry: CompiledVirtualHost,
  endpoint: ClientApi,
  facts: RequestFacts,
  header: (name: string) => readonly string[],
  bodyBytes: number,
  selection: BackendSelection,
  nowMs: number,
  affinityKey: () => string | undefined,
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
  const target = targetOf(rule, endpoint, facts, selection, nowMs, affinityKey);
  if (target === undefined) {
    return failure(
      'model_not_found',
      `No backend of the model ${quoted(facts.model)} serves ${endpoint.method} ${endpoint.path}. Use a client for another API.`,
      { param: 'model' },
    );
  }
  return decisionFor(rule, target, endpoint, facts, nowMs);
}

function targetOf(
  rule: CompiledRule,
  endpoint: ClientApi,
  facts: RequestFacts,
  { restsUntil, random, firstTokenTimes }: BackendSelection,
  nowMs: number,
  affinityKey: () => string | undefined,
): CompiledTarget | undefined {
  const { targets } = rule;
  if (targets.length === 1) {
    const only = targets[0]!;
    const isAble =
      serves(endpoint, only.backendPolicy, backendModelOf(only, facts)) || servesWithout(endpoint, facts, only);
    return only.weight > 0 && isAble ? only : undefined;
  }
  return chooseTarget(
    targets,
    ...servingTests(endpoint, facts),
    (each) => restsUntil(each, facts.model),
    random(),
    rule.rule.affinity && affinityKey,
    weightsFor(rule, facts, firstTokenTimes, nowMs),
  );
}

/** Returns what follows from the choice of a target. */
export function decisionFor(
  rule: CompiledRule,
  target: CompiledTarget,
  endpoint: ClientApi,
  facts: RequestFacts,
  nowMs: number,
): RoutingDecision {
  const backendModel = backendModelOf(target, facts);
  const known = modelFacts(target.backendPolicy, backendModel);
  return {
    rule,
    target,
    facts,
    conversion: conversionFor(endpoint, target.backendPolicy, backendModel),
    counts: endpoint.countReply !== undefined && !serves(endpoint, target.backendPolicy, backendModel),
    backendModel,
    modelFacts: known,
    prices: known && pricesAt(known, nowMs),
    modelIsKnown: isKnownModel(rule, known, facts.model),
    tokenizer: target.backendPolicy.tokenizer,
  };
}

/** Returns tests of targets: whether they have the endpoint, and whether they serve without it. */
export function servingTests(
  endpoint: ClientApi,
  facts: RequestFacts,
): readonly [has: (target: CompiledTarget) => boolean, servesWithout: (target: CompiledTarget) => boolean] {
  return [
    (target) => serves(endpoint, target.backendPolicy, backendModelOf(target, facts)),
    (target) => servesWithout(endpoint, facts, target),
  ];
}

function servesWithout(endpoint: ClientApi, facts: RequestFacts, target: CompiledTarget): boolean {
  const isCounted = endpoint.countReply !== undefined;
  return isCounted || conversionFor(endpoint, target.backendPolicy, backendModelOf(target, facts)) !== undefined;
}

function backendModelOf({ model }: CompiledTarget, facts: RequestFacts): string {
  return model ?? facts.model;
}

/** Whether another healthy target than the chosen one can serve the request. */
export function hasOtherBackend(
  endpoint: ClientApi,
  { rule, target, facts }: RoutingDecision,
  restsUntil: BackendSelection['restsUntil'],
): boolean {
  const able = ableTargets(rule.targets, ...servingTests(endpoint, facts));
  return able.some((other) => other.id !== target.id && restsUntil(other, facts.model) === undefined);
}

/** Whether a rule or its backend names the model, so that no client has invented it. */
export function isKnownModel({ rule }: CompiledRule, known: ModelFacts | undefined, name: string): boolean {
  return rule.models.includes(name) || known?.name === name;
}

/** Output estimates are kept by route and model; the policy bounds the number of both. */
export function estimateKey(choice: RoutingDecision): EstimateKey {
  return [choice.modelIsKnown ? choice.backendModel : '*', choice.rule.rule.route];
}

function quoted(model: string): string {
  return JSON.stringify(model.length > 100 ? `${model.slice(0, 100)}…` : model);
}
