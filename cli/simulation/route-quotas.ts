/**
 * Finds the quotas that count a recorded request in a policy. A record names the route, and not the
 * rule, host or headers, so several rules may have served it.
 */
import type { GatewayPolicy, ModelFacts, Quota } from '../../contract/policy.ts';
import { type CompiledRule, type CompiledVirtualHost, compilePolicy } from '../../extproc/policy/compile.ts';
import type { RecordedRequest } from '../../extproc/quota/usage-records.ts';
import { keyModel } from '../../extproc/session/admission/quota-plan.ts';
import { isKnownModel } from '../../extproc/session/admission/select-backend.ts';
import { modelFacts } from '../../extproc/session/routing.ts';

/** What the rules and backends that may have served a request have in common. */
export interface RoutedRequest {
  readonly isPassthrough: boolean;
  /** Those of all such rules. */
  readonly quotas: readonly Quota[];
  /** Those of some such rules only. */
  readonly uncertain: readonly Quota[];
  /** Values of the key part `Model`. One: the value is certain; none: the backend is unknown. */
  readonly keyModels: readonly string[];
  /** Entries of the model at the backend, in the same way; undefined: the backend lists none. */
  readonly facts: readonly (ModelFacts | undefined)[];
}

/** Clients invent names of models, so no more answers are remembered. */
const MAX_REMEMBERED = 10_000;

export class RouteQuotas {
  readonly #hosts: readonly CompiledVirtualHost[];
  readonly #known = new Map<string, RoutedRequest | undefined>();

  constructor(policy: GatewayPolicy) {
    const compiled = compilePolicy(policy);
    this.#hosts = policy.virtualHosts.flatMap(({ routeNames: [name] }) => compiled.entry(name) ?? []);
  }

  /** Returns undefined where the route does not exist or does not serve the model. */
  find({ route, backend, model }: RecordedRequest): RoutedRequest | undefined {
    const key = JSON.stringify([route, backend, model]);
    if (!this.#known.has(key)) {
      if (this.#known.size >= MAX_REMEMBERED) {
        this.#known.clear();
      }
      this.#known.set(key, model === null ? this.#passthrough(route) : this.#routed(route, backend, model));
    }
    return this.#known.get(key);
  }

  #passthrough(route: string | null): RoutedRequest | undefined {
    const found = this.#hosts.flatMap((host) => host.passthrough.filter((one) => one.passthrough.route === route));
    const quotas = shared(found.map((one) => one.quotas));
    return found.length === 0 ? undefined : { isPassthrough: true, ...quotas, keyModels: [''], facts: [undefined] };
  }

  #routed(route: string | null, backend: string | null, model: string): RoutedRequest | undefined {
    const rules = [...new Set(this.#hosts.flatMap((host) => rulesOf(host, route, model)))];
    if (rules.length === 0) {
      return undefined;
    }
    const keyModels = new Set<string>();
    const facts = new Set<ModelFacts | undefined>();
    for (const rule of rules) {
      for (const target of rule.targets.filter((one) => one.backend === backend)) {
        const backendModel = target.model ?? model;
        const known = modelFacts(target.backendPolicy, backendModel);
        const modelIsKnown = isKnownModel(rule, known, model);
        keyModels.add(keyModel({ rule, target, facts: { model }, backendModel, modelIsKnown }));
        facts.add(known);
      }
    }
    const quotas = shared(rules.map((rule) => rule.quotas));
    return { isPassthrough: false, ...quotas, keyModels: [...keyModels], facts: [...facts] };
  }
}

/** Returns the rules of a route that may serve a model: up to the first without headers. */
function rulesOf(host: CompiledVirtualHost, route: string | null, model: string): readonly CompiledRule[] {
  const matching = host.rules.filter(
    ({ rule, models }) => rule.route === route && models.some(({ matches }) => matches(model)),
  );
  const last = matching.findIndex(({ headers }) => headers.length === 0);
  return last < 0 ? matching : matching.slice(0, last + 1);
}

function shared(lists: readonly (readonly Quota[])[]): Pick<RoutedRequest, 'quotas' | 'uncertain'> {
  const all = [...new Set(lists.flat())];
  const isEverywhere = (quota: Quota) => lists.every((list) => list.includes(quota));
  return { quotas: all.filter(isEverywhere), uncertain: all.filter((quota) => !isEverywhere(quota)) };
}
