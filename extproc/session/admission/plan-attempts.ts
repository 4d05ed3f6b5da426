/** Plans which targets may serve a request if the chosen one fails, and what they may cost. */
import type { AttemptRoutes } from '../../../contract/policy.ts';
import { type Failure, isFailure } from '../../errors.ts';
import type { CompiledTarget } from '../../policy/compile.ts';
import { possiblePrices, pricesOfUnits } from '../../quota/money.ts';
import type { BucketRef, Draw, OutputDemand } from '../../quota/store.ts';
import { drawOn } from '../../quota/units.ts';
import { Attempts, type Candidate } from '../attempts.ts';
import { attemptOf } from '../failover.ts';
import { InputCount } from '../input-count.ts';
import { weightsFor } from '../load-balancer.ts';
import type { PreparedRequest } from '../request.ts';
import { chooseTarget } from '../routing.ts';
import type { Admission } from './admission.ts';
import { convertBody } from './convert-body.ts';
import type { QuotaPlan } from './quota-plan.ts';
import { decisionFor, type RoutingDecision, servingTests } from './select-backend.ts';

/** Plans the quotas of the request at another target. */
export type PlanQuotas = (choice: RoutingDecision, hidesOutput: boolean) => QuotaPlan | Failure;

/** Returns undefined where no other target may be tried. */
export function planAttempts(
  admission: Admission,
  prepared: PreparedRequest,
  planOf: PlanQuotas,
  nowMs: number,
): Attempts | undefined {
  const { request } = admission;
  const { choice, plan } = prepared;
  const routes = choice.rule.rule.failover?.withinRequest;
  const { endpoint } = request.found!;
  if (routes === undefined || endpoint.kind !== 'metered' || !isReachable(routes, choice.target)) {
    return undefined;
  }
  const others = orderOfOthers(admission, choice, routes, nowMs).flatMap((target): Candidate[] => {
    const other = decisionFor(choice.rule, target, endpoint, choice.facts, nowMs);
    const hides = endpoint.hidesOutput?.(other.backendModel, choice.facts) ?? false;
    const planned = planOf(other, hides);
    return isFailure(planned) || !haveSameBuckets(planned, plan)
      ? []
      : [{ choice: other, plan: planned, prepare: preparing(admission, other, planned, planOf) }];
  });
  return others.length === 0 ? undefined : new Attempts(routes, [{ choice, plan, prepare: () => prepared }, ...others]);
}

function isReachable(routes: AttemptRoutes, { id }: CompiledTarget): boolean {
  return routes.targets.some((target) => target.id === id);
}

/** Orders the other healthy targets as requests would reach them while those before are away. */
function orderOfOthers(
  { request, context, affinityKey }: Admission,
  { rule, target: first, facts }: RoutingDecision,
  routes: AttemptRoutes,
  nowMs: number,
): readonly CompiledTarget[] {
  const { endpoint } = request.found!;
  const { random, firstTokenTimes } = context;
  const restsUntil = (target: CompiledTarget) => context.restsUntil(target, facts.model);
  const most = rule.rule.failover!.attempts - attemptOf(request.header);
  let left = rule.targets.filter(
    (target) => target.id !== first.id && isReachable(routes, target) && restsUntil(target) === undefined,
  );
  const weightsOf = weightsFor(rule, facts, firstTokenTimes, nowMs);
  const order: CompiledTarget[] = [];
  while (order.length < most) {
    const key = rule.rule.affinity && affinityKey;
    const next = chooseTarget(left, ...servingTests(endpoint, facts), restsUntil, random(), key, weightsOf);
    if (next === undefined) {
      break;
    }
    order.push(next);
    left = left.filter((target) => target !== next);
  }
  return order;
}

/** A hold keeps its buckets, so only targets that draw on the same ones can take it over. */
function haveSameBuckets(one: QuotaPlan, other: QuotaPlan): boolean {
  return (
    one.buckets.length === other.buckets.length && one.buckets.every(({ key }, at) => key === other.buckets[at]!.key)
  );
}

/** Returns a function that converts the request for the target, the first time it is called. */
function preparing(
  admission: Admission,
  choice: RoutingDecision,
  planned: QuotaPlan,
  planOf: PlanQuotas,
): () => PreparedRequest | undefined {
  let prepared: PreparedRequest | undefined;
  let isPrepared = false;
  return () => {
    prepared = isPrepared ? prepared : prepare(admission, choice, planned, planOf);
    isPrepared = true;
    return prepared;
  };
}

function prepare(
  admission: Admission,
  choice: RoutingDecision,
  planned: QuotaPlan,
  planOf: PlanQuotas,
): PreparedRequest | undefined {
  const { body, held } = admission;
  const converted = choice.conversion && convertBody(admission, choice, choice.conversion);
  if (converted !== undefined && isFailure(converted)) {
    return undefined;
  }
  const plan = converted === undefined ? planned : planOf(choice, converted.hiddenOutput);
  // Output that is billed unseen needs a bound, for which more would have to be held.
  if (isFailure(plan) || (held !== undefined && plan.output.mode === 'bound' && admission.demandedOutput !== 'bound')) {
    return undefined;
  }
  return { body, choice, converted, plan, input: new InputCount(choice, plan) };
}

/** Returns what the request draws on a bucket at the dearest of its targets. */
export function dearestDraw(candidates: readonly Candidate[], bucket: BucketRef, inputTokens: number): Draw {
  const draws = candidates.map(({ choice: { prices, facts } }) =>
    drawOn(bucket, prices && pricesOfUnits(possiblePrices(prices, facts.serviceTier), facts.priceUnits), inputTokens),
  );
  return {
    ...draws[0]!,
    fixed: Math.max(...draws.map(({ fixed }) => fixed)),
    perInputToken: Math.max(...draws.map(({ perInputToken }) => perInputToken)),
    perOutputToken: Math.max(...draws.map(({ perOutputToken }) => perOutputToken)),
  };
}

/** Returns the output to hold for the longest response that one of the targets may give. */
export function largestOutput(candidates: readonly Candidate[]): OutputDemand {
  const outputs = candidates.map(({ plan }) => plan.output);
  return outputs.reduce((one, other) => ({
    mode: one.mode === 'bound' || other.mode === 'bound' ? 'bound' : one.mode === 'none' ? other.mode : one.mode,
    want: Math.max(one.want, other.want),
    least: Math.max(one.least, other.least),
    usual: Math.max(one.usual ?? one.least, other.usual ?? other.least),
  }));
}

/** Returns the largest input: tokenizers may scale their counts. */
export function largestInput(candidates: readonly Candidate[], inputTokens: number): number {
  const factors = candidates.map(({ choice }) => choice.tokenizer.factorPercent ?? 100);
  return Math.ceil((inputTokens * Math.max(...factors)) / factors[0]!);
}
