/**
 * Who of several replicas leads: the holder of a Lease. Others' clocks are not trusted: a lease has run out when it was not renewed for its time as seen here.
 * A leader that cannot renew stops before any other may start.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../runtime/log.ts';
import type { Client } from './client.ts';
import type { KubeObject } from './object.ts';

const LEASE = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases' } as const;

export interface LeaseTimes {
  /** A follower waits so long after the last renewal that it saw. */
  readonly leaseMs: number;
  /** A leader that could not renew for so long stops. */
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

export const leaseTimes: LeaseTimes = { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };

/** Epochs are milliseconds that the Lease keeps as a time, whose year has four digits; a higher one is nobody's clock. */
const MAX_EPOCH = Date.UTC(9999, 0);

export interface LeaseOptions {
  readonly client: Client;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly times?: LeaseTimes;
  /** `epoch` grows from leader to leader. The signal is aborted when it is over. Called again, with the same signal, where `raise` gave the term a higher epoch. */
  readonly lead: (epoch: number, signal: AbortSignal) => void;
  readonly log: Log;
}

interface LeaseObject extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

export interface Election {
  /** Ends the term first if it has run out unnoticed. */
  readonly leading: boolean;
  /**
   * Somebody has seen this epoch. A leader with a lower one takes a higher one at its next renewal: the Lease is written first, so one that leads no more cannot.
   */
  raise(seen: number): void;
  /** Gives the lease back, so that another replica need not wait. */
  close(): Promise<void>;
}

export function stand(options: LeaseOptions): Election {
  const { client, namespace, name, identity, times = leaseTimes, lead, log } = options;
  const stop = new AbortController();
  let term: AbortController | undefined;
  let renewedAtMs = 0;
  let renewedAtDateMs = 0;
  let epoch = 0;
  let highestSeen = 0;
  let seen: string | undefined;
  let seenAtMs = 0;
  let held: LeaseObject | undefined;

  const step = async () => {
    const startedMs = performance.now();
    const startedDateMs = Date.now();
    const signal = AbortSignal.timeout(times.renewDeadlineMs);
    const lease = (await client.get(LEASE, namespace, name, signal)) as LeaseObject | undefined;
    const holder = lease?.spec?.holderIdentity ?? '';
    const state = lease?.metadata.resourceVersion ?? 'none';
    const absent = lease === undefined;
    if (state !== seen) {
      // One that was there and is gone was removed by hand: who held it may not know yet. One that never was has no holder.
      seenAtMs = absent && seen === undefined ? Number.NEGATIVE_INFINITY : performance.now();
      seen = state;
    }
    const mine = leads() && (absent || holder === identity);
    if (!mine) {
      end();
    }
    const left = !absent && (holder === '' || holder === identity);
    if (!mine && !left && performance.now() - seenAtMs <= times.leaseMs) {
      return;
    }
    // Grows also where the Lease was deleted, or this clock is behind.
    const next =
      mine && highestSeen <= epoch
        ? epoch
        : Math.max(Date.now(), Math.max(epoch, highestSeen, Date.parse(lease?.spec?.acquireTime ?? '') || 0) + 1);
    const now = microTime(Date.now());
    const transitions = (lease?.spec?.leaseTransitions ?? 0) + (mine ? 0 : 1);
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(times.leaseMs / 1000),
      acquireTime: microTime(next),
      renewTime: now,
      leaseTransitions: transitions,
    };
    // With the resource version that was read: of two that try at once, one gets a conflict.
    const { apiVersion, kind } = LEASE;
    const object = {
      apiVersion,
      kind,
      metadata: { ...(lease?.metadata ?? { namespace, name }), managedFields: [] },
      spec,
    };
    held = await (lease === undefined
      ? client.create(LEASE, object, { signal })
      : client.replace(LEASE, object, { signal }));
    seen = held.metadata.resourceVersion ?? '';
    seenAtMs = performance.now();
    // From before it was asked: the answer may have taken its time.
    renewedAtMs = startedMs;
    renewedAtDateMs = startedDateMs;
    if (next === epoch) {
      return;
    }
    epoch = next;
    if (!mine || term === undefined) {
      term = new AbortController();
    }
    log.info(
      { lease: `${namespace}/${name}`, epoch },
      mine ? 'this replica leads with a higher epoch' : 'this replica leads',
    );
    lead(epoch, term.signal);
  };
  const end = () => {
    if (term === undefined) {
      return;
    }
    log.warn({ lease: `${namespace}/${name}` }, 'this replica does not lead any more');
    term.abort();
    term = undefined;
  };
  // By the clock and not by timers alone: a process that was stopped for a while wakes up with old answers before its timers.
  const leads = () => {
    // The monotonic clock stands still while a machine sleeps; the other one may be set back.
    const sinceMs = Math.max(performance.now() - renewedAtMs, Date.now() - renewedAtDateMs);
    if (term !== undefined && sinceMs > times.renewDeadlineMs) {
      end();
    }
    return term !== undefined;
  };
  const run = async () => {
    while (!stop.signal.aborted) {
      const leftMs = renewedAtMs + times.renewDeadlineMs - performance.now();
      const watchdog = term === undefined ? undefined : setTimeout(end, Math.max(0, leftMs));
      try {
        await step();
      } catch (error) {
        log.debug({ error: String(error) }, 'the lease could not be renewed');
      }
      clearTimeout(watchdog);
      leads();
      const delayMs = times.retryMs * (0.8 + Math.random() * 0.4);
      await sleep(delayMs, undefined, { signal: stop.signal }).catch(() => {});
    }
  };
  const running = run();
  return {
    get leading() {
      return leads();
    },
    raise(seen) {
      if (seen <= MAX_EPOCH) {
        highestSeen = Math.max(highestSeen, seen);
      }
    },
    async close() {
      stop.abort();
      await running;
      if (term === undefined || held === undefined) {
        return;
      }
      end();
      const spec = { ...held.spec, holderIdentity: '' };
      await client.replace(LEASE, { ...held, metadata: { ...held.metadata, managedFields: [] }, spec }).catch(() => {});
    },
  };
}

function microTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}
