/**
 * Digests of what each policy version contains for each object. A change of one route creates a new
 * version for all, but a sidecar with the previous version is still current for every other object,
 * so their statuses do not change.
 */
import { createHash } from 'node:crypto';
import type { AccessPolicy } from '../../contract/access-policy.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { jsonOf } from '../../contract/policy-text.ts';

/** `KIND NAMESPACE/NAME`. */
export type ObjectKey = string;

/** Digests by object. */
export type Contents = ReadonlyMap<ObjectKey, string>;

export function contentsOf({
  virtualHosts,
  backends,
  quotas,
  accessPolicies,
  guardrailPolicies = [],
  contentPolicies = [],
}: GatewayPolicy): Contents {
  const texts = new Map<ObjectKey, string[]>();
  const add = (key: ObjectKey, text: string) => {
    const own = texts.get(key);
    if (own === undefined) {
      texts.set(key, [text]);
    } else {
      own.push(text);
    }
  };
  const quotaTexts = new Map(quotas.map((quota) => [quota.id, jsonOf(quota)]));
  const backendTexts = new Map(backends.map((backend) => [backend.name, jsonOf(backend)]));
  const accessTexts = new Map(accessPolicies.map((policy) => [policy.name, textOf(policy)]));
  const guardrailTexts = new Map(guardrailPolicies.map((policy) => [policy.name, jsonOf(policy)]));
  const contentTexts = new Map(contentPolicies.map((policy) => [policy.name, jsonOf(policy)]));
  for (const { rules, passthrough } of virtualHosts) {
    for (const each of [...rules, ...passthrough]) {
      const text = jsonOf(each);
      const route = `AIGatewayRoute ${each.route}`;
      add(route, text);
      if ('targets' in each) {
        for (const { backend } of each.targets) {
          add(route, backendTexts.get(backend) ?? '');
        }
      }
      for (const id of each.quotas) {
        add(route, quotaTexts.get(id) ?? '');
        // `NAMESPACE/POLICY/QUOTA`
        add(`AIQuotaPolicy ${id.slice(0, id.lastIndexOf('/'))}`, `${each.route} ${quotaTexts.get(id)}`);
      }
      for (const name of each.access) {
        add(route, accessTexts.get(name) ?? '');
        add(`AIAccessPolicy ${name}`, `${each.route} ${accessTexts.get(name)}`);
      }
      for (const name of each.guardrails ?? []) {
        add(route, guardrailTexts.get(name) ?? '');
        add(`AIGuardrailPolicy ${name}`, `${each.route} ${guardrailTexts.get(name)}`);
      }
      for (const name of ('content' in each ? each.content : undefined) ?? []) {
        add(route, contentTexts.get(name) ?? '');
        add(`AIContentPolicy ${name}`, `${each.route} ${contentTexts.get(name)}`);
      }
    }
  }
  return new Map([...texts].map(([key, own]) => [key, createHash('sha256').update(own.join('\n')).digest('base64')]));
}

/**
 * Returns the text of an access policy without the keys of issuers, which are no part of the object
 * and change at any time.
 */
function textOf(policy: AccessPolicy): string {
  const authenticators = policy.authenticators.map((each) => (each.type === 'JWT' ? { ...each, keys: [] } : each));
  return jsonOf({ ...policy, authenticators });
}

/** A sidecar with an older version counts as having none. */
const VERSIONS_KEPT = 32;

export interface History {
  published(fleet: string, policy: GatewayPolicy): void;
  /** Returns the newest policy of a fleet. */
  policy(fleet: string): GatewayPolicy | undefined;
  /** Returns whether the version has the same content for the object as the newest version. */
  isCurrent(fleet: string, version: string, key: ObjectKey): boolean;
}

interface FleetHistory {
  newest: Contents;
  policy: GatewayPolicy;
  readonly versions: Map<string, Contents>;
}

export function newHistory(): History {
  const fleets = new Map<string, FleetHistory>();
  return {
    published(fleet, policy) {
      const known = fleets.get(fleet) ?? { newest: new Map(), policy, versions: new Map<string, Contents>() };
      fleets.set(fleet, known);
      const contents = known.versions.get(policy.version) ?? contentsOf(policy);
      known.newest = contents;
      known.policy = policy;
      known.versions.delete(policy.version);
      known.versions.set(policy.version, contents);
      const [oldest] = known.versions.keys();
      if (known.versions.size > VERSIONS_KEPT && oldest !== undefined) {
        known.versions.delete(oldest);
      }
    },
    policy: (fleet) => fleets.get(fleet)?.policy,
    isCurrent(fleet, version, key) {
      const known = fleets.get(fleet);
      const contents = known?.versions.get(version);
      return known !== undefined && contents !== undefined && contents.get(key) === known.newest.get(key);
    },
  };
}
