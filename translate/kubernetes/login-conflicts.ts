/**
 * Finds users' SecurityPolicies that a browser login would weaken. Envoy Gateway merges the
 * generated policy of the login into the user's policy on the Gateway or listener. The generated
 * policy wins: it replaces the providers of `jwt`, sets its `failOpen`, and changes the login.
 */
import { type Condition, condition } from '../../crds/conditions.ts';
import { accessWithLogin } from '../link/access-in-use.ts';
import type { GatewayListener } from '../link/listeners.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import { compare, fullName } from '../object-names.ts';
import type { ObjectStatus } from '../plan.ts';
import { entryNamespace } from './entry-namespace.ts';
import { type UserPolicyContext, userSecurityPolicies } from './user-policies.ts';

/** Sections with what the generated policy has, too. */
const replacedSections = ['jwt', 'oidc'] as const;

/**
 * Sections that name objects. Envoy Gateway looks them up in the namespace of the merged policy,
 * which is that of the entry route.
 */
const sectionsWithReferences = ['basicAuth', 'apiKeyAuth', 'extAuth'] as const;

interface LoginConflict {
  /** `NAMESPACE/NAME` of the SecurityPolicy. */
  readonly policy: string;
  readonly section: string;
}

/** Looks for a conflict with a login whose policy is in `namespace`. */
export function loginConflict(
  listener: GatewayListener,
  namespace: string,
  context: UserPolicyContext,
): LoginConflict | undefined {
  for (const policy of userSecurityPolicies(listener, context)) {
    const isMoved = policy.metadata.namespace !== namespace;
    const sections = isMoved ? [...replacedSections, ...sectionsWithReferences] : replacedSections;
    const section = sections.find((each) => policy.spec[each] !== undefined);
    if (section !== undefined) {
      return { policy: fullName(policy), section };
    }
  }
  return undefined;
}

/** Adds a warning to the status of each access policy whose login is left out. */
export function withLogins(
  statuses: readonly ObjectStatus[],
  virtualHosts: readonly LinkedVirtualHost[],
  context: UserPolicyContext,
): readonly ObjectStatus[] {
  /** Keys `POLICY GATEWAY`. */
  const messages = new Map<string, Set<string>>();
  for (const virtualHost of virtualHosts) {
    const { listener } = virtualHost;
    const access = accessWithLogin(virtualHost);
    const conflict = access && loginConflict(listener, entryNamespace(virtualHost, context.mode), context);
    if (access !== undefined && conflict !== undefined) {
      const key = `${access.policy.name} ${fullName(listener.gateway)}`;
      messages.set(key, (messages.get(key) ?? new Set()).add(sentence(listener, conflict)));
    }
  }
  if (messages.size === 0) {
    return statuses;
  }
  return statuses.map((status): ObjectStatus => {
    const { kind, namespace, name } = status.object;
    if (kind !== 'AIAccessPolicy' || status.ancestors === undefined) {
      return status;
    }
    return {
      ...status,
      ancestors: status.ancestors.map((ancestor) => {
        const { ancestorRef, conditions } = ancestor;
        const found = messages.get(`${namespace}/${name} ${ancestorRef.namespace}/${ancestorRef.name}`);
        return found === undefined
          ? ancestor
          : { ...ancestor, conditions: [...conditions, warning([...found], conditions)] };
      }),
    };
  });
}

function sentence({ spec }: GatewayListener, { policy, section }: LoginConflict): string {
  return `browsers cannot log in on listener ${spec.name}, because the login would weaken \`${section}\` of SecurityPolicy ${policy}`;
}

function warning(sentences: readonly string[], conditions: readonly Condition[]): Condition {
  const accepted = conditions.find(({ type }) => type === 'Accepted');
  const fix = 'fix: remove the section there, or the OIDC entry here';
  const message = [...sentences.toSorted(compare), fix].join('; ');
  return condition('tallygate.dev/LoginDisabled', 'WouldWeakenUsersPolicy', message, accepted?.observedGeneration);
}
