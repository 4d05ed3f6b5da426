import type { CallerIdentity } from '../access/decide.ts';
import { isRevoked } from '../access/open-callers.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import type { SessionServices } from './services.ts';

/** Returns whether the API key of a caller was removed after a session began with a policy. */
export function isRevokedSince(
  policyAtStart: CompiledPolicy,
  identity: CallerIdentity,
  { policy, now }: SessionServices,
): boolean {
  const newest = policy();
  return newest !== undefined && newest !== policyAtStart && isRevoked(identity, newest.apiKeys, now());
}
