/**
 * The policy kind AIAccessPolicy: validates and compiles authenticators and rules. A policy with a
 * fault admits nobody, so that its targets are closed, not open.
 */

import type { AccessPolicy, AllowRule, SignIn } from '../../contract/access-policy.ts';
import { conditionFault } from '../../contract/condition.ts';
import { type KeySource, keySourceId } from '../../contract/public-keys.ts';
import type { AllowRuleSpec } from '../../crds/access-policy.ts';
import { type Condition, condition, type ReasonOf } from '../../crds/conditions.ts';
import type { AIAccessPolicy } from '../../crds/kinds.ts';
import type { AttachedPolicy, PolicyCompilation, PolicyKind } from '../attachment/policy-kind.ts';
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import { fullName } from '../object-names.ts';
import { firstWithReason, type ProblemFields, problemSentence } from '../problem.ts';
import type { Located } from '../world.ts';
import type { AcceptedKeys, UnusedApiKey } from './api-keys.ts';
import { type BrowserLogin, type CompiledAuthenticator, compileAuthenticator } from './authenticators.ts';

export interface CompiledAccess {
  readonly policy: AccessPolicy;
  readonly accepted: readonly AcceptedKeys[];
  readonly sources: readonly KeySource[];
  readonly signIn?: SignIn;
  readonly browserLogin?: BrowserLogin;
}

export const accessPolicyKind: PolicyKind<Located<AIAccessPolicy>, CompiledAccess> = {
  kind: 'AIAccessPolicy',
  affectedCondition: 'tallygate.dev/AIAccessPolicyAffected',
  compile(policy, context) {
    const about = subject('AIAccessPolicy', policy);
    if (context.resources.refused('AIAccessPolicy', policy.metadata.namespace, policy.metadata.name)) {
      context.diagnostics.error(about, {
        reason: 'Invalid',
        path: 'spec',
        message: 'this version of Tallygate cannot read the policy, so it admits nobody',
        fix: 'apply the CustomResourceDefinitions of this version, then the policy again',
      });
      return closed(policy);
    }
    const authenticators = (policy.spec.authenticate ?? []).map((spec, index) =>
      compileAuthenticator({
        policy,
        id: `${fullName(policy)}/${spec.name}`,
        spec,
        path: `spec.authenticate[${index}]`,
        context,
        refuse(details) {
          context.diagnostics.error(about, details);
          return undefined;
        },
      }),
    );
    const usable = authenticators.filter((each) => each !== undefined);
    const isValid = usable.length === authenticators.length;
    return hasValidConditions(policy, context) && isValid ? compiled(policy, usable, context) : closed(policy);
  },
  statusNotes(attached, _, context) {
    return { message: '', conditions: [resolvedRefs(attached, context)] };
  },
};

function hasValidConditions(policy: Located<AIAccessPolicy>, { diagnostics }: TranslationContext): boolean {
  const faults = (policy.spec.allow ?? []).map(({ when }, index) => {
    const fault = when === undefined ? undefined : conditionFault(when);
    if (fault !== undefined) {
      const { message, fix, position } = fault;
      const place = position === undefined ? '' : ` (character ${position})`;
      diagnostics.error(subject('AIAccessPolicy', policy), {
        reason: 'Invalid',
        path: `spec.allow[${index}].when`,
        message: `the condition ${message}${place}`,
        fix,
      });
    }
    return fault;
  });
  return faults.every((fault) => fault === undefined);
}

/** Admits nobody. */
export function closed(policy: AIAccessPolicy): PolicyCompilation<CompiledAccess> {
  const { revokeStreams } = policy.spec;
  return {
    valid: false,
    compiled: {
      policy: { name: fullName(policy), authenticators: [], allow: [], revokeStreams },
      accepted: [],
      sources: [],
    },
  };
}

function compiled(
  policy: Located<AIAccessPolicy>,
  authenticators: readonly CompiledAuthenticator[],
  context: TranslationContext,
): PolicyCompilation<CompiledAccess> {
  const { allow = [], revokeStreams } = policy.spec;
  authenticators.forEach((each, index) => {
    reportUnresolved(policy, each, index, context);
  });
  const browserLogin = authenticators.find((each) => each.browserLogin !== undefined)?.browserLogin;
  const signIn = authenticators.find((each) => each.signIn !== undefined)?.signIn;
  return {
    valid: true,
    // The others restrict callers that an earlier policy identifies.
    rank: authenticators.length > 0 ? 0 : 1,
    compiled: {
      policy: {
        name: fullName(policy),
        authenticators: authenticators.map(({ authenticator }) => authenticator),
        allow: allow.map(allowRule),
        revokeStreams,
      },
      accepted: authenticators.flatMap(({ accepted }) => accepted ?? []),
      sources: authenticators.flatMap(({ source }) => source ?? []),
      ...(signIn && { signIn }),
      ...(browserLogin && { browserLogin }),
    },
  };
}

function allowRule({ name, principals, models, endpoints, when }: AllowRuleSpec): AllowRule {
  return {
    name,
    principals: principals.map(({ tenant, user, group, authenticated }) => ({
      ...(tenant !== undefined && { tenant }),
      ...(user !== undefined && { user }),
      ...(group !== undefined && { group }),
      ...(authenticated && { authenticated }),
    })),
    ...(models && { models }),
    ...(endpoints && { endpoints }),
    ...(when !== undefined && { when }),
  };
}

/** There may be thousands; the others come up when these are fixed. */
const MAX_REPORTED_KEYS = 16;

/** Warns about keys that are not used or could not be fetched. The rest of the policy works. */
function reportUnresolved(
  policy: Located<AIAccessPolicy>,
  { accepted, unused = [], source }: CompiledAuthenticator,
  index: number,
  { diagnostics, jwks }: TranslationContext,
): void {
  const about = subject('AIAccessPolicy', policy);
  const path = `spec.authenticate[${index}]`;
  const selector = `${path}.apiKey.secretSelector`;
  for (const each of unused.slice(0, MAX_REPORTED_KEYS)) {
    diagnostics.warning(about, { path: selector, ...unusedProblem(each) });
  }
  if (accepted?.keys.length === 0) {
    diagnostics.warning(about, {
      reason: 'NoKeySelected',
      path: selector,
      message: `no Secret of namespace ${policy.metadata.namespace} with a usable key has these labels, so no API key is accepted`,
      fix: 'create one with `tallygate key create`, or correct the labels',
    });
  }
  const fetched = source && jwks.get(keySourceId(source));
  if (fetched?.failure !== undefined) {
    const use = fetched.keys.length === 0 ? 'no token is accepted' : 'the keys that were fetched before stay in use';
    diagnostics.warning(about, {
      reason: 'KeysNotFetched',
      path,
      message: `the public keys cannot be fetched from ${source?.url}: ${fetched.failure}; ${use}`,
      fix: 'correct the URL, or make the issuer reachable from here',
    });
  }
}

function unusedProblem({ secret, fault }: UnusedApiKey): Omit<ProblemFields, 'path'> {
  const name = `Secret ${fullName(secret)}`;
  return fault === undefined
    ? {
        reason: 'DuplicateKey',
        message: `another Secret had the key of ${name} before, so this one is not used`,
        fix: 'replace its key by a new one, or remove it',
      }
    : {
        reason: 'InvalidKey',
        message: `${name} is not used: its ${fault.path} ${fault.fault}`,
        fix: fault.fix,
      };
}

const unresolvedReasons = [
  'KeysNotFetched',
  'NoKeySelected',
  'DuplicateKey',
  'InvalidKey',
] as const satisfies readonly ReasonOf<'ResolvedRefs'>[];

function resolvedRefs(
  { policy, compiled: { sources } }: AttachedPolicy<Located<AIAccessPolicy>, CompiledAccess>,
  { diagnostics, jwks }: TranslationContext,
): Condition {
  const { generation } = policy.metadata;
  const found = firstWithReason(diagnostics.of(subject('AIAccessPolicy', policy).ref), unresolvedReasons);
  if (found !== undefined) {
    return condition('ResolvedRefs', found.reason, problemSentence(found.problem), generation);
  }
  const pending = sources.find((source) => !jwks.has(keySourceId(source)));
  return pending === undefined
    ? condition('ResolvedRefs', 'ResolvedRefs', '', generation)
    : condition('ResolvedRefs', 'KeysNotFetched', `the public keys of ${pending.url} are not fetched yet`, generation);
}
