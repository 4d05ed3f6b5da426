/** Quota policies: compiled, and joined with the Gateways, routes and rules that they hold for. */
import { OWN_HEADER_PREFIX } from '../contract/headers.ts';
import type { KeyPart, Quota, Window } from '../contract/policy.ts';
import type { AIQuotaPolicy } from '../crds/kinds.ts';
import type { QuotaPolicySpec, QuotaSpec } from '../crds/quota-policy.ts';
import { durationMs } from '../crds/schema.ts';
import { absence, type Catalog } from './catalog.ts';
import type { Door } from './doors.ts';
import { compare, fullName, type Report, type Subject, subject } from './report.ts';
import type { LinkedRoute } from './routes.ts';
import type { Located } from './world.ts';

export interface LinkedPolicy {
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  readonly policy: Located<AIQuotaPolicy>;
  readonly quotas: readonly Quota[];
  readonly requestLimits: NonNullable<QuotaPolicySpec['requestLimits']>;
  /** False: a quota cannot be carried out. What it should limit is closed, for an unlimited request is the worse fault. */
  readonly valid: boolean;
  readonly targets: readonly PolicyTarget[];
}

export interface PolicyTarget {
  readonly index: number;
  readonly kind: 'Gateway' | 'AIGatewayRoute';
  /** `NAMESPACE/NAME`. */
  readonly name: string;
  /** A listener or a rule. */
  readonly section?: string;
  readonly exists: boolean;
}

export function linkPolicies(
  policies: readonly Located<AIQuotaPolicy>[],
  doors: readonly Door[],
  routes: readonly LinkedRoute[],
  catalog: Catalog,
  report: Report,
): readonly LinkedPolicy[] {
  return policies
    .toSorted((left, right) => compare(fullName(left), fullName(right)))
    .map((policy) => {
      const name = fullName(policy);
      const about = subject('AIQuotaPolicy', policy);
      const valid = (policy.spec.quotas ?? []).map((quota, index) => sound(quota, index, about, report)).every(Boolean);
      return {
        name,
        policy,
        valid,
        quotas: valid ? (policy.spec.quotas ?? []).map((quota) => compiled(name, quota)) : [],
        requestLimits: policy.spec.requestLimits ?? {},
        targets: targetsOf(policy, about, doors, routes, catalog, report),
      };
    });
}

/** The targets of a policy that include this rule at this door; without a rule: what holds for the whole route. */
export function holdingTargets(
  policy: LinkedPolicy,
  door: Door,
  route: string,
  rule: string | undefined,
): readonly PolicyTarget[] {
  return policy.targets.filter(({ kind, name, section }) =>
    kind === 'Gateway'
      ? name === fullName(door.gateway) && (section === undefined || section === door.listener.name)
      : name === route && (section === undefined || section === rule),
  );
}

function targetsOf(
  policy: Located<AIQuotaPolicy>,
  about: Subject,
  doors: readonly Door[],
  routes: readonly LinkedRoute[],
  catalog: Catalog,
  report: Report,
): readonly PolicyTarget[] {
  return policy.spec.targetRefs.map(({ kind, name: bare, sectionName }, index) => {
    const name = `${policy.metadata.namespace}/${bare}`;
    const sections =
      kind === 'Gateway'
        ? doors.filter((door) => fullName(door.gateway) === name).map((door) => door.listener.name)
        : routes.filter((route) => route.name === name).flatMap((route) => route.rules.map(({ rule }) => rule.name));
    const exists = sections.length > 0 && (sectionName === undefined || sections.includes(sectionName));
    if (!exists) {
      const target = `spec.targetRefs[${index}]`;
      const found =
        sections.length === 0
          ? { path: `${target}.name`, ...absence(catalog, kind, policy.metadata.namespace, bare) }
          : {
              path: `${target}.sectionName`,
              message: `${kind} ${name} has no ${sectionWord[kind]} ${sectionName}`,
              fix: `use one of ${[...new Set(sections)].join(', ')}`,
            };
      report.error(about, {
        ...found,
        reason: 'TargetNotFound',
        message: `${found.message}, so the policy has no effect there`,
      });
    }
    return { index, kind, name, ...(sectionName !== undefined && { section: sectionName }), exists };
  });
}

const sectionWord = { Gateway: 'listener', AIGatewayRoute: 'rule' } as const;

function sound(quota: QuotaSpec, index: number, about: Subject, report: Report): boolean {
  const path = `spec.quotas[${index}]`;
  const zone = quota.window.calendar?.timeZone;
  if (zone !== undefined && !isTimeZone(zone)) {
    report.error(about, {
      reason: 'Invalid',
      path: `${path}.window.calendar.timeZone`,
      message: `unknown time zone "${zone}"`,
      fix: 'use a name of the IANA time zone database, such as UTC or Europe/Vienna',
    });
    return false;
  }
  const own = (quota.key ?? []).findIndex((part) => part.header?.name.toLowerCase().startsWith(OWN_HEADER_PREFIX));
  if (own !== -1) {
    const message = `headers that start with ${OWN_HEADER_PREFIX} are reserved and removed from every request`;
    report.error(about, {
      reason: 'Invalid',
      path: `${path}.key[${own}].header.name`,
      message,
      fix: 'use another header',
    });
    return false;
  }
  return true;
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function compiled(policy: string, quota: QuotaSpec): Quota {
  return {
    id: `${policy}/${quota.name}`,
    limit: quota.limit,
    window: windowOf(quota),
    key: (quota.key ?? []).map((part): KeyPart => {
      if (part.header !== undefined) {
        return { type: 'Header', name: part.header.name.toLowerCase() };
      }
      return { type: part.type === 'Model' ? 'Model' : 'Route' };
    }),
    onMissingKey: quota.onMissingKey,
    mode: quota.mode,
    queueTimeoutMs: durationMs(quota.queueTimeout),
    unbounded: quota.unbounded,
    onJournalLoss: quota.onJournalLoss ?? (quota.limit.type === 'Requests' ? 'FailOpen' : 'FailClosed'),
    unmetered: quota.unmetered,
    onAbandon: quota.onAbandon,
  };
}

function windowOf({ window }: QuotaSpec): Window {
  if (window.calendar !== undefined) {
    return { type: 'Calendar', ...window.calendar };
  }
  if (window.sliding !== undefined) {
    return { type: 'Sliding', durationMs: durationMs(window.sliding.duration) };
  }
  return { type: 'Lifetime' };
}
