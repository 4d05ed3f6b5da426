/**
 * Decides who calls and what the caller may do. `authenticate` needs the headers only, `admit` the
 * model too. A request must satisfy all its access policies, from the Gateway down.
 */

import type { EndpointName, Principal } from '../../contract/access-policy.ts';
import { type ConditionFacts, MAX_GROUPS } from '../../contract/condition.ts';
import type { AuthenticationMethod, Caller } from '../caller.ts';
import { type Failure, failure } from '../errors.ts';
import type { ApiKeysByDigest } from './api-keys.ts';
import type { CompiledAccessPolicy, CompiledAllowRule } from './compile.ts';
import type { CompiledJwt } from './jwt.ts';
import type { Presented, PresentedSecret } from './presented.ts';
import type { TokenVerdict, TokenVerifier } from './token-verifier.ts';

/** A caller with the credential that proves its identity. */
export interface ProvenCaller {
  readonly caller: Caller;
  readonly method: AuthenticationMethod;
  readonly provenBy: CompiledAccessPolicy;
  /** The SHA-256 of an API key. */
  readonly keyDigest: string | undefined;
  readonly expiresAtMs: number | undefined;
}

/** The callers of a request: one for each access policy that applies to it so far. */
export interface CallerIdentity {
  /** As the outermost policy that authenticates defines the caller: for quotas and records. */
  readonly proven: ProvenCaller;
  readonly policies: readonly CompiledAccessPolicy[];
  /** In the order of `policies`. */
  readonly callers: readonly ProvenCaller[];
}

/** The access policies that apply to a place, from the Gateway down. */
export type AccessPolicies = readonly CompiledAccessPolicy[];

export interface AccessServices {
  readonly keys: ApiKeysByDigest;
  readonly verifier: TokenVerifier;
  readonly nowMs: number;
}

export type Authentication =
  | CallerIdentity
  | Failure
  /** Tokens are being verified. Authenticate again when the promise is fulfilled. */
  | Promise<void>;

const noCredential = failure(
  'unauthenticated',
  'The request has no credential. Send an API key or a token in authorization (Bearer) or x-api-key.',
);
const severalCredentials = failure(
  'unauthenticated',
  'The request has two different credentials in authorization, x-api-key or api-key. Send one.',
);
const malformedCredential = failure(
  'unauthenticated',
  'The credential is too long, or its scheme is not Bearer. Send an API key or a token as authorization: Bearer.',
);
/** The same for unknown, revoked and expired credentials: nobody learns which ones exist. */
const invalidCredential = failure(
  'unauthenticated',
  'The credential is not valid, or has expired. Send a valid API key or token.',
);
const tooManyGroups = failure(
  'unauthenticated',
  `The token names more than ${MAX_GROUPS} groups. Let the identity provider send the groups that matter.`,
);
const forgeable = failure(
  'forbidden',
  'A request with the session of a browser needs the content type application/json. Send JSON, or a token in authorization.',
);
const overloaded = failure('overloaded', 'The gateway verifies too many tokens. Try again shortly.', {
  retryAfterMs: 1000,
});
const forbidden = failure(
  'forbidden',
  'The caller may not use this endpoint in this way. Ask the operator for access.',
);
const modelNotAllowed = failure(
  'model_not_allowed',
  'The caller may not use this model. GET /v1/models lists the models that it may use.',
  { param: 'model' },
);

/**
 * Identifies the caller for each policy. `outer` are the policies that the request has satisfied
 * already; `policies` may contain them again. Call only with at least one policy.
 */
export function authenticate(
  policies: AccessPolicies,
  presented: Presented,
  services: AccessServices,
  outer?: CallerIdentity,
): Authentication {
  if (outer !== undefined && policies.every((policy) => outer.policies.includes(policy))) {
    return outer;
  }
  const { credential } = presented;
  if (credential.type === 'several') {
    return severalCredentials;
  }
  if (credential.type === 'malformed') {
    return malformedCredential;
  }
  const attempt = new Attempt(presented, services);
  const all = [...(outer?.policies ?? [])];
  const callers = [...(outer?.callers ?? [])];
  for (const policy of policies) {
    if (all.includes(policy)) {
      continue;
    }
    const proven = policy.policy.authenticators.length === 0 ? callers.at(-1) : attempt.identify(policy);
    if (proven === undefined) {
      return attempt.pending ?? attempt.failure;
    }
    all.push(policy);
    callers.push(proven);
  }
  return { proven: callers[0]!, policies: all, callers };
}

/** One pass over the policies of a request. */
class Attempt {
  readonly #presented: Presented;
  readonly #services: AccessServices;
  #failure: Failure | undefined;
  pending: Promise<void> | undefined;

  constructor(presented: Presented, services: AccessServices) {
    this.#presented = presented;
    this.#services = services;
  }

  get failure(): Failure {
    return this.#failure ?? (this.#presented.credential.type === 'none' ? noCredential : invalidCredential);
  }

  identify(policy: CompiledAccessPolicy): ProvenCaller | undefined {
    const { secret } = this.#presented;
    const proven = secret === undefined ? this.#byCookie(policy) : this.#bySecret(policy, secret);
    return proven ?? (this.pending === undefined ? this.#byCertificate(policy) : undefined);
  }

  #bySecret(policy: CompiledAccessPolicy, secret: PresentedSecret): ProvenCaller | undefined {
    const { keyAuthenticators } = policy;
    if (keyAuthenticators.length > 0) {
      const known = this.#services.keys.find(secret.digest, this.#services.nowMs);
      if (known?.key.authenticators.some((id) => keyAuthenticators.includes(id))) {
        const { digest, expiresAtMs } = known.key;
        return { caller: known, method: 'api_key', provenBy: policy, keyDigest: digest, expiresAtMs };
      }
    }
    for (const token of policy.tokens) {
      const proven = this.#byToken(policy, token, secret);
      if (proven !== undefined || this.pending !== undefined) {
        return proven;
      }
    }
    return undefined;
  }

  #byCookie(policy: CompiledAccessPolicy): ProvenCaller | undefined {
    for (const token of policy.cookies) {
      const secret = this.#presented.cookie(token.authenticator.cookie!);
      if (secret !== undefined && this.#presented.cookiesAreForgeable) {
        this.#failure ??= forgeable;
        return undefined;
      }
      const proven = secret && this.#byToken(policy, token, secret);
      if (proven !== undefined || this.pending !== undefined) {
        return proven;
      }
    }
    return undefined;
  }

  #byToken(
    policy: CompiledAccessPolicy,
    jwt: CompiledJwt,
    { value, digest }: PresentedSecret,
  ): ProvenCaller | undefined {
    const verdict = this.#presented.verdict(jwt) ?? this.#services.verifier.verify(value, digest, jwt);
    if (verdict instanceof Promise) {
      this.pending = verdict.then((found) => this.#presented.keepVerdict(jwt, found));
      return undefined;
    }
    return this.#accepted(policy, verdict);
  }

  #accepted(policy: CompiledAccessPolicy, verdict: TokenVerdict): ProvenCaller | undefined {
    switch (verdict.type) {
      case 'verified': {
        const { caller, expiresAtMs } = verdict;
        return { caller, method: 'jwt', provenBy: policy, keyDigest: undefined, expiresAtMs };
      }
      case 'overloaded':
        this.#failure = overloaded;
        return undefined;
      case 'too-many-groups':
        this.#failure ??= tooManyGroups;
        return undefined;
      case 'refused':
        this.#failure ??= invalidCredential;
        return undefined;
      default:
        return verdict satisfies never;
    }
  }

  #byCertificate(policy: CompiledAccessPolicy): ProvenCaller | undefined {
    for (const certificate of policy.certificates) {
      const caller = certificate.identify(this.#presented.attributes);
      if (caller !== undefined) {
        return { caller, method: 'client_certificate', provenBy: policy, keyDigest: undefined, expiresAtMs: undefined };
      }
    }
    return undefined;
  }
}

/** The demand of a request, which its body tells. */
export type AccessDemand = ConditionFacts['request'];

export interface AdmittedCaller {
  /** Named by the rule that admits the caller of the outermost policy that authenticates. */
  readonly group: string | undefined;
}

/** Admits the request where each policy has a rule that matches it. */
export function admit({ policies, callers, proven }: CallerIdentity, request: AccessDemand): AdmittedCaller | Failure {
  let group: string | undefined;
  let outermost = true;
  for (const [place, policy] of policies.entries()) {
    const { caller } = callers[place]!;
    const rule = policy.allow.find((each) => admits(each, caller, request));
    if (rule === undefined) {
      const elsewhere = policy.allow.some((each) => mayBeginBy(each, caller, request.endpoint));
      return elsewhere && !policy.allow.some((each) => mayUseBy(each, caller, request.model))
        ? modelNotAllowed
        : forbidden;
    }
    if (outermost && callers[place] === proven) {
      group = rule.principals.find((principal) => isPrincipal(principal, caller))?.group;
      outermost = false;
    }
  }
  return { group };
}

/**
 * Returns the failure of a request that no rule can admit, whatever its body contains. `endpoint`
 * is undefined for requests that the gateway answers itself.
 */
export function refusedAtHeaders(
  { policies, callers }: CallerIdentity,
  endpoint: EndpointName | undefined,
): Failure | undefined {
  const possible = policies.every(({ allow }, place) =>
    allow.some((rule) => mayBeginBy(rule, callers[place]!.caller, endpoint)),
  );
  return possible ? undefined : forbidden;
}

/** Returns the failure of a request for a model that the caller may not use at all. */
export function refusedModel(identity: CallerIdentity, model: string): Failure | undefined {
  return mayUse(identity, model) ? undefined : modelNotAllowed;
}

/** Whether the caller may use a model at all, for lists of models. */
export function mayUse({ policies, callers }: CallerIdentity, model: string): boolean {
  return policies.every(({ allow }, place) => allow.some((rule) => mayUseBy(rule, callers[place]!.caller, model)));
}

/**
 * Returns the groups by which the caller may be admitted for a model, for keys of quotas: endpoint
 * and conditions of a request may decide between several rules.
 */
export function groupsFor(
  { policies, callers, proven }: CallerIdentity,
  model: string,
): readonly (string | undefined)[] {
  const place = callers.indexOf(proven);
  const groups = new Set<string | undefined>();
  for (const rule of policies[place]!.allow.filter((each) => mayUseBy(each, proven.caller, model))) {
    groups.add(rule.principals.find((principal) => isPrincipal(principal, proven.caller))?.group);
    if (rule.endpoints === undefined && rule.when === undefined) {
      break;
    }
  }
  return [...groups];
}

function admits(rule: CompiledAllowRule, caller: Caller, request: AccessDemand): boolean {
  return (
    mayUseBy(rule, caller, request.model) &&
    endpointMatches(rule, request.endpoint) &&
    (rule.when === undefined || rule.when({ request, caller }))
  );
}

function mayUseBy(rule: CompiledAllowRule, caller: Caller, model: string | undefined): boolean {
  return hasPrincipal(rule, caller) && modelMatches(rule, model);
}

function mayBeginBy(rule: CompiledAllowRule, caller: Caller, endpoint: EndpointName | undefined): boolean {
  return hasPrincipal(rule, caller) && (endpoint === undefined || endpointMatches(rule, endpoint));
}

/** A request without a model matches rules for all models only. */
function modelMatches({ models, allModels }: CompiledAllowRule, model: string | undefined): boolean {
  return allModels || (model !== undefined && models!.some((matches) => matches(model)));
}

function endpointMatches({ endpoints }: CompiledAllowRule, endpoint: EndpointName | undefined): boolean {
  return endpoints === undefined || (endpoint !== undefined && endpoints.includes(endpoint));
}

function hasPrincipal({ principals }: CompiledAllowRule, caller: Caller): boolean {
  return principals.some((principal) => isPrincipal(principal, caller));
}

/** Whether a caller has all members of a principal. */
export function isPrincipal({ tenant, user, group }: Principal, caller: Caller): boolean {
  return (
    (tenant === undefined || tenant === caller.tenant) &&
    (user === undefined || user === caller.user) &&
    (group === undefined || caller.groups.includes(group))
  );
}
