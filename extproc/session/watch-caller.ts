import type { CallerIdentity } from '../access/decide.ts';
import { isRevoked } from '../access/open-callers.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import type { RevocableStream, SessionServices } from './services.ts';

/**
 * Ends the stream when the credential of its caller is revoked or expires. Returns a function that
 * ends the watch. The policy may have changed since the session began with `policyAtStart`.
 */
export function watchCaller(
  stream: RevocableStream,
  identity: CallerIdentity,
  policyAtStart: CompiledPolicy,
  { openCallers, policy, now }: SessionServices,
): (() => void) | undefined {
  const unwatch = openCallers.add(stream, identity);
  const newest = policy();
  if (newest !== undefined && newest !== policyAtStart && isRevoked(identity, newest.apiKeys, now())) {
    stream.revoke();
  }
  return unwatch;
}
