/** Identifies callers of what the gateway itself serves, outside of the routes of a policy. */
import type { Caller } from '../caller.ts';
import { type Failure, isFailure } from '../errors.ts';
import type { HeaderList } from '../exchange.ts';
import type { CompiledAccessPolicy } from './compile.ts';
import { type AccessServices, type Authentication, authenticate, refusedAtHeaders } from './decide.ts';
import { Presented } from './presented.ts';

/** Without a caller where no access policy is in force. */
export type OwnCaller = { readonly caller: Caller | undefined } | Failure;

/**
 * Returns the caller as the first policy identifies it that lets it use anything. `among`: only
 * policies with these names count.
 */
export async function identifyCaller(
  inForce: readonly CompiledAccessPolicy[],
  headers: HeaderList,
  services: AccessServices,
  among?: readonly string[],
): Promise<OwnCaller> {
  const policies = inForce.filter(({ policy }) => among?.includes(policy.name) ?? true);
  if (policies.length === 0) {
    return { caller: undefined };
  }
  const presented = new Presented(headers, new Map());
  let problem: Failure | undefined;
  for (const policy of policies) {
    const identity = await authenticated(policy, presented, services);
    const refused = isFailure(identity) ? identity : refusedAtHeaders(identity, undefined);
    if (refused === undefined && !isFailure(identity)) {
      return { caller: identity.proven.caller };
    }
    // Whom a policy knows but does not allow anything learns this rather than of an unknown key.
    problem = problem?.status === 403 ? problem : refused;
  }
  return problem!;
}

async function authenticated(
  policy: CompiledAccessPolicy,
  presented: Presented,
  services: AccessServices,
): Promise<Exclude<Authentication, Promise<void>>> {
  for (;;) {
    const result = authenticate([policy], presented, services);
    if (!(result instanceof Promise)) {
      return result;
    }
    await result;
  }
}
