/** How long sidecars have been behind the newest policy, by Gateway. */
import { isOlder, type PolicyVersion } from '../../contract/policy-version.ts';
import type { ConnectedSidecar } from '../push/sidecar.ts';
import { fleetsOf, type GatewayFacts, type ProxyPod } from './fleets.ts';

/** The proxies at one time. */
export interface PolicyLagView {
  readonly pods: Iterable<ProxyPod>;
  readonly sidecars: Iterable<Pick<ConnectedSidecar, 'pod' | 'acknowledged'>>;
  /** The version that the sidecars of a fleet should have. */
  published(fleet: string): PolicyVersion | undefined;
}

/** A proxy is named in the log once its sidecar has been behind for this time. */
const NAMED_AFTER_MS = 60_000;

interface LateSidecar {
  readonly fleet: string;
  /** The newest version that it has ever acknowledged. */
  readonly acknowledged: PolicyVersion | undefined;
  /** When it fell behind, or when it last made progress. */
  readonly sinceMs: number;
  readonly isNamed: boolean;
}

/**
 * Times are of one monotonic clock. A sidecar that keeps taking policies, only never the newest, is
 * slow and not stuck, so each new acknowledgement begins its time anew; a new connection does not.
 */
export class PolicyLag {
  /** By the UID of the pod. */
  #late: ReadonlyMap<string, LateSidecar> = new Map();
  /** Those with a proxy that should have a policy. */
  #fleets: ReadonlySet<string> = new Set();

  /**
   * Compares what sidecars have with what they should have, and returns proxies to name in the log.
   * Call at short intervals.
   */
  observe({ pods, sidecars, published }: PolicyLagView, nowMs: number): readonly ProxyPod[] {
    const connected = new Map([...sidecars].map((sidecar) => [sidecar.pod.podUid, sidecar]));
    const late = new Map<string, LateSidecar>();
    const fleets = new Set<string>();
    const named: ProxyPod[] = [];
    for (const pod of pods) {
      const { uid, fleet, hasSidecar, ready, terminating } = pod;
      const wanted = published(fleet);
      const before = this.#late.get(uid);
      const sidecar = connected.get(uid);
      // A proxy that is still starting has nothing to be late with.
      const hasStarted = ready || sidecar !== undefined || before !== undefined;
      if (wanted === undefined || !hasSidecar || terminating || !hasStarted) {
        continue;
      }
      fleets.add(fleet);
      const has = sidecar?.acknowledged;
      if (has?.version === wanted.version) {
        continue;
      }
      const next = lateSidecar(before, fleet, has, nowMs);
      late.set(uid, next);
      if (next.isNamed && !before?.isNamed) {
        named.push(pod);
      }
    }
    this.#late = late;
    this.#fleets = fleets;
    return named;
  }

  /** Returns by Gateway for how long its latest sidecar has been behind, 0 if none is. */
  seconds(gateways: Iterable<GatewayFacts>, nowMs: number): ReadonlyMap<string, number> {
    const longest = new Map<string, number>();
    for (const { fleet, sinceMs } of this.#late.values()) {
      longest.set(fleet, Math.max(longest.get(fleet) ?? 0, (nowMs - sinceMs) / 1000));
    }
    const byGateway = new Map<string, number>();
    for (const gateway of gateways) {
      const fleets = fleetsOf(gateway).filter((fleet) => this.#fleets.has(fleet));
      if (fleets.length > 0) {
        byGateway.set(gateway.name, Math.max(...fleets.map((fleet) => longest.get(fleet) ?? 0)));
      }
    }
    return byGateway;
  }

  /** Another leader knows better. */
  clear(): void {
    this.#late = new Map();
    this.#fleets = new Set();
  }
}

function lateSidecar(
  before: LateSidecar | undefined,
  fleet: string,
  has: PolicyVersion | undefined,
  nowMs: number,
): LateSidecar {
  const last = before?.acknowledged;
  const hasProgress = has !== undefined && last !== undefined && isOlder(last, has);
  const sinceMs = before === undefined || hasProgress ? nowMs : before.sinceMs;
  return { fleet, acknowledged: has ?? last, sinceMs, isNamed: nowMs - sinceMs >= NAMED_AFTER_MS };
}
