/** The policy kind AIQuotaPolicy: validates and compiles quotas. */
import { type ConditionFault, conditionFault } from '../../contract/condition.ts';
import { OWN_HEADER_PREFIX } from '../../contract/headers.ts';
import { KeyConditions } from '../../contract/key-condition.ts';
import { nanoUnits } from '../../contract/money.ts';
import type { KeyPart, Limit, Quota, Window } from '../../contract/policy.ts';
import { isTimeZone } from '../../contract/time-zone.ts';
import { compileWeight, WEIGHTED_UNITS, weightFault } from '../../contract/weight.ts';
import { type Condition, condition } from '../../crds/conditions.ts';
import type { AIQuotaPolicy } from '../../crds/kinds.ts';
import { journalLossDefaults, type QuotaSpec, storeLossDefaults } from '../../crds/quota-policy.ts';
import { durationMs } from '../../crds/schema.ts';
import { type AttachedPolicy, type PolicyKind, type PolicyNeighbours, policiesOf } from '../attachment/policy-kind.ts';
import type { TranslationContext } from '../context.ts';
import { type Diagnostics, type Subject, subject } from '../diagnostics.ts';
import { fullName } from '../object-names.ts';
import type { Webhook } from '../plan.ts';
import type { ProblemFields } from '../problem.ts';
import type { Located } from '../world.ts';
import { accessPolicyKind } from './access.ts';
import { policiesInUse } from './access-in-use.ts';
import { notifyConditions, webhooksOf } from './notify.ts';
import { type CompiledQuotas, hasBoundedSteps } from './quota-bounds.ts';
import type { LinkedVirtualHost } from './virtual-hosts.ts';

const PER_PROXY = 'each proxy pod of the Gateway counts separately: the limits apply per pod, not in total';
const IN_TOTAL = 'all proxy pods count in the shared quota store: the limits apply in total';

/** Pods commonly live longer than this. */
const LONG_WINDOW_MS = 3_600_000;

export const quotaPolicyKind: PolicyKind<Located<AIQuotaPolicy>, CompiledQuotas> = {
  kind: 'AIQuotaPolicy',
  affectedCondition: 'tallygate.dev/AIQuotaPolicyAffected',
  compile(policy, context) {
    const { diagnostics } = context;
    const { quotas = [], requestLimits = {} } = policy.spec;
    const about = subject('AIQuotaPolicy', policy);
    const valid = quotas.map((quota, index) => validateQuota(quota, index, about, diagnostics)).every(Boolean);
    const compiled = valid ? quotas.map((quota) => compileQuota(fullName(policy), quota)) : [];
    const bounded = valid && hasBoundedSteps(compiled, about, diagnostics);
    return {
      valid: bounded,
      compiled: { quotas: bounded ? compiled : [], requestLimits, webhooks: webhooksOf(policy, context) },
    };
  },
  statusNotes({ policy, compiled: { quotas } }, here, context) {
    const { mode } = context;
    const common = [...untrustedKey(policy, quotas, here), ...notifyConditions(policy, context)];
    if (mode.type === 'Standalone') {
      return { message: '', conditions: common };
    }
    if (mode.sharesQuotas) {
      return { message: quotas.length > 0 ? IN_TOTAL : '', conditions: common };
    }
    const long = longWindows(policy);
    const lost = `${long.join(', ')}: usage is stored in the proxy pod and lost with it, so a new pod (rollout, eviction, scale-up) starts with the full budget`;
    return {
      message: quotas.length > 0 ? PER_PROXY : '',
      conditions: [
        ...(long.length === 0
          ? []
          : [condition('tallygate.dev/BudgetEndsWithPod', 'LongWindow', lost, policy.metadata.generation)]),
        ...common,
      ],
    };
  },
};

/** Returns the webhooks of the policies that apply somewhere. */
export function webhooksInUse(
  virtualHosts: readonly LinkedVirtualHost[],
  policies: readonly AttachedPolicy[],
): readonly Webhook[] {
  return policiesOf(quotaPolicyKind, policiesInUse(virtualHosts, policies)).flatMap(
    ({ compiled }) => compiled.webhooks,
  );
}

/** Returns the quotas whose window may outlive a proxy pod. */
function longWindows({ spec }: AIQuotaPolicy): readonly string[] {
  return (spec.quotas ?? []).flatMap(
    ({ name, limit: { type }, window: { calendar, sliding } = { type: 'Lifetime' } }) => {
      const isShort =
        type === 'ConcurrentRequests' ||
        (sliding === undefined
          ? calendar?.unit === 'Minute' || calendar?.unit === 'Hour'
          : durationMs(sliding.duration) <= LONG_WINDOW_MS);
      return isShort ? [] : [name];
    },
  );
}

function validateQuota(quota: QuotaSpec, index: number, about: Subject, diagnostics: Diagnostics): boolean {
  const path = `spec.quotas[${index}]`;
  const zone = quota.window?.calendar?.timeZone;
  if (zone !== undefined && !isTimeZone(zone)) {
    diagnostics.error(about, {
      reason: 'Invalid',
      path: `${path}.window.calendar.timeZone`,
      message: `unknown time zone "${zone}"`,
      fix: 'use a name of the IANA time zone database, such as UTC or Europe/Vienna',
    });
    return false;
  }
  const reserved = (quota.key ?? []).findIndex((part) => part.header?.name.toLowerCase().startsWith(OWN_HEADER_PREFIX));
  if (reserved !== -1) {
    diagnostics.error(about, {
      reason: 'Invalid',
      path: `${path}.key[${reserved}].header.name`,
      message: `headers that start with ${OWN_HEADER_PREFIX} are reserved and removed from every request`,
      fix: 'use another header',
    });
    return false;
  }
  const { when, limit } = quota;
  const fault = when === undefined ? undefined : conditionFault(when);
  if (fault !== undefined) {
    diagnostics.error(about, expressionProblem(`${path}.when`, 'condition', fault));
  }
  const weightProblem = limit.weight === undefined ? undefined : weightFault(limit.weight);
  if (weightProblem !== undefined) {
    diagnostics.error(about, expressionProblem(`${path}.limit.weight`, 'weight', weightProblem));
  }
  return hasValidOverrides(quota, path, about, diagnostics) && fault === undefined && weightProblem === undefined;
}

function hasValidOverrides(quota: QuotaSpec, path: string, about: Subject, diagnostics: Diagnostics): boolean {
  const { key = [], overrides = [] } = quota;
  const conditions = overrides.length > 0 ? new KeyConditions(key.map(keyPart)) : undefined;
  const faults = overrides.map(({ when }, index) => {
    const fault = conditions?.fault(when);
    if (fault !== undefined) {
      diagnostics.error(about, expressionProblem(`${path}.overrides[${index}].when`, 'condition', fault));
    }
    return fault;
  });
  return faults.every((fault) => fault === undefined);
}

function expressionProblem(
  path: string,
  name: 'condition' | 'weight',
  { message, fix, position }: ConditionFault,
): ProblemFields {
  const place = position === undefined ? '' : ` (character ${position})`;
  return { reason: 'Invalid', path, message: `the ${name} ${message}${place}`, fix };
}

function compileQuota(policy: string, quota: QuotaSpec): Quota {
  return {
    id: `${policy}/${quota.name}`,
    limit: limitOf(quota),
    window: windowOf(quota),
    key: (quota.key ?? []).map(keyPart),
    ...(quota.when !== undefined && { when: quota.when }),
    ...(quota.alertAt && { alertAt: quota.alertAt.toSorted((one, other) => one - other) }),
    ...(quota.overrides && {
      overrides: quota.overrides.map(({ when, amount }) => ({ when, amount: unitsOf(amount, quota) })),
    }),
    onMissingKey: quota.onMissingKey,
    mode: quota.mode,
    queueTimeoutMs: durationMs(quota.queueTimeout),
    unbounded: quota.unbounded,
    onJournalLoss: quota.onJournalLoss ?? journalLossDefaults[quota.limit.type],
    onStoreLoss: quota.onStoreLoss ?? storeLossDefaults[quota.limit.type],
    unmetered: quota.unmetered,
    onAbandon: quota.onAbandon,
  };
}

function limitOf(quota: QuotaSpec): Limit {
  const { limit, unpriced } = quota;
  const { type, currency = '', weight = '' } = limit;
  const amount = unitsOf(limit.amount, quota);
  switch (type) {
    case 'Cost':
      return { type, amount, currency, unpriced };
    case 'WeightedTokens':
      return { type, amount, weight: compileWeight(weight) };
    default:
      return { type, amount };
  }
}

function unitsOf(amount: number | string, { limit: { type } }: QuotaSpec): number {
  switch (type) {
    case 'Cost':
      return nanoUnits(String(amount));
    case 'WeightedTokens':
      return Number(amount) * WEIGHTED_UNITS;
    default:
      return Number(amount);
  }
}

function keyPart({ type, header, claim }: NonNullable<QuotaSpec['key']>[number]): KeyPart {
  switch (type) {
    case 'Header':
      return { type, name: (header?.name ?? '').toLowerCase() };
    case 'Claim':
      return { type, claim: claim?.name ?? '' };
    default:
      return { type };
  }
}

const identityParts: readonly KeyPart['type'][] = ['Tenant', 'User', 'Group', 'APIKey', 'Claim'];

/** Returns the names of quotas with such a part in their key. */
function keyedBy(quotas: readonly Quota[], types: readonly KeyPart['type'][]): readonly string[] {
  return quotas
    .filter(({ key }) => key.some(({ type }) => types.includes(type)))
    .map(({ id }) => id.slice(id.lastIndexOf('/') + 1));
}

/** Returns the condition of a policy whose keys are chosen by clients, or undefined, at a place. */
function untrustedKey(policy: AIQuotaPolicy, quotas: readonly Quota[], here: PolicyNeighbours): readonly Condition[] {
  const [free, undefinedKeys] = [keyedBy(quotas, ['Header']), keyedBy(quotas, identityParts)];
  const { generation } = policy.metadata;
  const type = 'tallygate.dev/UntrustedKey';
  if (undefinedKeys.length > 0 && here.some((policies) => !isIdentified(policies))) {
    const message = `${undefinedKeys.join(', ')}: ${NOT_IDENTIFIED}`;
    return [condition(type, 'NotIdentified', message, generation)];
  }
  const inner = here.map((policies) => innerIdentifier(policy, policies)).find((each) => each !== undefined);
  if (undefinedKeys.length > 0 && inner !== undefined) {
    const message = `${undefinedKeys.join(', ')}: AIAccessPolicy ${inner.name} of another namespace identifies callers, so its author can choose whose budget they use`;
    return [condition(type, 'OtherNamespace', message, generation)];
  }
  if (free.length > 0 && here.some((policies) => policiesOf(accessPolicyKind, policies).length === 0)) {
    const message = `${free.join(', ')}: clients choose the header of the key, because no AIAccessPolicy applies`;
    return [condition(type, 'ClientControlled', message, generation)];
  }
  return [];
}

/**
 * Returns the policy that identifies callers at a place if the author of a quota there may not
 * trust it: it is nearer to the rule, and of another namespace.
 */
function innerIdentifier(quotaPolicy: AIQuotaPolicy, policies: readonly AttachedPolicy[]): AttachedPolicy | undefined {
  const identifier = policiesOf(accessPolicyKind, policies).find(
    ({ compiled }) => compiled.policy.authenticators.length > 0,
  );
  const place = policies.findIndex(({ policy }) => policy === quotaPolicy);
  const isInner = identifier !== undefined && policies.indexOf(identifier) > place;
  return isInner && identifier.policy.metadata.namespace !== quotaPolicy.metadata.namespace ? identifier : undefined;
}

const NOT_IDENTIFIED = 'no AIAccessPolicy identifies callers, so every request lacks this part of the key';

function isIdentified(policies: readonly AttachedPolicy[]): boolean {
  return policiesOf(accessPolicyKind, policies).some(
    ({ valid, compiled }) => !valid || compiled.policy.authenticators.length > 0,
  );
}

/** Warns about quotas per caller where no access policy identifies callers. */
export function reportUnidentifiedKeys(
  policies: readonly AttachedPolicy[],
  virtualHosts: readonly LinkedVirtualHost[],
  { diagnostics }: TranslationContext,
): void {
  const open = new Set(
    virtualHosts
      .flatMap(({ rules, passthrough }) => [...rules, ...passthrough])
      .flatMap((place) => (isIdentified(place.policies) ? [] : place.policies)),
  );
  for (const { policy, compiled } of policiesOf(quotaPolicyKind, policies).filter((each) => open.has(each))) {
    (policy.spec.quotas ?? []).forEach(({ name }, index) => {
      if (keyedBy(compiled.quotas, identityParts).includes(name)) {
        diagnostics.warning(subject('AIQuotaPolicy', policy), {
          reason: 'NotIdentified',
          path: `spec.quotas[${index}].key`,
          message: NOT_IDENTIFIED,
          fix: 'attach an AIAccessPolicy with `authenticate`, or use another key',
        });
      }
    });
  }
}

function windowOf({ window }: QuotaSpec): Window {
  if (window === undefined) {
    return { type: 'None' };
  }
  if (window.calendar !== undefined) {
    return { type: 'Calendar', ...window.calendar };
  }
  if (window.sliding !== undefined) {
    return { type: 'Sliding', durationMs: durationMs(window.sliding.duration) };
  }
  return { type: 'Lifetime' };
}
