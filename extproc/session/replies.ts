/** What extproc itself says to clients: refusals, Envoy's in the provider's shape, the models list, and the headers that tell how much is left. */
import { REQUEST_ID_HEADER, VIA_UPSTREAM } from '../../contract/headers.ts';
import type { Failure } from '../errors.ts';
import { failure } from '../errors.ts';
import type { HeaderList, HeaderMutation, ImmediateResponse } from '../exchange.ts';
import type { Dialect } from '../providers/adapter.ts';
import type { BucketSnapshot, Decision } from '../quota/store.ts';
import { unitOf } from '../quota/units.ts';
import { tightest } from './limit-headers.ts';

/** The official clients retry by themselves after at most a minute; a longer wait is theirs to decide. */
const LONGEST_RETRY_MS = 60_000;

export const tooManyBodies = failure('overloaded', 'The gateway holds too many request bodies; try again shortly.', {
  retryAfterMs: 1000,
});
export const uploadTooSlow = failure(
  'upload_too_slow',
  'The request body came too slowly, or stopped coming; send it again without a pause.',
);
export const internalFault = failure('internal_error', 'The gateway failed by a fault of its own; try again.');
export const firstTokenLate = failure(
  'first_token_timeout',
  'The provider sent no token in the time that the route allows.',
);

export function promptTooLong(limitTokens: number): Failure {
  return failure(
    'input_tokens_exceeded',
    `The prompt has more than the ${limitTokens} tokens that are allowed here in one request.`,
  );
}

export function refusal(
  dialect: Dialect,
  problem: Failure,
  snapshots: readonly BucketSnapshot[],
  nowMs: number,
  requestId?: string,
): ImmediateResponse {
  const headers: (readonly [string, string])[] = [['content-type', 'application/json'], ...idHeader(requestId)];
  if (problem.retryAfterMs !== undefined) {
    headers.push(['retry-after', String(Math.max(1, Math.ceil(problem.retryAfterMs / 1000)))]);
  }
  if (problem.shouldRetry !== undefined) {
    headers.push(['x-should-retry', String(problem.shouldRetry)]);
  }
  headers.push(...limitHeaders(dialect, snapshots, nowMs));
  return { status: problem.status, headers, body: dialect.errorBody(problem), details: `tallygate_${problem.code}` };
}

/** Envoy's own words are plain text, or none. What somebody has given another form (the page of an external authorization, a redirect) stays. */
export function isLocalReply(codeDetails: string | undefined, status: number, contentType = 'text/plain'): boolean {
  const own = codeDetails !== undefined && codeDetails !== VIA_UPSTREAM;
  return own && status >= 400 && contentType.toLowerCase().startsWith('text/plain');
}

/** An answer of Envoy's in the provider's shape. Its status and other headers stay: `retry-after`, how a caller may prove who it is, … */
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

export function jsonResponse(body: Uint8Array, requestId: string | undefined): ImmediateResponse {
  const headers: HeaderList = [['content-type', 'application/json'], ...idHeader(requestId)];
  return { status: 200, headers, body, details: 'tallygate_answered' };
}

export function idHeader(requestId: string | undefined): HeaderList {
  return requestId === undefined ? [] : [[REQUEST_ID_HEADER, requestId]];
}

/** The names that the providers' own clients read, with the state of the tightest bucket of each kind. */
export function limitHeaders(dialect: Dialect, snapshots: readonly BucketSnapshot[], nowMs: number): HeaderList {
  const headers: [string, string][] = [];
  for (const [kind, snapshot] of tightest(snapshots)) {
    const { limitHeaders: names } = dialect;
    headers.push(
      [names.name('limit', kind), String(snapshot.limit)],
      [names.name('remaining', kind), String(snapshot.remaining)],
    );
    if (snapshot.resetAtMs !== undefined) {
      headers.push([names.name('reset', kind), names.reset(snapshot.resetAtMs, nowMs)]);
    }
  }
  return headers;
}

/** A refusal of the ledger in words: which quota, and what helps. */
export function quotaFailure(decision: Extract<Decision, { type: 'refused' }>): Failure {
  const { quota } = decision.bucket;
  const { retryAfterMs } = decision;
  const retry = {
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    shouldRetry: retryAfterMs !== undefined && retryAfterMs <= LONGEST_RETRY_MS,
  };
  const limit = `${quota.id} (${quota.limit.amount} ${unitOf(quota).noun})`;
  const left = decision.snapshots.find(({ bucket }) => bucket.key === decision.bucket.key)?.remaining ?? 0;
  switch (decision.reason) {
    case 'held':
      return failure(
        'budget_held',
        `What is left of the quota ${limit} is held by requests that are running; try again shortly.`,
        retry,
      );
    case 'size':
      return failure(
        'quota_exceeded',
        `The request needs more than the whole quota ${limit}; send a shorter prompt or ask for less output.`,
        { shouldRetry: false },
      );
    case 'keys':
      return failure('overloaded', `The quota ${quota.id} has too many live keys; try again later.`, retry);
    case 'journal':
      return failure(
        'journal_unavailable',
        `The gateway cannot write down what is spent of the quota ${quota.id}; try again shortly.`,
        retry,
      );
    case 'spent':
      return failure(
        unitOf(quota).exceededCode,
        `${left === 0 ? `The quota ${limit} is used up` : `What is left of the quota ${limit}, ${left}, is not enough for this request`}${retryAfterMs === undefined ? '' : `; it has room again in ${Math.max(1, Math.ceil(retryAfterMs / 1000))} s`}.`,
        retry,
      );
    default:
      return decision.reason satisfies never;
  }
}
