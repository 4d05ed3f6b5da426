/** Compiles access policies into matchers. Pure. Policies that did not change are reused. */

import type { AccessPolicy, AllowRule, EndpointName, Principal } from '../../contract/access-policy.ts';
import { type ConditionFacts, conditionMatcher } from '../../contract/condition.ts';
import { type NameMatcher, nameMatcher } from '../model-names.ts';
import { type CompiledCertificate, compileCertificate } from './certificates.ts';
import { type CompiledJwt, compileJwt } from './jwt.ts';

export interface CompiledAccessPolicy {
  readonly policy: AccessPolicy;
  /** Ids of the authenticators that accept API keys. */
  readonly keyAuthenticators: readonly string[];
  /** Authenticators for tokens in request headers. */
  readonly tokens: readonly CompiledJwt[];
  /** Authenticators for tokens in cookies. */
  readonly cookies: readonly CompiledJwt[];
  readonly certificates: readonly CompiledCertificate[];
  readonly allow: readonly CompiledAllowRule[];
}

export interface CompiledAllowRule {
  readonly principals: readonly Principal[];
  /** Undefined: all models, and requests without a model. */
  readonly models: readonly NameMatcher[] | undefined;
  /** One of the patterns is `*`. */
  readonly allModels: boolean;
  readonly endpoints: readonly EndpointName[] | undefined;
  readonly when: ((facts: ConditionFacts) => boolean) | undefined;
}

const compiledPolicies = new WeakMap<AccessPolicy, CompiledAccessPolicy>();

/** Throws for a condition that translate should have refused. */
export function compileAccessPolicy(policy: AccessPolicy): CompiledAccessPolicy {
  const before = compiledPolicies.get(policy);
  if (before !== undefined) {
    return before;
  }
  const { authenticators, allow } = policy;
  const tokens = authenticators.filter((each) => each.type === 'JWT');
  const compiled: CompiledAccessPolicy = {
    policy,
    keyAuthenticators: authenticators.filter((each) => each.type === 'APIKey').map(({ id }) => id),
    tokens: tokens.filter(({ cookie }) => cookie === undefined).map(compileJwt),
    cookies: tokens.filter(({ cookie }) => cookie !== undefined).map(compileJwt),
    certificates: authenticators.filter((each) => each.type === 'ClientCertificate').map(compileCertificate),
    allow: allow.map(compileRule),
  };
  compiledPolicies.set(policy, compiled);
  return compiled;
}

function compileRule({ principals, models, endpoints, when }: AllowRule): CompiledAllowRule {
  return {
    principals,
    models: models?.map(nameMatcher),
    allModels: models === undefined || models.includes('*'),
    endpoints,
    when: when === undefined ? undefined : conditionMatcher(when),
  };
}
