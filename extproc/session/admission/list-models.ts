/** Lists the models of the policy that the caller may use. */
import type { ModelPrices } from '../../../contract/tokens.ts';
import { type Failure, isFailure } from '../../errors.ts';
import { type CompiledRule, speaks } from '../../policy/compile.ts';
import type { ClientApi, ServedModel } from '../../providers/adapter.ts';
import { pricesAt } from '../../quota/money.ts';
import type { Request } from '../request.ts';
import { findRule, modelFacts } from '../routing.ts';
import type { GatewayReply } from './admission.ts';
import type { RuleCallers } from './rule-callers.ts';

export function listModels(
  request: Request,
  { providerApis, modelsBody }: ClientApi,
  callers: RuleCallers,
  nowMs: number,
): Failure | GatewayReply {
  const entry = request.entry!;
  const find = (name: string): ServedModel | undefined => {
    const rule = findRule(entry, name, request.header);
    const usable = rule !== undefined && speaks(rule, providerApis) && callers.of(rule)?.mayUse(name) === true;
    return usable ? servedModel(rule, name, providerApis, nowMs) : undefined;
  };
  const list = () =>
    entry
      .modelNames(providerApis)
      .map(find)
      .filter((model) => model !== undefined);
  const body = modelsBody!({ list, find }, request.path, request.query);
  return isFailure(body) ? body : { reply: body };
}

/**
 * Returns what is known of a model: the smallest limits of the backends that may serve it, and the
 * prices where all of them name the same ones.
 */
function servedModel(
  { targets }: CompiledRule,
  name: string,
  providerApis: ClientApi['providerApis'],
  nowMs: number,
): ServedModel {
  const facts = targets
    .filter(({ weight, backendPolicy }) => weight > 0 && providerApis.includes(backendPolicy.schema))
    .map(({ backendPolicy, model }) => modelFacts(backendPolicy, model ?? name));
  return {
    name,
    contextTokens: smallest(facts.map((known) => known?.contextTokens)),
    maxOutputTokens: smallest(facts.map((known) => known?.maxOutputTokens)),
    prices: agreed(facts.map((known) => known && pricesAt(known, nowMs))),
  };
}

function smallest(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function agreed([first, ...others]: readonly (ModelPrices | undefined)[]): ModelPrices | undefined {
  const text = JSON.stringify(first);
  return others.every((other) => JSON.stringify(other) === text) ? first : undefined;
}
