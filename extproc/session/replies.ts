/**
 * Responses that extproc writes: failures, local replies of Envoy in the shape of the client API,
 * and the limit headers.
 */
import { REQUEST_ID_HEADER, VIA_UPSTREAM } from '../../contract/headers.ts';
import type { KeyPart, Quota } from '../../contract/policy.ts';
import type { Failure } from '../errors.ts';
import { failure } from '../errors.ts';
import type { HeaderList, HeaderMutation, ImmediateResponse } from '../exchange.ts';
import type { Dialect } from '../providers/adapter.ts';
import type { BucketSnapshot, Decision } from '../quota/store.ts';
import { shownAmount, unitNoun, unitOf } from '../quota/units.ts';
import { kindOf, tightest } from './limit-headers.ts';

/**
 * The official client libraries retry within a minute; with a longer wait they should not retry.
 */
const LONGEST_RETRY_MS = 60_000;

export const tooManyBodies = failure(
  'overloaded',
  'The gateway has no memory for more request bodies. Try again shortly.',
  {
    retryAfterMs: 1000,
  },
);
export const uploadTooSlow = failure(
  'upload_too_slow',
  'The request body arrived too slowly or stalled. Send it again without a pause.',
);
export const internalFault = failure('internal_error', 'The gateway failed with an internal error. Try again.');
export const credentialRevoked = failure(
  'unauthenticated',
  'The credential was revoked or has expired. Send a valid API key or token.',
);
export const stoppedByOperator = failure(
  'stopped_by_operator',
  'An operator of the gateway stopped the request. Ask the operator before you send it again.',
);
export const firstTokenLate = failure(
  'first_token_timeout',
  'The provider sent no token within timeouts.firstToken of the route. Try again, or raise it.',
);

export function promptTooLong(limitTokens: number): Failure {
  return failure(
    'input_tokens_exceeded',
    `The prompt exceeds ${limitTokens} tokens, the limit of one request. Shorten it.`,
  );
}

export function bodyTooLarge(maxBytes: number): Failure {
  return failure(
    'request_too_large',
    `The request body exceeds ${maxBytes} bytes. Send less, or raise maxRequestBodySize of the AIGatewayRoute.`,
  );
}

export function missingQuotaKey({ quota, part }: { readonly quota: Quota; readonly part: KeyPart }): Failure {
  const header = part.type === 'Header';
  const need = header
    ? `the header ${part.name}. Send it exactly once with each request.`
    : `the ${part.type} of the caller, which its credential does not name. Use another credential.`;
  return failure('missing_quota_key', `Quota ${quota.id} needs ${need}`, header ? { param: part.name } : {});
}

export function refusal(
  dialect: Dialect,
  problem: Failure,
  snapshots: readonly BucketSnapshot[],
  nowMs: number,
  requestId?: string,
): ImmediateResponse {
  const headers: (readonly [string, string])[] = [['content-type', 'application/json'], ...idHeader(requestId)];
  if (problem.status === 401) {
    headers.push(['www-authenticate', 'Bearer']);
  }
  if (problem.retryAfterMs !== undefined) {
    headers.push(['retry-after', String(Math.max(1, Math.ceil(problem.retryAfterMs / 1000)))]);
  }
  if (problem.shouldRetry !== undefined) {
    headers.push(['x-should-retry', String(problem.shouldRetry)]);
  }
  headers.push(...limitHeaders(dialect, snapshots, nowMs));
  return { status: problem.status, headers, body: dialect.errorBody(problem), details: `tallygate_${problem.code}` };
}

/**
 * Whether Envoy itself wrote this error, as plain text or empty. A local reply of another form (a
 * page of an external authorization, a redirect) stays as it is.
 */
export function isLocalReply(codeDetails: string | undefined, status: number, contentType = 'text/plain'): boolean {
  const own = codeDetails !== undefined && codeDetails !== VIA_UPSTREAM;
  return own && status >= 400 && contentType.toLowerCase().startsWith('text/plain');
}

/**
 * Gives a local reply the error body of the client API. Its status and other headers stay, such as
 * `retry-after`.
 */
export function localReplyMutation(
  dialect: Dialect,
  problem: Failure,
  snapshots: readonly BucketSnapshot[],
  nowMs: number,
  requestId: string | undefined,
): HeaderMutation {
  return {
    set: [['content-type', 'application/json'], ...idHeader(requestId), ...limitHeaders(dialect, snapshots, nowMs)],
    remove: ['content-length'],
    body: dialect.errorBody(problem),
  };
}

/**
 * Ends an attempt that must not reach a backend, and with it the request: Envoy does not retry such
 * responses.
 */
export const refusedAttempt: ImmediateResponse = {
  status: 503,
  headers: [],
  body: new Uint8Array(),
  details: 'tallygate_no_attempt_left',
};

export function jsonResponse(
  body: Uint8Array,
  requestId: string | undefined,
  more: HeaderList = [],
): ImmediateResponse {
  // The content depends on the caller and the time.
  const headers: HeaderList = [
    ...more,
    ['content-type', 'application/json'],
    ['cache-control', 'no-store'],
    ...idHeader(requestId),
  ];
  return { status: 200, headers, body, details: 'tallygate_answered' };
}

export function idHeader(requestId: string | undefined): HeaderList {
  return requestId === undefined ? [] : [[REQUEST_ID_HEADER, requestId]];
}

/**
 * The rate limit headers that official clients read, with the bucket of each kind that has the
 * least left.
 */
export function limitHeaders(dialect: Dialect, snapshots: readonly BucketSnapshot[], nowMs: number): HeaderList {
  const headers: [string, string][] = [];
  for (const snapshot of tightest(snapshots)) {
    const { quota } = snapshot.bucket;
    const kind = kindOf(snapshot)!;
    if (kind === 'budget') {
      headers.push(['x-budget-remaining', `${shownAmount(quota, snapshot.remaining)} ${unitNoun(quota)}`]);
      continue;
    }
    const { limitHeaders: names } = dialect;
    headers.push(
      [names.name('limit', kind), String(shownAmount(quota, snapshot.limit))],
      [names.name('remaining', kind), String(shownAmount(quota, snapshot.remaining))],
    );
    if (snapshot.resetAtMs !== undefined) {
      headers.push([names.name('reset', kind), names.reset(snapshot.resetAtMs, nowMs)]);
    }
  }
  return headers;
}

/** Turns a refusal of the quota store into a failure that names the quota and the fix. */
export function quotaFailure(decision: Extract<Decision, { type: 'refused' }>): Failure {
  const { quota } = decision.bucket;
  const { retryAfterMs } = decision;
  const retry = {
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    shouldRetry: retryAfterMs !== undefined && retryAfterMs <= LONGEST_RETRY_MS,
  };
  const snapshot = decision.snapshots.find(({ bucket }) => bucket.key === decision.bucket.key);
  const left = snapshot?.remaining ?? 0;
  const all = `${shownAmount(quota, snapshot?.limit ?? quota.limit.amount)} ${unitNoun(quota)}`;
  const limit = `${quota.id} (${all})`;
  switch (decision.reason) {
    case 'held':
      return failure(
        unitOf(quota).heldCode,
        `Requests in flight hold the rest of quota ${limit}. Try again shortly.`,
        retry,
      );
    case 'size':
      return failure(
        'quota_exceeded',
        `The request needs more than all of quota ${limit}. Shorten the prompt or ask for less output.`,
        { shouldRetry: false },
      );
    case 'keys':
      return failure('overloaded', `Quota ${quota.id} has too many live keys. Try again later.`, retry);
    case 'journal':
      return failure(
        'journal_unavailable',
        `The gateway cannot record the usage of quota ${quota.id}. Try again shortly.`,
        retry,
      );
    case 'store':
      return failure(
        'quota_store_unavailable',
        `The shared store of quota ${quota.id} does not answer. Try again shortly.`,
        retry,
      );
    case 'spent':
      return failure(
        unitOf(quota).exceededCode,
        `Quota ${quota.id} exceeded: ${shownAmount(quota, left)} of ${all} remaining.${retryHint(retryAfterMs)}`,
        retry,
      );
    default:
      return decision.reason satisfies never;
  }
}

function retryHint(retryAfterMs: number | undefined): string {
  return retryAfterMs === undefined ? '' : ` Retry in ${Math.max(1, Math.ceil(retryAfterMs / 1000))} s.`;
}
