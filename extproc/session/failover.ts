/**
 * What failover makes of a response: a backend that failed rests at once, and another one serves
 * the next attempt within the request (`attempts.ts`). Where there is none, the error response asks
 * the client to send the request again. Pure.
 */
import { RETRY_COUNT_HEADER } from '../../contract/headers.ts';
import type { Failover, FailoverCause } from '../../contract/policy.ts';
import type { Failure } from '../errors.ts';
import { firstHeader, type HeaderList, type HeaderMutation } from '../exchange.ts';
import { backendFailure, type Interruption, interruptedBy } from '../interruption.ts';
import type { RoutingDecision } from './admission/select-backend.ts';
import type { BeginningRest } from './passive-health.ts';

/** After this time a request tries the backend again, whatever its provider says. */
const LONGEST_REST_MS = 3_600_000;

/** A rule's own cooldown does not decide for rules of other authors. */
const LONGEST_UNREACHED_MS = 10_000;

/** Replaces the provider's wait, which concerns only the backend that rests. */
const retryNow: HeaderList = [
  ['x-should-retry', 'true'],
  ['retry-after-ms', '1'],
];

/** How one request may fail over. */
export interface FailoverContext {
  readonly failover: Failover;
  /** 1 for the first time that the client sends the request. */
  readonly attempt: number;
  /** Whether another healthy backend can serve the request. */
  readonly hasOther: () => boolean;
  /** Whether the first token of a stream has a timeout. */
  readonly limitsFirstToken: boolean;
}

/** How a response began. */
export interface ResponseOutcome {
  readonly status: number;
  /** The failure behind a local reply of Envoy. */
  readonly failure: Failure | undefined;
  /** Why Envoy replied in place of the backend. */
  readonly interruption: Interruption | undefined;
}

/** A backend that must rest. */
export interface FailedAttempt {
  /** Absent for a response that succeeded and spent the last of the provider's rate limit. */
  readonly cause: FailoverCause | undefined;
  readonly restMs: number;
  /** Present where the backend rests for every rule, with the model of the request or with all. */
  readonly everyRule?: { readonly of: 'model' | 'backend'; readonly restMs: number };
  /** What the client is told about a retry; absent: nothing beyond the provider's own headers. */
  readonly retry: 'now' | 'never' | undefined;
}

/** Returns how often the client has sent the request, by its own count. */
export function attemptOf(header: (name: string) => readonly string[]): number {
  const [count = ''] = header(RETRY_COUNT_HEADER);
  return /^\d{1,3}$/.test(count) ? Number(count) + 1 : 1;
}

/** Reads the headers of a response. Returns undefined where its backend need not rest. */
export function failedAttempt(
  context: FailoverContext | undefined,
  outcome: ResponseOutcome,
  headers: HeaderList,
  nowMs: number,
): FailedAttempt | undefined {
  if (context === undefined) {
    return undefined;
  }
  const { on, cooldownMs } = context.failover;
  const cause = causeOf(outcome);
  if (cause === undefined) {
    const spentMs = outcome.failure === undefined ? spentForMs(headers, nowMs) : undefined;
    return spentMs === undefined ? undefined : spentAttempt(bounded(spentMs));
  }
  if (!on.includes(cause)) {
    return undefined;
  }
  const namedMs = retryAfterMs(headers, nowMs) ?? spentForMs(headers, nowMs);
  const restMs = bounded(namedMs ?? cooldownMs);
  const everyRule = everyRuleOf(cause, namedMs, restMs);
  return { cause, restMs, retry: retryOf(context), ...(everyRule && { everyRule }) };
}

function spentAttempt(restMs: number): FailedAttempt {
  return { cause: undefined, restMs, everyRule: { of: 'model', restMs }, retry: undefined };
}

/**
 * Any other failure may be due to the rule or to the request. A single prompt that is too long for
 * the limit gets 429, too, but no time after which it would pass.
 */
function everyRuleOf(cause: FailoverCause, namedMs: number | undefined, restMs: number): FailedAttempt['everyRule'] {
  if (cause === 'ConnectFailure') {
    return { of: 'backend', restMs: Math.min(restMs, LONGEST_UNREACHED_MS) };
  }
  return cause === 'RateLimited' && namedMs !== undefined ? { of: 'model', restMs } : undefined;
}

/** Returns the rest of the backend that was chosen. */
export function beginningRest(
  { cause, restMs: ms, everyRule }: FailedAttempt,
  { target, backendModel, modelIsKnown }: Pick<RoutingDecision, 'target' | 'backendModel' | 'modelIsKnown'>,
): BeginningRest {
  const rest: BeginningRest = {
    target: { id: target.id, backend: target.backend },
    ms,
    cause: cause ?? 'RateLimitSpent',
  };
  if (everyRule?.of === 'backend') {
    return { ...rest, everyRule: { model: undefined, ms: everyRule.restMs } };
  }
  // Clients could invent any number of other models.
  const isNamed = target.model !== undefined || modelIsKnown;
  return everyRule === undefined || !isNamed
    ? rest
    : { ...rest, everyRule: { model: backendModel, ms: everyRule.restMs } };
}

/** The backend of a stream sent no token in time. */
export function lateAttempt(context: FailoverContext | undefined): FailedAttempt | undefined {
  if (context === undefined || !context.failover.on.includes('FirstTokenTimeout')) {
    return undefined;
  }
  const { cooldownMs } = context.failover;
  return { cause: 'FirstTokenTimeout', restMs: bounded(cooldownMs), retry: retryOf(context) };
}

/** The backend of an attempt ended without a response. */
export function unansweredAttempt(context: FailoverContext | undefined): FailedAttempt | undefined {
  const { on, cooldownMs } = context?.failover ?? { on: [], cooldownMs: 0 };
  const cause = on.find((each) => each === '5xx') ?? on.find((each) => each === 'ConnectFailure');
  return cause && { cause, restMs: bounded(cooldownMs), retry: undefined };
}

/** Whether a stream must be kept until its first token, so that its request can still fail over. */
export function awaitsToken(context: FailoverContext | undefined): boolean {
  return context?.limitsFirstToken === true && lateAttempt(context)?.retry === 'now';
}

/** The provider broke a response off before its first token. */
export function brokenAttempt(
  context: FailoverContext | undefined,
  interruption: Interruption | undefined,
): FailedAttempt | undefined {
  if (context === undefined || interruptedBy(interruption) !== 'backend' || !context.failover.on.includes('5xx')) {
    return undefined;
  }
  return { cause: '5xx', restMs: bounded(context.failover.cooldownMs), retry: undefined };
}

/** Adds to an error response what the client is told about a retry. */
export function withRetry(mutation: HeaderMutation, failed: FailedAttempt | undefined): HeaderMutation {
  const { set = [], remove = [] } = mutation;
  switch (failed?.retry) {
    case 'now':
      return { ...mutation, set: [...set, ...retryNow], remove: [...remove, 'retry-after'] };
    case 'never':
      return { ...mutation, set: [...set, ['x-should-retry', 'false']] };
    default:
      return mutation;
  }
}

function retryOf({ failover, attempt, hasOther }: FailoverContext): FailedAttempt['retry'] {
  if (attempt >= failover.attempts) {
    return 'never';
  }
  return hasOther() ? 'now' : undefined;
}

function causeOf({ status, failure, interruption }: ResponseOutcome): FailoverCause | undefined {
  if (status >= 500) {
    const kind = interruption && backendFailure(interruption);
    return kind === 'connect' || kind === 'tls' || kind === 'address' ? 'ConnectFailure' : '5xx';
  }
  // 429 in a local reply comes from a rate limit in Envoy, not from the backend.
  return status === 429 && failure === undefined ? 'RateLimited' : undefined;
}

function bounded(restMs: number): number {
  return Math.min(restMs, LONGEST_REST_MS);
}

/** Reads `retry-after` in seconds or as a date, and `retry-after-ms` of Azure and OpenAI. */
function retryAfterMs(headers: HeaderList, nowMs: number): number | undefined {
  const ms = firstHeader(headers, 'retry-after-ms') ?? '';
  if (DECIMAL.test(ms)) {
    return Number(ms);
  }
  const after = firstHeader(headers, 'retry-after') ?? '';
  return DECIMAL.test(after) ? Number(after) * 1000 : untilDate(after, nowMs);
}

const DECIMAL = /^\d{1,9}(\.\d{1,9})?$/;

/** `x-ratelimit-remaining-requests` of OpenAI, `anthropic-ratelimit-requests-remaining`. */
const REMAINING = /^(?:x-ratelimit-remaining-(.+)|anthropic-ratelimit-(.+)-remaining)$/;

/** Returns how long a rate limit of the provider stays spent, or undefined if none is. */
function spentForMs(headers: HeaderList, nowMs: number): number | undefined {
  let longest: number | undefined;
  for (const [name, value] of headers) {
    const [, openai, anthropic] = (value === '0' && REMAINING.exec(name)) || [];
    const reset =
      openai !== undefined
        ? periodMs(firstHeader(headers, `x-ratelimit-reset-${openai}`) ?? '')
        : anthropic && untilDate(firstHeader(headers, `anthropic-ratelimit-${anthropic}-reset`) ?? '', nowMs);
    if (typeof reset === 'number') {
      longest = Math.max(longest ?? 0, reset);
    }
  }
  return longest;
}

const PERIOD = /^(?:\d{1,6}(?:\.\d{1,6})?(?:ms|h|m|s|d))+$/;
const unitsMs: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** Reads a period of OpenAI: `1s`, `6m0s`, `120ms`. */
function periodMs(text: string): number | undefined {
  if (text.length > 32 || !PERIOD.test(text)) {
    return undefined;
  }
  let total = 0;
  for (const [, amount, unit = ''] of text.matchAll(/([\d.]+)(ms|h|m|s|d)/g)) {
    total += Number(amount) * unitsMs[unit]!;
  }
  return total;
}

/** Returns undefined for a text that is no date, or a date that has passed. */
function untilDate(text: string, nowMs: number): number | undefined {
  const ms = text.length <= 64 ? Date.parse(text) - nowMs : Number.NaN;
  return ms > 0 ? ms : undefined;
}
