/** How Envoy treats requests to a backend. Rules that want the same share a BackendTrafficPolicy. */
import type { TrafficPolicySpec } from '../../crds/gateway-api.ts';
import type { Door } from '../doors.ts';
import type { JsonObject } from '../plan.ts';
import { byAge } from '../report.ts';
import type { LinkedTarget } from '../routes.ts';
import { labelValue } from './manifest.ts';
import type { TrafficPolicy } from './plan.ts';

export interface Traffic {
  /** Says the settings, so that equal ones have equal names; the value of a label. */
  readonly name: string;
  readonly spec: JsonObject;
}

/** What a user's policy on the Gateway or listener says already: where a route is silent, that stays, and ours would push it aside. */
export type UserTraffic = TrafficPolicySpec | undefined;

/** Envoy Gateway merges ours into the policy of the listener, or else of the Gateway; the oldest of each holds. */
export function userTrafficOf({ gateway, listener }: Door, policies: readonly TrafficPolicy[]): UserTraffic {
  const { namespace, name } = gateway.metadata;
  const here = policies.filter(({ metadata }) => metadata.namespace === namespace).toSorted(byAge);
  const on = (section: string | undefined) =>
    here.find(({ spec }) =>
      [...spec.targetRefs, ...(spec.targetRef ? [spec.targetRef] : [])].some(
        (target) => target.kind === 'Gateway' && target.name === name && target.sectionName === section,
      ),
    );
  return (on(listener.name) ?? on(undefined))?.spec;
}

export function trafficOf({ retries, timeouts }: LinkedTarget, user: UserTraffic): Traffic {
  const attempts = retries?.attempts ?? 1;
  const codes = (retries?.codes ?? []).toSorted((left, right) => left - right);
  const idle = timeouts?.idle ?? '15m';
  const http = user?.timeout?.http;
  const kept = {
    retry: retries === undefined && user?.retry !== undefined,
    idle: timeouts?.idle === undefined && http?.streamIdleTimeout !== undefined,
    breaker: user?.circuitBreaker !== undefined,
    http2: user?.http2 !== undefined,
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
