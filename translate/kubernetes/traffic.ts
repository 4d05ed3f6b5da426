/**
 * Retries, timeouts and connection settings of backends. Rules with equal settings share a
 * BackendTrafficPolicy.
 */

import type { LinkedTarget } from '../link/linked-target.ts';
import type { JsonObject } from '../plan.ts';
import { labelValue } from './manifest.ts';
import type { UserPolicies } from './user-policies.ts';

export interface Traffic {
  /** Derived from the settings, so that equal settings have equal names. The value of a label. */
  readonly name: string;
  readonly spec: JsonObject;
}

const DEFAULT_IDLE_TIMEOUT = '15m';

export function trafficOf({ retries, timeouts }: LinkedTarget, { traffic, client }: UserPolicies): Traffic {
  const attempts = retries?.attempts ?? 1;
  const codes = (retries?.codes ?? []).toSorted((left, right) => left - right);
  const idle = timeouts?.idle ?? DEFAULT_IDLE_TIMEOUT;
  const http = traffic?.timeout?.http;
  const userIdle = http?.streamIdleTimeout ?? client?.timeout?.http?.streamIdleTimeout;
  const kept = {
    retry: retries === undefined && traffic?.retry !== undefined,
    idle: timeouts?.idle === undefined && userIdle !== undefined,
    breaker: traffic?.circuitBreaker !== undefined,
    http2: traffic?.http2 !== undefined,
    connections: http?.connectionIdleTimeout !== undefined,
  };
  const names = Object.entries(kept).flatMap(([name, isKept]) => (isKept ? [name] : []));
  const name = [
    ...(kept.retry ? [] : [`${attempts}x`, ...codes]),
    ...(kept.idle ? [] : [idle]),
    ...(names.length === 0 ? [] : ['kept', ...names]),
  ].join('-');
  const spec = {
    ...(!kept.retry && { retry: retry(attempts, codes) }),
    timeout: {
      http: {
        ...(!kept.idle && { streamIdleTimeout: idle }),
        // Shorter than the idle timeout of common servers, so that requests rarely hit a closing
        // connection.
        ...(!kept.connections && { connectionIdleTimeout: '30s' }),
      },
    },
    ...(!kept.breaker && { circuitBreaker }),
    ...(!kept.http2 && { http2 }),
    // An empty list would allow WebSocket, whose messages are not counted. No client requests this
    // type.
    httpUpgrade: [{ type: 'none' }],
  };
  return { name: labelValue(name), spec };
}

/** Returns the idle timeout where it cannot be left to the user's policies. */
export function idleTimeoutOf(timeouts: LinkedTarget['timeouts'], { traffic, client }: UserPolicies): string {
  const userIdle = traffic?.timeout?.http?.streamIdleTimeout ?? client?.timeout?.http?.streamIdleTimeout;
  return timeouts?.idle ?? (typeof userIdle === 'string' ? userIdle : DEFAULT_IDLE_TIMEOUT);
}

/**
 * Each open stream counts as a request, so the default limits (1,024) would refuse the 1,025th
 * stream.
 */
export const circuitBreaker = {
  maxConnections: 1_000_000,
  maxPendingRequests: 1_000_000,
  maxParallelRequests: 1_000_000,
  maxParallelRetries: 1_000_000,
};

/** Room for all streams: stalled clients cannot block others on the same connection. */
const http2 = { initialStreamWindowSize: '256Ki', initialConnectionWindowSize: '16Mi', maxConcurrentStreams: 64 };

/**
 * Retries only before the provider has started, unless the user lists status codes: no request is
 * billed twice.
 */
function retry(attempts: number, codes: readonly number[]): JsonObject {
  return {
    numRetries: attempts,
    retryOn: {
      triggers: ['connect-failure', 'refused-stream', ...(codes.length === 0 ? [] : ['retriable-status-codes'])],
      ...(codes.length > 0 && { httpStatusCodes: codes }),
    },
    perRetry: { backOff: { baseInterval: '25ms', maxInterval: '1s' } },
  };
}
