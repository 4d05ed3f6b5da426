/** Decides whether an endpoint that the gateway does not read may pass. Pure. */
import type { Quota } from '../../../contract/policy.ts';
import { type Failure, failure } from '../../errors.ts';
import type { CompiledPassthrough, CompiledVirtualHost } from '../../policy/compile.ts';
import { disguisesMetered } from '../../providers/disguise.ts';
import { bucketsFor } from '../../quota/keys.ts';
import type { BucketRef } from '../../quota/store.ts';
import { drawsTokens } from '../../quota/units.ts';
import { missingQuotaKey } from '../replies.ts';
import { findPassthrough } from '../routing.ts';
import type { CallerFacts } from './quota-plan.ts';

/** Returns the passthrough of a route that lists an unknown endpoint. */
export function routedPassthrough(
  entry: CompiledVirtualHost,
  method: string,
  path: string,
): CompiledPassthrough | Failure {
  if (disguisesMetered(method, path)) {
    return failure(
      'unknown_endpoint',
      `The gateway does not serve ${method} ${path.slice(0, 200)}, another spelling of a metered endpoint. Use the usual spelling.`,
    );
  }
  const found = findPassthrough(entry, method, path);
  if (found === undefined) {
    return failure(
      'unknown_endpoint',
      `The gateway does not serve ${method} ${path.slice(0, 200)}. Check the path, or list it in passthrough of the AIGatewayRoute.`,
    );
  }
  return found;
}

/**
 * Returns the quotas on the number of requests, with their keys. The bytes are not read, so a
 * quota on tokens or cost must allow unmetered endpoints too.
 */
export function passthroughBuckets(
  { passthrough }: CompiledPassthrough,
  quotas: readonly Quota[],
  facts: CallerFacts,
): readonly BucketRef[] | Failure {
  const refusing = quotas.some(
    (quota) => drawsTokens(quota) && quota.mode === 'Enforce' && quota.unmetered === 'Refuse',
  );
  if (refusing) {
    return failure(
      'unmetered_endpoint',
      'A quota on tokens or cost applies here, and this endpoint is not metered. Set unmetered: Allow on each such quota to let it pass.',
    );
  }
  const requests = quotas.filter((quota) => !drawsTokens(quota));
  const keyed = bucketsFor(requests, { ...facts, model: '', route: passthrough.route });
  return 'missing' in keyed ? missingQuotaKey(keyed.missing) : keyed.buckets;
}
