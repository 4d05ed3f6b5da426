/**
 * Compiles a policy into a form with fast look-ups: virtual hosts by route name, rules with their
 * quotas, backends and matchers. Pure. Reuses the rules that a new policy shares with the last one.
 */

import type { AccessPolicy, SignIn } from '../../contract/access-policy.ts';
import type { ContentPolicy } from '../../contract/content.ts';
import type { GuardrailPolicy } from '../../contract/guardrails.ts';
import { patternMatcher } from '../../contract/pattern.ts';
import type {
  BackendPolicy,
  GatewayPolicy,
  HeaderMatch,
  Passthrough,
  Quota,
  Rule,
  Target,
  VirtualHost,
} from '../../contract/policy.ts';
import { type ApiKeysByDigest, indexingApiKeys } from '../access/api-keys.ts';
import { type CompiledAccessPolicy, compileAccessPolicy } from '../access/compile.ts';
import { type CompiledContentPolicy, compileContentPolicy } from '../content/compile.ts';
import { type CompiledGuardrailPolicy, compileGuardrailPolicy } from '../guard/compile.ts';
import type { ModelApi } from '../model-api.ts';
import { compileQuotaConditions } from '../quota-conditions.ts';
import { indexing, type ModelPattern, modelPattern, type RuleIndex, WALKED_PATTERNS } from './rule-index.ts';
import { atOnce } from './slices.ts';

export interface CompiledTarget extends Target {
  readonly backendPolicy: BackendPolicy;
}

export interface CompiledRule {
  readonly rule: Rule;
  readonly targets: readonly CompiledTarget[];
  readonly quotas: readonly Quota[];
  readonly access: readonly CompiledAccessPolicy[];
  readonly guardrails: readonly CompiledGuardrailPolicy[];
  readonly content: readonly CompiledContentPolicy[];
  readonly models: readonly ModelPattern[];
  readonly headers: readonly CompiledHeader[];
}

export interface CompiledPassthrough {
  readonly passthrough: Passthrough;
  readonly quotas: readonly Quota[];
  readonly access: readonly CompiledAccessPolicy[];
  readonly guardrails: readonly CompiledGuardrailPolicy[];
}

export interface CompiledVirtualHost {
  readonly rules: readonly CompiledRule[];
  /** Undefined for few patterns, which are tried one by one. */
  readonly index: RuleIndex | undefined;
  readonly passthrough: readonly CompiledPassthrough[];
  /** Apply to every rule and passthrough here. */
  readonly access: readonly CompiledAccessPolicy[];
  /** The highest bound of all rules, because the rule is known only once the body is read. */
  readonly maxRequestBodyBytes: number;
  readonly signIn: SignIn | undefined;
  /** Returns the names for the models list of a client API that these provider APIs serve. */
  modelNames(providerApis: readonly ModelApi[]): readonly string[];
}

export interface CompiledPolicy {
  readonly version: string;
  readonly quotas: readonly Quota[];
  /** The backends of all targets, by target id. */
  readonly targetBackends: ReadonlyMap<string, string>;
  readonly apiKeys: ApiKeysByDigest;
  readonly accessPolicies: readonly CompiledAccessPolicy[];
  entry(routeName: string | undefined): CompiledVirtualHost | undefined;
}

interface CompiledHeader {
  readonly name: string;
  readonly matches: (value: string) => boolean;
}

/** Throws for a policy that contradicts itself, which is a bug of the program that created it. */
export function compilePolicy(policy: GatewayPolicy): CompiledPolicy {
  return atOnce(compiling(policy));
}

/** Route names that are entered without a yield. */
const NAMES_OF_PIECE = 256;

/** Compiles a policy and yields wherever it can be interrupted. */
export function* compiling(policy: GatewayPolicy): Generator<void, CompiledPolicy> {
  const parts: NamedParts = {
    backends: new Map(policy.backends.map((backend) => [backend.name, backend])),
    quotas: new Map(policy.quotas.map((quota) => [quota.id, quota])),
    access: yield* compilingAccess(policy.accessPolicies),
    guardrails: yield* compilingGuardrails(policy.guardrailPolicies ?? []),
    content: yield* compilingContent(policy.contentPolicies ?? []),
  };
  for (const quota of policy.quotas) {
    if (quota.overrides !== undefined || quota.when !== undefined) {
      compileQuotaConditions(quota);
      yield;
    }
  }
  const apiKeys = yield* indexingApiKeys(policy.apiKeyShards);
  const virtualHosts = new Map<string, CompiledVirtualHost>();
  const targetBackends = new Map<string, string>();
  for (const entry of policy.virtualHosts) {
    const compiled = yield* compilingEntry(entry, parts, targetBackends);
    for (const [index, name] of entry.routeNames.entries()) {
      virtualHosts.set(name, compiled);
      if (index % NAMES_OF_PIECE === 0) {
        yield;
      }
    }
  }
  return {
    version: policy.version,
    quotas: policy.quotas,
    targetBackends,
    apiKeys,
    accessPolicies: [...parts.access.values()],
    entry: (routeName) => (routeName === undefined ? undefined : virtualHosts.get(routeName)),
  };
}

function* compilingAccess(policies: readonly AccessPolicy[]): Generator<void, Map<string, CompiledAccessPolicy>> {
  const compiled = new Map<string, CompiledAccessPolicy>();
  for (const policy of policies) {
    compiled.set(policy.name, compileAccessPolicy(policy));
    yield;
  }
  return compiled;
}

function* compilingGuardrails(
  policies: readonly GuardrailPolicy[],
): Generator<void, Map<string, CompiledGuardrailPolicy>> {
  const compiled = new Map<string, CompiledGuardrailPolicy>();
  for (const policy of policies) {
    compiled.set(policy.name, compileGuardrailPolicy(policy));
    yield;
  }
  return compiled;
}

function* compilingContent(policies: readonly ContentPolicy[]): Generator<void, Map<string, CompiledContentPolicy>> {
  const compiled = new Map<string, CompiledContentPolicy>();
  for (const policy of policies) {
    compiled.set(policy.name, compileContentPolicy(policy));
    yield;
  }
  return compiled;
}

/** What rules and virtual hosts name. */
interface NamedParts {
  readonly backends: ReadonlyMap<string, BackendPolicy>;
  readonly quotas: ReadonlyMap<string, Quota>;
  readonly access: ReadonlyMap<string, CompiledAccessPolicy>;
  readonly guardrails: ReadonlyMap<string, CompiledGuardrailPolicy>;
  readonly content: ReadonlyMap<string, CompiledContentPolicy>;
}

function* compilingEntry(
  entry: VirtualHost,
  parts: NamedParts,
  targetBackends: Map<string, string>,
): Generator<void, CompiledVirtualHost> {
  const rules: CompiledRule[] = [];
  let maxRequestBodyBytes = 0;
  let patterns = 0;
  for (const rule of entry.rules) {
    rules.push(compileRule(rule, parts));
    for (const { id, backend } of rule.targets) {
      targetBackends.set(id, backend);
    }
    maxRequestBodyBytes = Math.max(maxRequestBodyBytes, rule.maxRequestBodyBytes);
    patterns += rule.models.length;
    yield;
  }
  const names = new Map<readonly ModelApi[], readonly string[]>();
  return {
    rules,
    index: patterns > WALKED_PATTERNS ? yield* indexOf(rules) : undefined,
    passthrough: entry.passthrough.map((passthrough) => ({
      passthrough,
      quotas: passthrough.quotas.map((id) => known(parts.quotas, id)),
      access: passthrough.access.map((name) => known(parts.access, name)),
      guardrails: guardrailsOf(passthrough, parts),
    })),
    access: entry.access.map((name) => known(parts.access, name)),
    maxRequestBodyBytes,
    signIn: entry.signIn,
    modelNames(providerApis) {
      const found = names.get(providerApis) ?? modelNames(rules, providerApis);
      names.set(providerApis, found);
      return found;
    },
  };
}

/**
 * Indexes by their first rule. Virtual hosts with the same rules share an index, also across
 * policies.
 */
const indexes = new WeakMap<CompiledRule, { readonly rules: readonly CompiledRule[]; readonly index: RuleIndex }>();

function* indexOf(rules: readonly CompiledRule[]): Generator<void, RuleIndex> {
  const [first] = rules;
  const known = first && indexes.get(first);
  if (known?.rules.length === rules.length && known.rules.every((rule, place) => rule === rules[place])) {
    return known.index;
  }
  const index = yield* indexing(rules.map(({ models }) => models));
  if (first !== undefined) {
    indexes.set(first, { rules, index });
  }
  return index;
}

/** Compiled rules by rule, because most rules of a new policy are the same objects as before. */
const compiledRules = new WeakMap<Rule, CompiledRule>();

function compileRule(rule: Rule, parts: NamedParts): CompiledRule {
  const { backends, quotas, access, guardrails, content } = parts;
  const before = compiledRules.get(rule);
  if (
    before?.targets.every(({ backend, backendPolicy }) => backends.get(backend) === backendPolicy) &&
    before.quotas.every((quota) => quotas.get(quota.id) === quota) &&
    before.access.every((policy) => access.get(policy.policy.name) === policy) &&
    before.guardrails.every((policy) => guardrails.get(policy.policy.name) === policy) &&
    before.content.every((policy) => content.get(policy.policy.name) === policy)
  ) {
    return before;
  }
  const compiled = {
    rule,
    targets: rule.targets.map((target) => ({ ...target, backendPolicy: known(backends, target.backend) })),
    quotas: rule.quotas.map((id) => known(quotas, id)),
    access: rule.access.map((name) => known(access, name)),
    guardrails: guardrailsOf(rule, parts),
    content: rule.content?.map((name) => known(content, name)) ?? NO_CONTENT,
    models: rule.models.map(modelPattern),
    headers: rule.headers.map(headerMatcher),
  };
  compiledRules.set(rule, compiled);
  return compiled;
}

const NO_CONTENT: readonly CompiledContentPolicy[] = [];

const NO_GUARDRAILS: readonly CompiledGuardrailPolicy[] = [];

function guardrailsOf(place: Pick<Rule, 'guardrails'>, { guardrails }: NamedParts): readonly CompiledGuardrailPolicy[] {
  return place.guardrails?.map((name) => known(guardrails, name)) ?? NO_GUARDRAILS;
}

function known<Value>(map: ReadonlyMap<string, Value>, name: string): Value {
  const value = map.get(name);
  if (value === undefined) {
    throw new Error(`the policy names ${name}, and does not have it`);
  }
  return value;
}

/** Returns the exact names of the rules, and the names of their backends that match the globs. */
function modelNames(rules: readonly CompiledRule[], providerApis: readonly ModelApi[]): readonly string[] {
  const names = new Set<string>();
  for (const compiled of rules) {
    if (!speaks(compiled, providerApis)) {
      continue;
    }
    const { rule, targets, models } = compiled;
    for (const model of rule.models) {
      if (!model.includes('*')) {
        names.add(model);
      }
    }
    for (const { backendPolicy, model } of targets) {
      if (!providerApis.includes(backendPolicy.schema)) {
        continue;
      }
      const named = model === undefined ? backendPolicy.models.map(({ name }) => name) : [model];
      for (const name of named) {
        if (!name.includes('*') && models.some(({ matches }) => matches(name))) {
          names.add(name);
        }
      }
    }
  }
  return [...names].sort();
}

/**
 * Whether a backend of the rule speaks one of the provider APIs. True for a rule without backends,
 * so that its clients receive an error that names the mistake.
 */
export function speaks({ targets }: CompiledRule, providerApis: readonly ModelApi[]): boolean {
  return (
    targets.length === 0 ||
    targets.some(({ weight, backendPolicy }) => weight > 0 && providerApis.includes(backendPolicy.schema))
  );
}

function headerMatcher(match: HeaderMatch): CompiledHeader {
  if (match.type === 'Exact') {
    return { name: match.name, matches: (value) => value === match.value };
  }
  return { name: match.name, matches: patternMatcher(match.value) };
}
