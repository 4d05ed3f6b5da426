/** The policy that extproc reads, from entries, backends and quotas. */
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
import type { LinkedBackend } from './backends.ts';
import type { Door } from './doors.ts';
import type { EntryPassthrough, EntryRule, LinkedEntry } from './entries.ts';
import { routeConfigurationName, strayRoute } from './names.ts';
import type { LinkedPolicy } from './quotas.ts';
import { compare } from './report.ts';

/** `routeNames` are those by which Envoy calls the routes of an entry, all of them, so that a request leads there whichever a forged header makes it match first. */
export function gatewayPolicy(
  entries: readonly LinkedEntry[],
  routeNames: (entry: LinkedEntry) => readonly string[],
  strays: readonly VirtualHost[],
  backends: readonly LinkedBackend[],
  policies: readonly LinkedPolicy[],
): GatewayPolicy {
  const content = {
    virtualHosts: [
      ...entries.map((entry) => ({
        routeNames: routeNames(entry),
        rules: entry.rules.map(rulePolicy),
        passthrough: entry.passthrough.map(passthroughPolicy),
      })),
      ...strays,
    ],
    backends: backends.flatMap(({ usable }) => (usable === undefined ? [] : [usable.policy])),
    quotas: quotasInUse(entries, policies),
  };
  const digest = createHash('sha256').update(`${POLICY_FORMAT_VERSION}`);
  for (const line of policyLines(content)) {
    digest.update(`\n${line}`);
  }
  // 64 bits tell the states of one gateway apart; nothing secret hangs on it.
  return { formatVersion: POLICY_FORMAT_VERSION, ...content, version: digest.digest('hex').slice(0, 16) };
}

/** Route configurations without an entry for every host answer 404 for the others, in the provider's shape. */
export function strayEntries(doors: readonly Door[], entries: readonly LinkedEntry[]): readonly VirtualHost[] {
  const served = new Set(
    entries.filter(({ hostname }) => hostname === '*').map(({ door }) => routeConfigurationName(door)),
  );
  const stray = [...new Set(doors.map(routeConfigurationName))].filter((name) => !served.has(name));
  if (stray.length === 0) {
    return [];
  }
  return [{ routeNames: stray.toSorted(compare).map(strayRoute), rules: [], passthrough: [] }];
}

function rulePolicy({ route, rule, models, targets, policies }: EntryRule): Rule {
  const firstTokenTimeoutMs = durationMs(rule.rule.timeouts?.firstToken ?? '0s');
  const inputTokens = least(policies, 'inputTokens');
  const outputTokens = least(policies, 'outputTokens');
  return {
    route: route.name,
    name: rule.rule.name,
    models,
    headers: rule.headers,
    targets: policies.every(({ valid }) => valid) ? targets.map(({ target }) => target) : [],
    quotas: quotaIds(policies),
    requestLimits: {
      ...(inputTokens !== undefined && { inputTokens }),
      ...(outputTokens !== undefined && { outputTokens }),
    },
    maxRequestBodyBytes: bodyBytes(route.route.spec.maxRequestBodySize, policies),
    ...(firstTokenTimeoutMs > 0 && { firstTokenTimeoutMs }),
  };
}

function passthroughPolicy({ route, passthrough, policies }: EntryPassthrough): Passthrough {
  const { method, path } = passthrough.item;
  return {
    method,
    path,
    route: route.name,
    rule: 'passthrough',
    target: passthrough.target.target.id,
    quotas: quotaIds(policies),
    maxRequestBodyBytes: bodyBytes(route.route.spec.maxRequestBodySize, policies),
  };
}

function quotaIds(policies: readonly LinkedPolicy[]): readonly string[] {
  return policies.flatMap(({ quotas }) => quotas.map(({ id }) => id));
}

function least(policies: readonly LinkedPolicy[], limit: 'inputTokens' | 'outputTokens'): number | undefined {
  const limits = policies.map(({ requestLimits }) => requestLimits[limit]).filter((each) => each !== undefined);
  return limits.length === 0 ? undefined : Math.min(...limits);
}

function bodyBytes(ofRoute: string, policies: readonly LinkedPolicy[]): number {
  const sizes = policies.map(({ requestLimits }) => requestLimits.bodySize).filter((each) => each !== undefined);
  return Math.min(...[ofRoute, ...sizes].map(sizeBytes));
}

function quotasInUse(entries: readonly LinkedEntry[], policies: readonly LinkedPolicy[]): GatewayPolicy['quotas'] {
  const inUse = new Set(
    entries.flatMap((entry) => [...entry.rules, ...entry.passthrough].flatMap((each) => each.policies)),
  );
  return policies.filter((policy) => inUse.has(policy)).flatMap(({ quotas }) => quotas);
}
