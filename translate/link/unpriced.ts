/** Warns about limits in money that refuse every model of a backend. */
import { type AttachedPolicy, policiesOf } from '../attachment/policy-kind.ts';
import { type Diagnostics, subject } from '../diagnostics.ts';
import type { UsableBackend } from './backends.ts';
import { quotaPolicyKind } from './quotas.ts';
import type { LinkedVirtualHost } from './virtual-hosts.ts';

export function reportUnpriced(
  policies: readonly AttachedPolicy[],
  virtualHosts: readonly LinkedVirtualHost[],
  diagnostics: Diagnostics,
): void {
  const rules = virtualHosts.flatMap((host) => host.rules);
  for (const attached of policiesOf(quotaPolicyKind, policies)) {
    const { policy, compiled } = attached;
    const backends = new Set(
      rules
        .filter((rule) => rule.policies.includes(attached))
        .flatMap(({ targets }) => targets.map(({ backend }) => backend)),
    );
    for (const [index, { limit, mode }] of compiled.quotas.entries()) {
      if (limit.type !== 'Cost' || limit.unpriced === 'Allow' || mode === 'Shadow') {
        continue;
      }
      const names = [...backends]
        .filter((backend) => !isPriced(backend, limit.currency))
        .map(({ policy: { name } }) => name);
      if (names.length > 0) {
        diagnostics.warning(subject('AIQuotaPolicy', policy), {
          reason: 'Unpriced',
          path: `spec.quotas[${index}].limit.currency`,
          message: `no model of AIBackend ${names.sort().join(', ')} has prices in ${limit.currency}, so all requests there get 403`,
          fix: 'set prices of the models or a catalog in the AIBackend, or unpriced: Allow',
        });
      }
    }
  }
}

function isPriced({ policy }: UsableBackend, currency: string): boolean {
  return policy.models.some(({ prices, priceChanges = [] }) =>
    [prices, ...priceChanges.map((change) => change.prices)].some((each) => each?.currency === currency),
  );
}
