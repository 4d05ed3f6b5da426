/**
 * Every condition that Tallygate writes, with its closed set of reasons and one sentence each; docs/reference/conditions.md is made from it.
 * Types and reasons are public API: scripts wait for them.
 */

interface Reason {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly says: string;
}

export interface ConditionDefinition {
  readonly on: readonly string[];
  readonly says: string;
  readonly reasons: Readonly<Record<string, Reason>>;
}

const yes = (says: string) => ({ status: 'True', says }) as const;
const no = (says: string) => ({ status: 'False', says }) as const;
const unknown = (says: string) => ({ status: 'Unknown', says }) as const;

export const conditions = {
  Accepted: {
    on: ['AIGatewayRoute (each parent)', 'AIBackend', 'AIQuotaPolicy (each ancestor)'],
    says: 'The object is understood and taken into the configuration.',
    reasons: {
      Accepted: yes('All of it is in the configuration.'),
      Invalid: no('A value is not allowed; nothing of the object is in the configuration.'),
      Unsupported: no('This program cannot do what the object asks for.'),
      DestinationNotAllowed: no(
        'The endpoint leads to where no AIBackend may lead: to the proxy itself, a metadata service, or other names inside the cluster.',
      ),
      NoMatchingParent: no('The Gateway, listener or port of the parentRef does not exist.'),
      NotAllowedByListeners: no('No listener of the Gateway allows routes of this namespace.'),
      NoMatchingListenerHostname: no('No host name of the route is one of the listeners.'),
      PolicyTooLarge: no(
        'With this route its namespace would take more of the proxies than one namespace may; older routes are served.',
      ),
      TargetNotFound: no('The target of the policy, or its section, does not exist; the policy limits nothing there.'),
      NothingToLimit: no('The target exists, but no backend serves a rule there; the policy limits nothing.'),
    },
  },
  ResolvedRefs: {
    on: ['AIGatewayRoute (each parent)', 'AIBackend'],
    says: 'Every object that this one refers to exists, may be used, and can be used.',
    reasons: {
      ResolvedRefs: yes('All references are resolved.'),
      RefNotPermitted: no('An object of another namespace is referred to, and no ReferenceGrant there allows it.'),
      BackendNotFound: no('An AIBackend that a rule names does not exist.'),
      BackendNotReady: no('An AIBackend that a rule names is not accepted, or its own references are not resolved.'),
      BackendNotAllowed: no('No HTTPRoute of the namespace of an AIBackend may attach to the listener.'),
      ServiceNotFound: no('The Service does not exist.'),
      SecretNotFound: no('The Secret or ConfigMap does not exist.'),
      InvalidSecret: no('The Secret or ConfigMap has no such key, or its value cannot be used.'),
    },
  },
  Conflicted: {
    on: ['AIGatewayRoute (each parent)'],
    says: 'Another rule with the same host name, model and headers comes first.',
    reasons: {
      NoConflicts: no('Every rule is served.'),
      RulesOverlap: yes(
        'At least one model of a rule is served by another rule, because that one is older or its name comes first.',
      ),
    },
  },
  Programmed: {
    on: ['AIGatewayRoute (each parent)', 'AIQuotaPolicy (each ancestor)'],
    says: 'Every ready proxy pod of the Gateway has a sidecar that works by this state of the object. Only in a cluster.',
    reasons: {
      Programmed: yes('All sidecars have acknowledged it.'),
      Pending: no('Sidecars have not acknowledged it yet.'),
      NoSidecar: no('A proxy pod of the Gateway has no sidecar.'),
      Refused: no('A sidecar has refused the policy; the message says why.'),
      NoProxies: unknown('The Gateway has no ready proxy pod.'),
    },
  },
  Enforcing: {
    on: ['AIGatewayRoute (each parent)', 'AIQuotaPolicy (each ancestor)'],
    says: "Each proxy's own Envoy was seen to lead every request of the object through Tallygate. Only in a cluster.",
    reasons: {
      Enforcing: yes('Listeners and routes of all proxies were seen to carry the filter.'),
      FilterMissing: no('A listener, or a route of ours on it, does not carry the filter: requests pass uncounted.'),
      RouteMissing: no('Envoy does not have a route of ours.'),
      Overridden: no('Another policy of Envoy Gateway pushes ours aside; the message says where.'),
      NotAccepted: no('Envoy Gateway has not accepted an object that was written for this one.'),
      NotEnforceable: no(
        "A user's policy on a generated route is accepted by Envoy Gateway, but is not in force there, because routes are chosen twice; the message names it.",
      ),
      Pending: unknown('It has not been seen yet.'),
      NoProxies: unknown('The Gateway has no ready proxy pod.'),
    },
  },
  'tallygate.dev/AIQuotaPolicyAffected': {
    on: ['AIGatewayRoute (each parent)'],
    says: 'Quota policies hold for the route.',
    reasons: {
      PolicyAffected: yes('At least one rule of the route is limited by a policy; the message names the policies.'),
    },
  },
  'tallygate.dev/ProcessorReplaced': {
    on: ['AIGatewayRoute (each parent)'],
    says: 'Processors of your own on the Gateway are not called for the route. Absent: there are none. Only in a cluster.',
    reasons: {
      ReplacedByTallygate: yes(
        "Envoy Gateway takes Tallygate's `extProc` in the place of the one of an EnvoyExtensionPolicy on the Gateway; the message names it, and the fix.",
      ),
    },
  },
  'tallygate.dev/RetriesNotCounted': {
    on: ['AIGatewayRoute (each parent)'],
    says: 'A provider may bill more requests than quotas count. Absent: none of this kind. Only in a cluster.',
    reasons: {
      RetriedByUsersPolicy: yes(
        'A BackendTrafficPolicy on the Gateway retries what a provider may have begun to answer; the message names it, and the fix.',
      ),
    },
  },
  'tallygate.dev/BudgetEndsWithPod': {
    on: ['AIQuotaPolicy (each ancestor)'],
    says: 'What is spent of a budget is forgotten with the proxy pod that counted it. Absent: no window is longer than an hour. Only in a cluster.',
    reasons: {
      LongWindow: yes(
        'At least one quota has a window of more than an hour, and each proxy pod keeps its own account of it; the message names the quotas.',
      ),
    },
  },
} as const satisfies Readonly<Record<string, ConditionDefinition>>;

/** Those whose True is bad news. */
export const badIfTrue: ReadonlySet<ConditionType> = new Set([
  'Conflicted',
  'tallygate.dev/ProcessorReplaced',
  'tallygate.dev/RetriesNotCounted',
  'tallygate.dev/BudgetEndsWithPod',
]);

export type ConditionType = keyof typeof conditions;

/** The reasons of one condition type. */
export type ReasonOf<T extends ConditionType> = keyof (typeof conditions)[T]['reasons'] & string;

export type ConditionReason = { [T in ConditionType]: ReasonOf<T> }[ConditionType];

export interface Condition {
  readonly type: ConditionType;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: ConditionReason;
  readonly message: string;
  readonly observedGeneration?: number;
}

const longestMessage = 2048;

/** A condition whose status follows from its reason. Messages are cut at a length that status lists can bear. */
export function condition<T extends ConditionType>(
  type: T,
  reason: ReasonOf<T>,
  message: string,
  observedGeneration: number | undefined,
): Condition {
  const definition: ConditionDefinition = conditions[type];
  const status = definition.reasons[reason]?.status ?? 'False';
  return {
    type,
    status,
    reason: reason as ConditionReason,
    message: message.length > longestMessage ? `${message.slice(0, longestMessage - 1)}…` : message,
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
  };
}
