/** The policy kind AIQuotaPolicy: validates and compiles quotas. */
import { OWN_HEADER_PREFIX } from '../../contract/headers.ts';
import type { KeyPart, Quota, Window } from '../../contract/policy.ts';
import { condition } from '../../crds/conditions.ts';
import type { AIQuotaPolicy } from '../../crds/kinds.ts';
import { journalLossDefaults, type QuotaPolicySpec, type QuotaSpec } from '../../crds/quota-policy.ts';
import { durationMs } from '../../crds/schema.ts';
import type { PolicyKind } from '../attachment/policy-kind.ts';
import { type Diagnostics, type Subject, subject } from '../diagnostics.ts';
import { fullName } from '../object-names.ts';
import type { Located } from '../world.ts';

export interface CompiledQuotas {
  readonly quotas: readonly Quota[];
  readonly requestLimits: NonNullable<QuotaPolicySpec['requestLimits']>;
}

/** There is no shared quota store yet. */
const PER_PROXY = 'each proxy pod of the Gateway counts separately: the limits apply per pod, not in total';

/** Pods commonly live longer than this. */
const LONG_WINDOW_MS = 3_600_000;

export const quotaPolicyKind: PolicyKind<Located<AIQuotaPolicy>, CompiledQuotas> = {
  kind: 'AIQuotaPolicy',
  affectedCondition: 'tallygate.dev/AIQuotaPolicyAffected',
  compile(policy, { diagnostics }) {
    const { quotas = [], requestLimits = {} } = policy.spec;
    const about = subject('AIQuotaPolicy', policy);
    const valid = quotas.map((quota, index) => validateQuota(quota, index, about, diagnostics)).every(Boolean);
    const compiled = valid ? quotas.map((quota) => compileQuota(fullName(policy), quota)) : [];
    return { valid, compiled: { quotas: compiled, requestLimits } };
  },
  statusNotes(policy, { quotas }, { mode }) {
    if (mode.type === 'Standalone') {
      return { message: '', conditions: [] };
    }
    const long = longWindows(policy);
    const lost = `${long.join(', ')}: usage is stored in the proxy pod and lost with it, so a new pod (rollout, eviction, scale-up) starts with the full budget`;
    return {
      message: quotas.length > 0 ? PER_PROXY : '',
      conditions:
        long.length === 0
          ? []
          : [condition('tallygate.dev/BudgetEndsWithPod', 'LongWindow', lost, policy.metadata.generation)],
    };
  },
};

/** Returns the quotas whose window may outlive a proxy pod. */
function longWindows({ spec }: AIQuotaPolicy): readonly string[] {
  return (spec.quotas ?? []).flatMap(({ name, window: { calendar, sliding } }) => {
    const isShort =
      sliding === undefined
        ? calendar?.unit === 'Minute' || calendar?.unit === 'Hour'
        : durationMs(sliding.duration) <= LONG_WINDOW_MS;
    return isShort ? [] : [name];
  });
}

function validateQuota(quota: QuotaSpec, index: number, about: Subject, diagnostics: Diagnostics): boolean {
  const path = `spec.quotas[${index}]`;
  const zone = quota.window.calendar?.timeZone;
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

function compileQuota(policy: string, quota: QuotaSpec): Quota {
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
    onJournalLoss: quota.onJournalLoss ?? journalLossDefaults[quota.limit.type],
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
