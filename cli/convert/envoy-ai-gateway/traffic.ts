/** Retries, failover and timeouts of BackendTrafficPolicies become those of rules. */
import { duration, durationMs } from '../../../crds/schema.ts';
import type { Place } from '../draft.ts';
import type { SourceField } from '../source-field.ts';
import { type ForeignResource, type ForeignResources, targetsOf } from './resources.ts';

const MAX_RETRIES = 5;
const MAX_CODES = 8;

/** The BackendTrafficPolicies of a route: its own, and those of its Gateways. */
export function trafficPolicies(
  resources: ForeignResources,
  route: ForeignResource,
  gateways: readonly string[],
): readonly ForeignResource[] {
  return resources.of('BackendTrafficPolicy').filter(
    (policy) =>
      policy.namespace === route.namespace &&
      targetsOf(policy).some((target) => {
        const name = target.at('name')?.text ?? '';
        return target.at('kind')?.text === 'Gateway' ? gateways.includes(name) : name === route.name;
      }),
  );
}

export interface TrafficRule {
  [member: string]: unknown;
}

/** Adds what the policies say to a rule. */
export function addTraffic(
  policies: readonly ForeignResource[],
  rule: TrafficRule,
  hasSeveral: boolean,
  place: (key: string) => Place,
): void {
  for (const policy of policies) {
    const { field } = policy;
    const retry = field.at('spec', 'retry');
    const passive = field.at('spec', 'healthCheck', 'passive');
    if (retry !== undefined || passive !== undefined) {
      for (const target of targetsOf(policy)) {
        target.becomes(place('name'));
      }
    }
    if (retry !== undefined) {
      addRetry(retry, rule, hasSeveral, place);
    }
    if (passive !== undefined && hasSeveral) {
      addPassive(passive, rule, place);
    } else {
      passive?.isNotNeeded('no rule has several backends');
    }
    const timeout = field.at('spec', 'timeout', 'http', 'requestTimeout');
    const own = durationOf(timeout);
    if (own !== undefined && timeout !== undefined) {
      rule['timeouts'] = { ...(rule['timeouts'] as object | undefined), request: own };
      timeout.becomes(place('timeouts'));
    }
  }
}

function addRetry(retry: SourceField, rule: TrafficRule, hasSeveral: boolean, place: (key: string) => Place): void {
  const count = retry.at('numRetries');
  const attempts = Math.min(Math.max(Math.trunc(count?.number ?? 2), 0), MAX_RETRIES);
  const codes = (retry.at('retryOn', 'httpStatusCodes')?.items ?? []).flatMap(({ number }) =>
    number !== undefined && Number.isInteger(number) && number >= 400 && number <= 599 ? [number] : [],
  );
  if (hasSeveral) {
    rule['failover'] = { attempts: Math.max(attempts + 1, 2), ...(rule['failover'] as object | undefined) };
    const how =
      'failover sends the request to the next backend after a failed connection, 5xx, 429 or no first token; it is sent at most ten times in all.';
    (count ?? retry).differs(place('failover'), how);
  } else {
    rule['retries'] = { attempts, ...(codes.length > 0 && { codes: [...new Set(codes)].slice(0, MAX_CODES) }) };
    (count ?? retry).becomes(place('retries'));
  }
  const [key, text] = hasSeveral ? ['failover', 'on has its causes by default'] : ['retries', ''];
  retry.at('retryOn', 'httpStatusCodes')?.becomes(place(key));
  retry.at('retryOn', 'triggers')?.isNotNeeded(text === '' ? 'failed connections are always retried' : text);
  retry.at('numAttemptsPerPriority')?.isNotNeeded('each backend is tried once');
  retry
    .at('perRetry', 'backOff')
    ?.hasNoEqual('retries have no pause of their own', 'rely on retry-after of the provider');
  const perTry = retry.at('perRetry', 'timeout');
  const first = durationOf(perTry);
  const request = (rule['timeouts'] as { readonly request?: string } | undefined)?.request;
  if (
    perTry !== undefined &&
    first !== undefined &&
    (request === undefined || durationMs(first) <= durationMs(request))
  ) {
    rule['timeouts'] = { ...(rule['timeouts'] as object | undefined), firstToken: first };
    perTry.differs(place('timeouts'), 'firstToken bounds the wait for the first token of a stream, not the whole try.');
  } else {
    perTry?.hasNoEqual('firstToken must not be longer than request', 'raise timeouts.request of the rule');
  }
}

function addPassive(passive: SourceField, rule: TrafficRule, place: (key: string) => Place): void {
  const ejection = passive.at('baseEjectionTime');
  const cooldown = durationOf(ejection);
  if (cooldown !== undefined) {
    rule['failover'] = { ...(rule['failover'] as object | undefined), cooldown };
    ejection?.becomes(place('failover'));
  }
  const failures = passive.at('consecutive5XxErrors');
  const how = 'One failure makes a backend rest.';
  (failures ?? passive).differs(place('failover'), how);
  for (const member of passive.members.values()) {
    if (member.verdicts.length === 0) {
      member.isNotNeeded('failover has no such setting');
    }
  }
}

/** A duration that a route can have; a bare 0 is none. */
export function durationOf(field: SourceField | undefined): string | undefined {
  const text = field?.text;
  return text !== undefined && duration.safeParse(text).success ? text : undefined;
}
