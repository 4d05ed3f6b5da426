/** How Envoy treats requests to a backend. Rules that want the same share a BackendTrafficPolicy. */
import type { JsonObject } from '../plan.ts';
import type { LinkedTarget } from '../routes.ts';
import { labelValue } from './manifest.ts';
import type { UserPolicies } from './user-policies.ts';

export interface Traffic {
  /** Says the settings, so that equal ones have equal names; the value of a label. */
  readonly name: string;
  readonly spec: JsonObject;
}

export function trafficOf({ retries, timeouts }: LinkedTarget, { traffic, client }: UserPolicies): Traffic {
  const attempts = retries?.attempts ?? 1;
  const codes = (retries?.codes ?? []).toSorted((left, right) => left - right);
  const idle = timeouts?.idle ?? '15m';
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
        // Shorter than the idle time of common servers, so that a request seldom meets a connection that is being closed.
        ...(!kept.connections && { connectionIdleTimeout: '30s' }),
      },
    },
    ...(!kept.breaker && { circuitBreaker }),
    ...(!kept.http2 && { http2 }),
    // An empty list would let WebSocket through, whose messages nobody counts; no client can ask for this one.
    httpUpgrade: [{ type: 'none' }],
  };
  return { name: labelValue(name), spec };
}

/** Each open stream holds a request, so the defaults (1,024) would end the service at 1,024 streams. */
export const circuitBreaker = {
  maxConnections: 1_000_000,
  maxPendingRequests: 1_000_000,
  maxParallelRequests: 1_000_000,
  maxParallelRetries: 1_000_000,
};

/** Room for every stream at once: clients that do not read cannot stop others on the same connection. */
const http2 = { initialStreamWindowSize: '256Ki', initialConnectionWindowSize: '16Mi', maxConcurrentStreams: 64 };

/** Only what comes before the provider has begun, unless the user lists statuses: nobody pays twice. */
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
