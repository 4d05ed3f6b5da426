/** Decides which quotas on cost count a request. Pure. */
import type { Quota } from '../../../contract/policy.ts';
import { type Failure, failure } from '../../errors.ts';
import { covers, isFree } from '../../quota/money.ts';
import type { BucketRef } from '../../quota/store.ts';
import type { RoutingDecision } from './select-backend.ts';

/**
 * Leaves out the quotas on cost that do not count the request: at an endpoint that costs nothing,
 * at a model whose prices are 0, and, where they allow it, at a model without prices in their
 * currency. Returns a failure where one of them refuses such a model.
 */
export function countedBuckets(
  buckets: readonly BucketRef[],
  choice: RoutingDecision,
  isMetered: boolean,
): readonly BucketRef[] | Failure {
  if (!buckets.some(({ quota }) => quota.limit.type === 'Cost')) {
    return buckets;
  }
  if (!isMetered) {
    return buckets.filter(({ quota }) => quota.limit.type !== 'Cost');
  }
  const prices = choice.prices;
  const isPriced = prices !== undefined && covers(prices, choice.facts.hasOutput);
  const counted: BucketRef[] = [];
  for (const bucket of buckets) {
    const { limit, mode } = bucket.quota;
    if (limit.type !== 'Cost') {
      counted.push(bucket);
    } else if (isPriced && prices.currency === limit.currency) {
      if (!isFree(prices)) {
        counted.push(bucket);
      }
    } else if (limit.unpriced === 'Refuse' && mode === 'Enforce') {
      return unpriced(bucket.quota, limit.currency, choice);
    }
  }
  return counted;
}

function unpriced({ id }: Quota, currency: string, { backendModel, target }: RoutingDecision): Failure {
  const model = JSON.stringify(backendModel.length > 100 ? `${backendModel.slice(0, 100)}…` : backendModel);
  return failure(
    'model_unpriced',
    `Quota ${id} counts cost in ${currency}, and AIBackend ${target.backend} has no such prices for the model ${model}. Add them to its models, or set unpriced: Allow.`,
    { param: 'model' },
  );
}
