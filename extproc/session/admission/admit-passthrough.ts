/** Decides whether an endpoint that the gateway does not read may pass. Pure. */
import type { Passthrough } from '../../../contract/policy.ts';
import { type Failure, failure } from '../../errors.ts';
import type { CompiledVirtualHost } from '../../policy/compile.ts';
import { disguisesMetered } from '../../providers/disguise.ts';
import { bucketsFor } from '../../quota/keys.ts';
import type { BucketRef } from '../../quota/store.ts';
import { drawsTokens } from '../../quota/units.ts';
import { missingQuotaKey } from '../replies.ts';
import { findPassthrough } from '../routing.ts';

export interface AdmittedPassthrough {
  readonly passthrough: Passthrough;
  readonly buckets: readonly BucketRef[];
}

/**
 * Admits an unknown endpoint where a route lists it. Its bytes are not read, so a token quota must
 * allow unmetered endpoints too.
 */
export function admitPassthrough(
  entry: CompiledVirtualHost,
  method: string,
  path: string,
  header: (name: string) => readonly string[],
): AdmittedPassthrough | Failure {
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
  const { passthrough, quotas } = found;
  const refusing = quotas.some(
    (quota) => drawsTokens(quota) && quota.mode === 'Enforce' && quota.unmetered === 'Refuse',
  );
  if (refusing) {
    return failure(
      'unmetered_endpoint',
      'A token quota applies here, and this endpoint is not metered. Set unmetered: Allow on each token quota to let it pass.',
    );
  }
  const requests = quotas.filter((quota) => !drawsTokens(quota));
  const keyed = bucketsFor(requests, { header, model: '', route: passthrough.route });
  return 'missing' in keyed ? missingQuotaKey(keyed.missing) : { passthrough, buckets: keyed.buckets };
}
