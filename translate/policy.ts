/** Compiles the policy for extproc from virtual hosts, backends and attached policies. */
import { createHash } from 'node:crypto';
import {
  type GatewayPolicy,
  type Passthrough,
  POLICY_FORMAT_VERSION,
  type Rule,
  type VirtualHost,
} from '../contract/policy.ts';
import { policyLines } from '../contract/policy-text.ts';
import { durationMs, sizeBytes } from '../crds/schema.ts';
import { type AttachedPolicy, policiesOf } from './attachment/policy-kind.ts';
import { accessEverywhere, accessNames, accessOf, policiesInUse } from './link/access-in-use.ts';
import { isUnproven } from './link/access-problems.ts';
import { apiKeyShards } from './link/api-keys.ts';
import type { LinkedBackend } from './link/backends.ts';
import { contentOf } from './link/content.ts';
import { guardrailsOf } from './link/guardrails.ts';
import type { GatewayListener } from './link/listeners.ts';
import type { CompiledQuotas } from './link/quota-bounds.ts';
import { quotaPolicyKind } from './link/quotas.ts';
import type { LinkedRule } from './link/routes.ts';
import type { LinkedVirtualHost, VirtualHostPassthrough, VirtualHostRule } from './link/virtual-hosts.ts';
import { routeConfigurationName, unmatchedRoute } from './names.ts';
import { compare } from './object-names.ts';

interface PolicyInput {
  readonly virtualHosts: readonly LinkedVirtualHost[];
  /**
   * Returns all Envoy route names of a virtual host, so that a request with a forged
   * `x-tallygate-route` cannot escape its policy.
   */
  readonly routeNames: (virtualHost: LinkedVirtualHost) => readonly string[];
  readonly unmatched: readonly VirtualHost[];
  readonly backends: readonly LinkedBackend[];
  readonly policies: readonly AttachedPolicy[];
}

export function gatewayPolicy(input: PolicyInput): GatewayPolicy {
  const { virtualHosts, routeNames, unmatched, backends, policies } = input;
  const inUse = policiesInUse(virtualHosts, policies);
  const guardrails = guardrailsOf(inUse);
  const kept = contentOf(inUse);
  const content = {
    virtualHosts: [
      ...virtualHosts.map((virtualHost) => ({
        routeNames: routeNames(virtualHost),
        rules: virtualHost.rules.map((rule) => rulePolicy(rule, virtualHost.listener)),
        passthrough: virtualHost.passthrough
          .filter(({ policies: here }) => isOpen(virtualHost.listener, here))
          .map(passthroughPolicy),
        ...accessOfVirtualHost(virtualHost),
      })),
      ...unmatched,
    ],
    backends: backends.flatMap(({ usable }) => (usable === undefined ? [] : [usable.policy])),
    quotas: quotasOf(inUse).flatMap(({ quotas }) => quotas),
    accessPolicies: accessOf(inUse).map(({ policy }) => policy),
    apiKeyShards: apiKeyShards(accessOf(inUse).flatMap(({ accepted }) => accepted)),
    ...(guardrails.length > 0 && { guardrailPolicies: guardrails }),
    ...(kept.length > 0 && { contentPolicies: kept }),
  };
  const digest = createHash('sha256').update(`${POLICY_FORMAT_VERSION}`);
  for (const line of policyLines(content)) {
    digest.update(`\n${line}`);
  }
  // 64 bits distinguish the versions of one gateway; not a security boundary.
  return { formatVersion: POLICY_FORMAT_VERSION, ...content, version: digest.digest('hex').slice(0, 16) };
}

/**
 * Returns the virtual host for all other host names, which extproc answers with 404 in the
 * provider's shape.
 */
export function unmatchedVirtualHosts(
  listeners: readonly GatewayListener[],
  virtualHosts: readonly LinkedVirtualHost[],
): readonly VirtualHost[] {
  const complete = new Set(
    virtualHosts.filter(({ hostname }) => hostname === '*').map(({ listener }) => routeConfigurationName(listener)),
  );
  const names = [...new Set(listeners.map(routeConfigurationName))].filter((name) => !complete.has(name));
  if (names.length === 0) {
    return [];
  }
  return [{ routeNames: names.toSorted(compare).map(unmatchedRoute), rules: [], passthrough: [], access: [] }];
}

/** Returns whether all policies of a place are valid and can do there what they say. */
function isOpen(listener: GatewayListener, policies: readonly AttachedPolicy[]): boolean {
  return policies.every(({ valid }) => valid) && !isUnproven(listener, policies);
}

function rulePolicy({ route, rule, models, targets, policies }: VirtualHostRule, listener: GatewayListener): Rule {
  const firstTokenTimeoutMs = durationMs(rule.rule.timeouts?.firstToken ?? '0s');
  const inputTokens = smallest(policies, 'inputTokens');
  const outputTokens = smallest(policies, 'outputTokens');
  return {
    route: route.name,
    name: rule.rule.name,
    models,
    headers: rule.headers,
    targets: isOpen(listener, policies) ? targets.map(({ target }) => target) : [],
    quotas: quotaIds(policies),
    access: accessNames(policies),
    ...guardrailNames(policies),
    ...contentNames(policies),
    requestLimits: {
      ...(inputTokens !== undefined && { inputTokens }),
      ...(outputTokens !== undefined && { outputTokens }),
    },
    maxRequestBodyBytes: bodyBytes(route.route.spec.maxRequestBodySize, policies),
    ...(firstTokenTimeoutMs > 0 && { firstTokenTimeoutMs }),
    ...(rule.rule.unsupported === 'Drop' && { unsupported: rule.rule.unsupported }),
    ...choiceOf(rule),
  };
}

/** A rule with one backend has nothing to choose from. */
function choiceOf({ rule, attempts }: LinkedRule): Pick<Rule, 'failover' | 'affinity' | 'loadBalancer'> {
  const { failover, affinity, loadBalancer, backendRefs } = rule;
  if (backendRefs.filter(({ weight }) => weight > 0).length < 2) {
    return {};
  }
  return {
    ...(failover && {
      failover: {
        on: failover.on,
        attempts: failover.attempts,
        cooldownMs: durationMs(failover.cooldown),
        ...(attempts && { withinRequest: attempts.routes }),
      },
    }),
    ...(affinity && { affinity: affinity.type }),
    ...(loadBalancer && loadBalancer.type !== 'Weighted' && { loadBalancer: loadBalancer.type }),
  };
}

function passthroughPolicy({ route, passthrough, policies }: VirtualHostPassthrough): Passthrough {
  const { method, path } = passthrough.item;
  return {
    method,
    path,
    route: route.name,
    rule: 'passthrough',
    target: passthrough.target.target.id,
    quotas: quotaIds(policies),
    access: accessNames(policies),
    ...guardrailNames(policies),
    maxRequestBodyBytes: bodyBytes(route.route.spec.maxRequestBodySize, policies),
  };
}

function quotasOf(policies: readonly AttachedPolicy[]): readonly CompiledQuotas[] {
  return policiesOf(quotaPolicyKind, policies).map(({ compiled }) => compiled);
}

function quotaIds(policies: readonly AttachedPolicy[]): readonly string[] {
  return quotasOf(policies).flatMap(({ quotas }) => quotas.map(({ id }) => id));
}

function guardrailNames(policies: readonly AttachedPolicy[]): Pick<Rule, 'guardrails'> {
  const guardrails = guardrailsOf(policies).map(({ name }) => name);
  return guardrails.length === 0 ? {} : { guardrails };
}

function contentNames(policies: readonly AttachedPolicy[]): Pick<Rule, 'content'> {
  const content = contentOf(policies).map(({ name }) => name);
  return content.length === 0 ? {} : { content };
}

function smallest(policies: readonly AttachedPolicy[], limit: 'inputTokens' | 'outputTokens'): number | undefined {
  const limits = quotasOf(policies).map(({ requestLimits }) => requestLimits[limit]);
  const set = limits.filter((each) => each !== undefined);
  return set.length === 0 ? undefined : Math.min(...set);
}

function bodyBytes(routeLimit: string, policies: readonly AttachedPolicy[]): number {
  const sizes = quotasOf(policies).map(({ requestLimits }) => requestLimits.bodySize);
  return Math.min(...[routeLimit, ...sizes.filter((each) => each !== undefined)].map(sizeBytes));
}

/** Returns the access policies of every place of a virtual host, and how command lines sign in. */
function accessOfVirtualHost({ rules, passthrough }: LinkedVirtualHost): Pick<VirtualHost, 'access' | 'signIn'> {
  const everywhere = accessEverywhere({ rules, passthrough });
  const signIn = everywhere.find((each) => each.signIn !== undefined)?.signIn;
  return { access: everywhere.map(({ policy }) => policy.name), ...(signIn && { signIn }) };
}
