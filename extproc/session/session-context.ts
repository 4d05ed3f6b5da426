/** What the sessions of a process share while a policy is in force. */
import type { CompiledPolicy } from '../policy/compile.ts';
import { isRevokedSince } from './revoked-since.ts';
import type { SessionServices } from './services.ts';
import type { SessionContext } from './state.ts';

/** The newest context of each process; in tests there are several. */
const newest = new WeakMap<SessionServices, SessionContext>();

/** Returns the context of sessions that begin with this policy, the same one for all of them. */
export function sessionContext(shared: SessionServices, policy: CompiledPolicy): SessionContext {
  let context = newest.get(shared);
  if (context?.policy !== policy) {
    context = contextOf(shared, policy);
    newest.set(shared, context);
  }
  return context;
}

function contextOf(shared: SessionServices, policy: CompiledPolicy): SessionContext {
  const { newId, traces, random, estimates, firstTokenTimes, newMeter, health, verifier, now } = shared;
  const { compares, plainErrors, isJudge } = shared;
  return {
    policy,
    verifier,
    newId,
    traces,
    random,
    estimates,
    newMeter,
    compares,
    plainErrors,
    isJudge,
    isRevoked: (identity) => isRevokedSince(policy, identity, shared),
    firstTokenTimes,
    restsUntil: (target, model) => health.restsUntil(target, model, now()),
  };
}
