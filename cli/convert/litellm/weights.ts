/** The shares of deployments of one group. */
import type { Place } from '../draft.ts';
import type { Deployment } from './backends.ts';
import type { ModelGroup } from './groups.ts';

const MAX_WEIGHT = 1_000_000;
const names = ['weight', 'rpm', 'tpm'] as const;

/** As LiteLLM's simple-shuffle: by the first of these fields that any deployment has. */
export function weightsOf(deployments: readonly Deployment[]): readonly number[] | undefined {
  if (deployments.length < 2) {
    return undefined;
  }
  const name = names.find((each) => deployments.some(({ fields }) => fields.at(each) !== undefined));
  const values = deployments.map(({ fields }) => Math.max((name && fields.at(name)?.number) ?? 0, 0));
  const largest = Math.max(...values);
  if (name === undefined || largest === 0) {
    return undefined;
  }
  const isWhole = largest <= MAX_WEIGHT && values.every(Number.isInteger);
  const scaled = values.map((value) => (isWhole ? value : Math.round((value / largest) * 1000)));
  return scaled.every((value) => value === scaled[0]) ? undefined : scaled;
}

export function reportWeights({ deployments }: ModelGroup, isSeveral: boolean, place: Place): void {
  for (const { fields } of deployments) {
    fields.at('weight')?.becomes(place);
    (fields.at('order') ?? fields.info('order'))?.becomes(place);
    for (const name of ['rpm', 'tpm'] as const) {
      const field = fields.at(name);
      if (isSeveral && deployments.length > 1) {
        field?.differs(
          place,
          `${name} is only a share here: no quota is of one backend. LiteLLM enforces it with usage-based routing, too.`,
        );
      } else {
        field?.hasNoEqual(
          'no quota is of one backend; LiteLLM enforces it only with usage-based routing',
          `to enforce it, target the rule with an AIQuotaPolicy (${name === 'rpm' ? 'Requests' : 'TotalTokens'} a minute)`,
        );
      }
    }
    fields
      .at('max_parallel_requests')
      ?.hasNoEqual('no quota is of one backend', 'target the rule with an AIQuotaPolicy (ConcurrentRequests)');
  }
}
