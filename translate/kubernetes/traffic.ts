/** How Envoy treats requests to a backend. Rules that want the same share a BackendTrafficPolicy. */
import type { JsonObject } from '../plan.ts';
import type { LinkedTarget } from '../routes.ts';

export interface Traffic {
  /** Says the settings, so that equal ones have equal names; no longer than a label's value may be. */
  readonly name: string;
  readonly attempts: number;
  readonly codes: readonly number[];
  readonly idle: string;
}

export function trafficOf({ retries, timeouts }: LinkedTarget): Traffic {
  const attempts = retries?.attempts ?? 1;
  const codes = (retries?.codes ?? []).toSorted((left, right) => left - right);
  const idle = timeouts?.idle ?? '15m';
  return { name: [`${attempts}x`, ...codes, idle].join('-'), attempts, codes, idle };
}

/** Each open stream holds a request, so the defaults (1,024) would end the service at 1,024 streams. */
export const circuitBreaker = {
  maxConnections: 1_000_000,
  maxPendingRequests: 1_000_000,
  maxParallelRequests: 1_000_000,
  maxParallelRetries: 1_000_000,
};

export function trafficSettings({ attempts, codes, idle }: Traffic): JsonObject {
  return {
    // Only what comes before the provider has begun, unless the user lists statuses: nobody pays twice.
    retry: {
      numRetries: attempts,
      retryOn: {
        triggers: ['connect-failure', 'refused-stream', ...(codes.length === 0 ? [] : ['retriable-status-codes'])],
        ...(codes.length > 0 && { httpStatusCodes: codes }),
      },
      perRetry: { backOff: { baseInterval: '25ms', maxInterval: '1s' } },
    },
    timeout: {
      http: {
        streamIdleTimeout: idle,
        // Shorter than the idle time of common servers, so that a request seldom meets a connection that is being closed.
        connectionIdleTimeout: '30s',
      },
    },
    circuitBreaker,
    // Room for every stream at once: clients that do not read cannot stop others on the same connection.
    http2: { initialStreamWindowSize: '256Ki', initialConnectionWindowSize: '16Mi', maxConcurrentStreams: 64 },
    // An empty list would let WebSocket through, whose messages nobody counts; no client can ask for this one.
    httpUpgrade: [{ type: 'none' }],
  };
}
