/**
 * Limits the access policies of one namespace. All tenants of a proxy share its policy and its
 * event loop, so the policies of one tenant must neither make the policy too large to send nor slow
 * down the requests of others. Older policies take precedence; one that does not fit admits nobody.
 */
import { conditionSteps } from '../../contract/condition.ts';
import type { AIAccessPolicy } from '../../crds/kinds.ts';
import type { AttachedPolicy } from '../attachment/policy-kind.ts';
import { type Diagnostics, subject } from '../diagnostics.ts';
import { byAge } from '../object-names.ts';
import type { Located } from '../world.ts';
import { type CompiledAccess, closed } from './access.ts';
import type { UsableApiKey } from './api-keys.ts';

type AttachedAccess = AttachedPolicy<Located<AIAccessPolicy>, CompiledAccess>;

/**
 * Per namespace. `bytes`: of the policies and their API keys, as JSON; 25,000 keys have about as
 * many. `steps`: of the conditions, which one request evaluates in 15 ms at worst.
 */
const limits = { bytes: 8 * 1024 * 1024, steps: 300_000 };

const limitNames = { bytes: 'bytes of access policies and API keys', steps: 'steps of conditions' };

/** What the policies of a namespace have taken of the limits. */
interface AccessWeight {
  readonly bytes: number;
  readonly steps: number;
  /** The policy has each key once. */
  readonly keys: ReadonlySet<UsableApiKey['key']>;
}

/** Closes the policies that exceed the limits. Keeps the order. */
export function accessWithinBounds(
  policies: readonly AttachedAccess[],
  diagnostics: Diagnostics,
): readonly AttachedAccess[] {
  const taken = new Map<string, AccessWeight>();
  const refused = new Set<AttachedAccess>();
  const byPolicyAge = policies.toSorted((left, right) => byAge(left.policy, right.policy));
  for (const attached of byPolicyAge.filter(({ valid }) => valid)) {
    const { namespace } = attached.policy.metadata;
    const sum = added(taken.get(namespace), attached);
    const over = (['bytes', 'steps'] as const).find((name) => sum[name] > limits[name]);
    if (over === undefined) {
      taken.set(namespace, sum);
      continue;
    }
    refused.add(attached);
    diagnostics.error(subject('AIAccessPolicy', attached.policy), {
      reason: 'Invalid',
      path: over === 'steps' ? 'spec.allow' : 'spec',
      message: `with this policy, namespace ${namespace} has ${sum[over]} ${limitNames[over]}, so the policy admits nobody; the maximum is ${limits[over]}`,
      fix: 'remove policies, conditions or API keys from the namespace',
    });
  }
  return policies.map((each) => (refused.has(each) ? { ...each, ...closed(each.policy) } : each));
}

function added(taken: AccessWeight | undefined, { policy, compiled }: AttachedAccess): AccessWeight {
  const { bytes, steps, keys } = taken ?? { bytes: 0, steps: 0, keys: new Set() };
  const accepted = compiled.accepted.flatMap(({ authenticator, keys: ofAuthenticator }) =>
    ofAuthenticator.map(({ key }) => ({ key, bytes: authenticator.length })),
  );
  const all = new Set(keys);
  let more = JSON.stringify(compiled.policy).length;
  for (const { key, bytes: ofName } of accepted) {
    more += ofName + (all.has(key) ? 0 : JSON.stringify(key).length);
    all.add(key);
  }
  const conditions = (policy.spec.allow ?? []).map(({ when }) => (when === undefined ? 0 : conditionSteps(when)));
  return { bytes: bytes + more, steps: conditions.reduce((sum, each) => sum + each, steps), keys: all };
}
