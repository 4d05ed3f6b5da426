/**
 * Every condition that Tallygate writes, with its closed set of reasons and a sentence for each;
 * docs/reference/conditions.md is generated from it. Types and reasons are public API: scripts wait
 * for them.
 */

interface ReasonDefinition {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly description: string;
}

export interface ConditionDefinition {
  /** The kinds, and the part of their status, that have the condition. */
  readonly on: readonly string[];
  readonly description: string;
  readonly reasons: Readonly<Record<string, ReasonDefinition>>;
}

const isTrue = (description: string) => ({ status: 'True', description }) as const;
const isFalse = (description: string) => ({ status: 'False', description }) as const;
const isUnknown = (description: string) => ({ status: 'Unknown', description }) as const;

export const conditions = {
  Accepted: {
    on: [
      'AIGatewayRoute (each parent)',
      'AIBackend',
      'AIQuotaPolicy (each ancestor)',
      'AIAccessPolicy (each ancestor)',
      'AIGuardrailPolicy (each ancestor)',
      'AIContentPolicy (each ancestor)',
    ],
    description: 'The object is valid and part of the configuration.',
    reasons: {
      Accepted: isTrue('The whole object is part of the configuration.'),
      Invalid: isFalse('A value is not allowed; nothing of the object is configured.'),
      Unsupported: isFalse('Tallygate does not support what the object asks for.'),
      DestinationNotAllowed: isFalse(
        'The endpoint is not an allowed destination: the proxy itself, a metadata service, or another name inside the cluster.',
      ),
      NoMatchingParent: isFalse('The Gateway, listener or port of the parentRef does not exist.'),
      NotAllowedByListeners: isFalse('No listener of the Gateway allows routes from this namespace.'),
      NoMatchingListenerHostname: isFalse('No host name of the route matches a listener.'),
      PolicyTooLarge: isFalse(
        "The route would exceed its namespace's share of the proxy policy; older routes are still served.",
      ),
      TargetNotFound: isFalse(
        'The target of the policy, or its section, does not exist; the policy has no effect there.',
      ),
      NoEffect: isFalse('The target exists, but no backend serves a rule there; the policy has no effect.'),
    },
  },
  ResolvedRefs: {
    on: [
      'AIGatewayRoute (each parent)',
      'AIBackend',
      'AIQuotaPolicy (each ancestor, with `notify`)',
      'AIAccessPolicy (each ancestor)',
      'AIGuardrailPolicy (each ancestor)',
    ],
    description: 'Every object that this one refers to exists, is permitted and is usable.',
    reasons: {
      ResolvedRefs: isTrue('All references are resolved.'),
      RefNotPermitted: isFalse('A reference to another namespace is not permitted by a ReferenceGrant there.'),
      BackendNotFound: isFalse('A rule refers to an AIBackend that does not exist.'),
      BackendNotReady: isFalse('A rule refers to an AIBackend that is not accepted or has unresolved references.'),
      BackendNotAllowed: isFalse("The listener does not allow HTTPRoutes from an AIBackend's namespace."),
      ServiceNotFound: isFalse('The Service does not exist.'),
      SecretNotFound: isFalse('The Secret or ConfigMap does not exist.'),
      InvalidSecret: isFalse('The key is missing in the Secret or ConfigMap, or its value is not usable.'),
      DestinationNotAllowed: isFalse('A webhook or the service of a detector is not an allowed destination.'),
      KeysNotFetched: isFalse(
        'The public keys of an issuer are not fetched; the message says whether earlier ones are in use.',
      ),
      IdentityNotAllowed: isFalse(
        "The credential is the gateway's own identity in a cloud, which the operator does not allow for the namespace, or which may not be sent to the endpoint.",
      ),
      TokenNotFetched: isFalse(
        'The token of a cloud is not fetched; the message says whether an earlier one is in use.',
      ),
      NoKeySelected: isFalse('No Secret with a usable API key has the labels of the selector.'),
      DuplicateKey: isFalse('A selected Secret has the API key of an older Secret and is not used.'),
      InvalidKey: isFalse('A selected Secret has no usable API key.'),
    },
  },
  Conflicted: {
    on: ['AIGatewayRoute (each parent)'],
    description: 'Another rule with the same host name, model and headers takes precedence.',
    reasons: {
      NoConflicts: isFalse('Every rule is served.'),
      RulesOverlap: isTrue('Another rule, of an older route or of a route that sorts first, serves a model of a rule.'),
    },
  },
  Programmed: {
    on: [
      'AIGatewayRoute (each parent)',
      'AIQuotaPolicy (each ancestor)',
      'AIAccessPolicy (each ancestor)',
      'AIGuardrailPolicy (each ancestor)',
      'AIContentPolicy (each ancestor)',
    ],
    description:
      'The sidecar of every ready proxy pod of the Gateway has applied the current state of the object. Only in a cluster.',
    reasons: {
      Programmed: isTrue('All sidecars have acknowledged it.'),
      Pending: isFalse('At least one sidecar has not acknowledged it yet.'),
      NoSidecar: isFalse('A proxy pod of the Gateway has no sidecar.'),
      Refused: isFalse('A sidecar refused the policy; the message has the cause.'),
      PolicyTooLarge: isFalse('The policy of a proxy is too large to be sent; an older one stays in force.'),
      NoProxies: isUnknown('The Gateway has no ready proxy pod.'),
    },
  },
  Enforcing: {
    on: [
      'AIGatewayRoute (each parent)',
      'AIQuotaPolicy (each ancestor)',
      'AIAccessPolicy (each ancestor)',
      'AIGuardrailPolicy (each ancestor)',
      'AIContentPolicy (each ancestor)',
    ],
    description:
      "The configuration of every proxy's Envoy was verified: it sends each request of the object through Tallygate. Only in a cluster.",
    reasons: {
      Enforcing: isTrue('The listeners and routes of all proxies have the filter.'),
      FilterMissing: isFalse(
        'A listener, or one of its generated routes, does not have the filter: requests pass uncounted.',
      ),
      RouteMissing: isFalse('Envoy does not have a generated route.'),
      Overridden: isFalse('Another Envoy Gateway policy overrides a generated one; the message names the place.'),
      NotAccepted: isFalse('Envoy Gateway did not accept an object that was generated for this one.'),
      NotEnforceable: isFalse(
        "A user's policy on a generated route is accepted by Envoy Gateway but has no effect, because Envoy selects the route twice; the message names the policy.",
      ),
      QuotaStoreLost: isFalse(
        'A proxy does not reach the shared quota store; the message says what `onStoreLoss` of the quotas means meanwhile.',
      ),
      SecretsWithheld: isFalse(
        'A proxy does not get the secrets that its guardrails need for their services; the message says why.',
      ),
      DestinationNotConfigured: isFalse(
        'A proxy does not have a destination that the content policy names; the content for it is dropped.',
      ),
      Pending: isUnknown('The configuration has not been verified yet.'),
      NoProxies: isUnknown('The Gateway has no ready proxy pod.'),
    },
  },
  Healthy: {
    on: ['AIBackend'],
    description:
      'Whether proxies leave the backend out because of its responses (passive health checks). Changes at most every 10 seconds. Only in a cluster.',
    reasons: {
      Healthy: isTrue('No proxy leaves the backend out.'),
      Resting: isFalse(
        'A proxy leaves the backend out; the message says for which model or rule, until when, and why: a cause of `failover.on`, `RateLimitSpent` (a response spent the last of a rate limit), or `OutlierDetection` (three failures in a row).',
      ),
      NotObserved: isUnknown('No connected proxy serves the backend.'),
    },
  },
  'tallygate.dev/AIQuotaPolicyAffected': {
    on: ['AIGatewayRoute (each parent)'],
    description: 'Quota policies apply to the route.',
    reasons: {
      PolicyAffected: isTrue(
        'A policy of this kind applies to at least one rule of the route; the message names the policies.',
      ),
    },
  },
  'tallygate.dev/AIAccessPolicyAffected': {
    on: ['AIGatewayRoute (each parent)'],
    description: 'Access policies apply to the route.',
    reasons: {
      PolicyAffected: isTrue(
        'A policy of this kind applies to at least one rule of the route; the message names the policies.',
      ),
    },
  },
  'tallygate.dev/AIGuardrailPolicyAffected': {
    on: ['AIGatewayRoute (each parent)'],
    description: 'Guardrail policies apply to the route.',
    reasons: {
      PolicyAffected: isTrue(
        'A policy of this kind applies to at least one rule of the route; the message names the policies.',
      ),
    },
  },
  'tallygate.dev/AIContentPolicyAffected': {
    on: ['AIGatewayRoute (each parent)'],
    description: 'Content policies apply to the route.',
    reasons: {
      PolicyAffected: isTrue(
        'A policy of this kind applies to at least one rule of the route; the message names the policies.',
      ),
    },
  },
  'tallygate.dev/UntrustedKey': {
    on: ['AIQuotaPolicy (each ancestor)'],
    description: 'The key of a quota does not identify its caller. Absent: there is no such quota.',
    reasons: {
      ClientControlled: isTrue(
        'The key is a header, and no access policy applies: a client can use the budget of another.',
      ),
      OtherNamespace: isTrue(
        'The key is an identity, and an inner access policy of another namespace identifies callers: its author can choose whose budget they use.',
      ),
      NotIdentified: isTrue(
        'The key is an identity (Tenant, User, Group, APIKey, Claim), and no access policy identifies callers.',
      ),
    },
  },
  'tallygate.dev/ProcessorReplaced': {
    on: ['AIGatewayRoute (each parent)'],
    description:
      "The Gateway's other external processors are not called for the route. Absent: there are none. Only in a cluster.",
    reasons: {
      ReplacedByTallygate: isTrue(
        "Envoy Gateway uses Tallygate's `extProc` instead of that of an EnvoyExtensionPolicy on the Gateway; the message names the policy and the fix.",
      ),
    },
  },
  'tallygate.dev/RetriesNotCounted': {
    on: ['AIGatewayRoute (each parent)'],
    description: 'A provider may bill more requests than quotas count. Absent: no such policy. Only in a cluster.',
    reasons: {
      RetriedByUsersPolicy: isTrue(
        'A BackendTrafficPolicy on the Gateway retries requests that a provider may have started to respond; the message has the fix.',
      ),
    },
  },
  'tallygate.dev/FailoverWithinRequest': {
    on: ['AIGatewayRoute (each parent)'],
    description:
      "Whether a request goes on to the next backend itself, in every rule with `failover`. Otherwise, the client's own retry reaches it. Absent: no rule has `failover` and several backends. Only in a cluster.",
    reasons: {
      Patched: isTrue('Envoy Gateway has applied the generated EnvoyPatchPolicies.'),
      PatchesDisabled: isFalse(
        'Envoy Gateway does not allow EnvoyPatchPolicies (`extensionApis.enableEnvoyPatchPolicy`).',
      ),
      PatchesUnavailable: isFalse(
        'The cluster does not have EnvoyPatchPolicies, or the controller may not list them; the message has the fix.',
      ),
      PatchRefused: isFalse('Envoy Gateway could not apply an EnvoyPatchPolicy; the message has the cause.'),
      Pending: isUnknown('Envoy Gateway has not applied the EnvoyPatchPolicies yet.'),
    },
  },
  'tallygate.dev/LoginDisabled': {
    on: ['AIAccessPolicy (each ancestor)'],
    description: 'Browsers cannot log in on a listener of the Gateway. Absent: they can. Only in a cluster.',
    reasons: {
      WouldWeakenUsersPolicy: isTrue(
        'The login would weaken a SecurityPolicy on the Gateway or its listener; the message names it and the fix.',
      ),
    },
  },
  'tallygate.dev/BudgetEndsWithPod': {
    on: ['AIQuotaPolicy (each ancestor)'],
    description:
      'Usage is lost with the proxy pod that counted it. Absent: no window is longer than an hour, or there is a shared quota store. Only in a cluster.',
    reasons: {
      LongWindow: isTrue(
        'At least one quota has a window of more than an hour, and each proxy pod counts separately; the message names the quotas.',
      ),
    },
  },
} as const satisfies Readonly<Record<string, ConditionDefinition>>;

/** The conditions that report a fault when they are True. */
export const badIfTrue: ReadonlySet<ConditionType> = new Set([
  'Conflicted',
  'tallygate.dev/ProcessorReplaced',
  'tallygate.dev/RetriesNotCounted',
  'tallygate.dev/LoginDisabled',
  'tallygate.dev/BudgetEndsWithPod',
  'tallygate.dev/UntrustedKey',
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

/** Keeps status lists within the size of an object. */
const MAX_MESSAGE_CHARACTERS = 2048;

/** Builds a condition; the status follows from the reason. Truncates long messages. */
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
    message: message.length > MAX_MESSAGE_CHARACTERS ? `${message.slice(0, MAX_MESSAGE_CHARACTERS - 1)}…` : message,
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
  };
}
