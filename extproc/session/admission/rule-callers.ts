/** Says what a caller may do by each rule, for replies that concern many rules. */
import { authenticate, type CallerIdentity, groupsFor, mayUse } from '../../access/decide.ts';
import type { Caller } from '../../caller.ts';
import { type Failure, isFailure } from '../../errors.ts';
import type { CompiledRule } from '../../policy/compile.ts';
import type { Admission } from './admission.ts';

/** A caller as the access policies of one rule identify it. */
export interface RuleCaller {
  /** Undefined where no access policy applies. */
  readonly caller: Caller | undefined;
  mayUse(model: string): boolean;
  /** Returns the groups by which the caller may be admitted for a model, for keys of quotas. */
  groups(model: string): readonly (string | undefined)[];
}

/** Without access policies, everyone may use a rule. */
const anyCaller: RuleCaller = { caller: undefined, mayUse: () => true, groups: () => [undefined] };

/** The caller of one request by each of the rules, whose access policies may differ. */
export class RuleCallers {
  /** Fulfilled when a token is verified that decides about a rule. Ask again then. */
  pending: Promise<void> | undefined;
  readonly #admission: Admission;
  readonly #nowMs: number;
  /** By the names of the policies: many rules share them. */
  readonly #known = new Map<string, RuleCaller | undefined>();
  #failure: Failure | undefined;
  #identified = false;

  constructor(admission: Admission, nowMs: number) {
    this.#admission = admission;
    this.#nowMs = nowMs;
  }

  /** Why the caller may use no rule at all, if a credential could change that. */
  get failure(): Failure | undefined {
    return this.#identified ? undefined : this.#failure;
  }

  /** Returns undefined for a caller who may not use the rule. */
  of({ rule, access }: CompiledRule): RuleCaller | undefined {
    const key = rule.access.join('\n');
    if (!this.#known.has(key)) {
      this.#known.set(key, this.#identify(access));
    }
    return this.#known.get(key);
  }

  #identify(policies: CompiledRule['access']): RuleCaller | undefined {
    if (policies.length === 0) {
      this.#identified = true;
      return anyCaller;
    }
    const { context, request, identity } = this.#admission;
    const services = { keys: context.policy.apiKeys, verifier: context.verifier, nowMs: this.#nowMs };
    const result = authenticate(policies, request.presented, services, identity);
    if (result instanceof Promise) {
      this.pending = result;
      return undefined;
    }
    if (isFailure(result)) {
      this.#failure ??= result;
      return undefined;
    }
    this.#identified = true;
    return ruleCaller(result);
  }
}

function ruleCaller(identity: CallerIdentity): RuleCaller {
  return {
    caller: identity.proven.caller,
    mayUse: (model) => mayUse(identity, model),
    groups: (model) => groupsFor(identity, model),
  };
}
