/**
 * Leader election by a Lease. Clocks of other replicas are not trusted: a lease has run out when
 * this replica has seen no renewal for its duration. A leader that cannot renew stops before
 * another may start.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../runtime/log.ts';
import type { KubeClient } from './client.ts';
import type { KubeObject } from './object.ts';

const LEASE = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases' } as const;

export interface LeaseTimes {
  /** A follower waits this long after the last renewal that it saw. */
  readonly leaseMs: number;
  /** A leader that could not renew for this long stops. */
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

export const leaseTimes: LeaseTimes = { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };

/**
 * Epochs are milliseconds that the Lease stores as a time with a four-digit year: no clock has a
 * higher one.
 */
const MAX_EPOCH = Date.UTC(9999, 0);

export interface LeaseOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly times?: LeaseTimes;
  /**
   * Called when this replica becomes leader; `epoch` grows from leader to leader, and the signal is
   * aborted at the end of the term. Called again with the same signal when `raise` led to a higher
   * epoch.
   */
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

export class LeaderElection {
  readonly #options: LeaseOptions;
  readonly #times: LeaseTimes;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #term: AbortController | undefined;
  #renewedAtMs = 0;
  #renewedAtDateMs = 0;
  #epoch = 0;
  #highestSeenEpoch = 0;
  /** The resource version of the Lease as last seen, and since when. */
  #seen: string | undefined;
  #seenAtMs = 0;
  #held: LeaseObject | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#times = options.times ?? leaseTimes;
    this.#running = this.#run();
  }

  /** Whether this replica leads. */
  get leading(): boolean {
    this.assertLeading();
    return this.#term !== undefined;
  }

  /**
   * Ends the term if it has run out. Call before each write: timers alone do not suffice, because a
   * process that was suspended continues with old responses before its timers fire.
   */
  assertLeading(): void {
    // The monotonic clock stops while a machine sleeps; the wall clock may be set back.
    const sinceMs = Math.max(performance.now() - this.#renewedAtMs, Date.now() - this.#renewedAtDateMs);
    if (this.#term !== undefined && sinceMs > this.#times.renewDeadlineMs) {
      this.#endTerm();
    }
  }

  /**
   * Reports an epoch that somebody has seen. A leader with a lower epoch takes a higher one at its
   * next renewal. The Lease is written first, so a former leader cannot do this.
   */
  raise(seenEpoch: number): void {
    if (seenEpoch <= MAX_EPOCH) {
      this.#highestSeenEpoch = Math.max(this.#highestSeenEpoch, seenEpoch);
    }
  }

  /** Releases the Lease, so that another replica does not have to wait. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    const held = this.#held;
    if (this.#term === undefined || held === undefined) {
      return;
    }
    this.#endTerm();
    const spec = { ...held.spec, holderIdentity: '' };
    const released = { ...held, metadata: { ...held.metadata, managedFields: [] }, spec };
    await this.#options.client.replace(LEASE, released).catch(() => {});
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const leftMs = this.#renewedAtMs + this.#times.renewDeadlineMs - performance.now();
      const watchdog = this.#term === undefined ? undefined : setTimeout(() => this.#endTerm(), Math.max(0, leftMs));
      try {
        await this.#step();
      } catch (error) {
        this.#options.log.debug({ err: error }, 'lease not renewed');
      }
      clearTimeout(watchdog);
      this.assertLeading();
      const delayMs = this.#times.retryMs * (0.8 + Math.random() * 0.4);
      await sleep(delayMs, undefined, { signal }).catch(() => {});
    }
  }

  /** Reads the Lease, and acquires or renews it where that is allowed. */
  async #step(): Promise<void> {
    const startedMs = performance.now();
    const startedDateMs = Date.now();
    const { client, namespace, name } = this.#options;
    const signal = AbortSignal.timeout(this.#times.renewDeadlineMs);
    const lease = (await client.get(LEASE, namespace, name, signal)) as LeaseObject | undefined;
    this.#observe(lease);
    const isMine = this.leading && (lease === undefined || this.#holderOf(lease) === this.#options.identity);
    if (!isMine) {
      this.#endTerm();
    }
    if (!isMine && !this.#isFree(lease)) {
      return;
    }
    const epoch = isMine && this.#highestSeenEpoch <= this.#epoch ? this.#epoch : this.#nextEpoch(lease);
    const object = this.#leaseObject(lease, epoch, isMine);
    this.#held = await (lease === undefined
      ? client.create(LEASE, object, { signal })
      : client.replace(LEASE, object, { signal }));
    this.#seen = this.#held.metadata.resourceVersion ?? '';
    this.#seenAtMs = performance.now();
    // The time before the request, because the response may have been slow.
    this.#renewedAtMs = startedMs;
    this.#renewedAtDateMs = startedDateMs;
    if (epoch !== this.#epoch) {
      this.#lead(epoch, isMine);
    }
  }

  /** Notes when the Lease last changed, by this replica's clock. */
  #observe(lease: LeaseObject | undefined): void {
    const state = lease?.metadata.resourceVersion ?? 'none';
    if (state === this.#seen) {
      return;
    }
    // A Lease that disappeared was removed by hand, and its holder may not know yet; one that never
    // existed has no holder.
    const neverExisted = lease === undefined && this.#seen === undefined;
    this.#seenAtMs = neverExisted ? Number.NEGATIVE_INFINITY : performance.now();
    this.#seen = state;
  }

  #holderOf(lease: LeaseObject): string {
    return lease.spec?.holderIdentity ?? '';
  }

  /** Returns whether no other replica holds the Lease: released, this replica's, or expired. */
  #isFree(lease: LeaseObject | undefined): boolean {
    const isReleased = lease !== undefined && ['', this.#options.identity].includes(this.#holderOf(lease));
    return isReleased || performance.now() - this.#seenAtMs > this.#times.leaseMs;
  }

  /** Grows even if the Lease was deleted or this clock is behind. */
  #nextEpoch(lease: LeaseObject | undefined): number {
    const acquired = Date.parse(lease?.spec?.acquireTime ?? '') || 0;
    return Math.max(Date.now(), Math.max(this.#epoch, this.#highestSeenEpoch, acquired) + 1);
  }

  /**
   * Keeps the resource version that was read: of two replicas that write at once, one gets a
   * conflict.
   */
  #leaseObject(lease: LeaseObject | undefined, epoch: number, isMine: boolean): KubeObject {
    const { namespace, name, identity } = this.#options;
    return {
      apiVersion: LEASE.apiVersion,
      kind: LEASE.kind,
      metadata: { ...(lease?.metadata ?? { namespace, name }), managedFields: [] },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(this.#times.leaseMs / 1000),
        acquireTime: microTime(epoch),
        renewTime: microTime(Date.now()),
        leaseTransitions: (lease?.spec?.leaseTransitions ?? 0) + (isMine ? 0 : 1),
      },
    };
  }

  #lead(epoch: number, isMine: boolean): void {
    const { namespace, name, lead, log } = this.#options;
    this.#epoch = epoch;
    if (!isMine || this.#term === undefined) {
      this.#term = new AbortController();
    }
    log.info({ lease: `${namespace}/${name}`, epoch }, isMine ? 'raised epoch' : 'became leader');
    lead(epoch, this.#term.signal);
  }

  #endTerm(): void {
    if (this.#term === undefined) {
      return;
    }
    const { namespace, name, log } = this.#options;
    log.warn({ lease: `${namespace}/${name}` }, 'lost leadership');
    this.#term.abort();
    this.#term = undefined;
  }
}

function microTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}
