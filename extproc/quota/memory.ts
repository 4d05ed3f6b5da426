/**
 * The quota store of one process: every bucket in memory, every change noted in a journal. Nothing
 * here blocks: requests that only holds of others stop are queued (`wait-list.ts`) and answered
 * when those holds are released.
 */
import type { Quota } from '../../contract/policy.ts';
import type { PolicyRevision } from '../../contract/policy-version.ts';
import {
  type AdmissionVerdict,
  type Claim,
  evaluateAdmission,
  evaluateExtension,
  failsClosed,
  hasRoom,
  remainingTokens,
} from './admit.ts';
import { checkTokens, costOf, isPossible } from './amounts.ts';
import { type Bucket, type HoldPart, OpenHold, type WindowState } from './bucket.ts';
import { BucketTable } from './bucket-table.ts';
import type { MemoryOptions } from './memory-options.ts';
import type { Journal } from './persistence.ts';
import { reclaim, recountInput } from './reclaim.ts';
import { bucketSnapshot, TightestScan } from './snapshot.ts';
import type {
  BucketRef,
  BucketSnapshot,
  BucketState,
  Cancel,
  Charge,
  Decision,
  Demand,
  FlatCharge,
  Hold,
  OutputDemand,
  Overdraft,
  QuotaKeys,
  QuotaStore,
} from './store.ts';
import { type UsageRecord, usageRow } from './usage-record.ts';
import { WaitList } from './wait-list.ts';
import type { Blocked, Progress } from './waiter-queue.ts';
import type { WindowShare } from './window-share.ts';

/** When a client may retry that was refused for holds of others, a full table or the journal. */
const RETRY_AFTER_MS = 1_000;

type Refusal = Extract<Decision, { readonly type: 'refused' }>;
type Fits = Extract<AdmissionVerdict, { readonly type: 'fits' }>;

export class MemoryStore implements QuotaStore {
  readonly table: BucketTable;
  readonly #scan: TightestScan;
  readonly #journal: Journal | undefined;
  readonly keepsUsage: boolean;
  /** Shares windows as they begin; undefined: none is shared. */
  opened: ((window: WindowState) => void) | undefined;
  readonly #waitList: WaitList;
  #holds = 0;
  #windows = 0;
  readonly #afterClose: () => void;
  readonly #onError: (error: unknown) => void;

  constructor(options: MemoryOptions, journal: Journal | undefined, afterClose: () => void = () => {}) {
    this.#journal = journal;
    this.keepsUsage = options.keepsUsage && journal !== undefined;
    this.#afterClose = afterClose;
    this.#onError = options.onError;
    this.#waitList = new WaitList(options);
    this.table = new BucketTable(
      {
        newWindowId: () => ++this.#windows,
        opened: (window) => this.opened?.(window),
        changed: (window) => this.#note(window),
        reshaped: (window) => {
          if (window.share === undefined) {
            journal?.windowReshaped(window);
          }
        },
        ended: (window) => this.#drop(window),
        redefined: (id, quota, removedMs) => journal?.quota(id, quota, removedMs),
        nearlyFull: options.onNearlyFull,
        alerted: options.onAlert,
        overdrawn: options.onOverdraft,
      },
      options.maxBuckets,
    );
    this.#scan = new TightestScan(this.table.buckets);
  }

  define(quotas: readonly Quota[], revision: PolicyRevision, atMs: number): boolean {
    return this.table.define(quotas, revision, atMs);
  }

  reserve(demand: Demand, done: (decision: Decision) => void): Cancel {
    checkTokens(demand.output.want, demand.output.least);
    checkTokens(demand.inputTokens, 0);
    const arrival = this.#waitList.arrive();
    const decision = this.#decide(demand, arrival, demand.atMs);
    if (decision.type !== 'blocked') {
      done(decision);
      return nothing;
    }
    let { bucket } = decision;
    const refuse = (atMs: number) => done(this.#refusal(demand, atMs, 'held', bucket.ref, RETRY_AFTER_MS));
    const again = (atMs: number): Progress => {
      const next = this.#decide(demand, arrival, atMs);
      if (next.type === 'blocked') {
        bucket = next.bucket;
        return next;
      }
      return { type: 'decided', answer: () => done(next) };
    };
    const timeoutMs = this.#queueTimeoutMs(demand);
    const waiter = this.#waitList.wait(bucket, arrival, timeoutMs, again, refuse);
    if (waiter === undefined) {
      refuse(demand.atMs);
      return nothing;
    }
    return () => this.#waitList.cancel(waiter);
  }

  extend(hold: Hold, output: OutputDemand, atMs: number, done: (outputTokens: number) => void): Cancel {
    const open = ownHold(hold);
    checkTokens(output.want, output.least);
    if (open.settled) {
      throw new Error(`invariant: hold ${hold.id} is already settled`);
    }
    done(output.mode === 'none' ? 0 : this.#lengthen(open, output, atMs));
    return nothing;
  }

  settle(
    hold: Hold,
    charge: Charge | FlatCharge,
    atMs: number,
    done: (overdrafts: readonly Overdraft[]) => void,
  ): void {
    const open = ownHold(hold);
    if (open.settled) {
      throw new Error(`invariant: hold ${hold.id} is already settled`);
    }
    const possible = isPossible(charge, open.parts);
    open.release();
    const overdrafts: Overdraft[] = [];
    for (const part of open.parts) {
      const { bucket } = part.window;
      const cost = costOf(part, possible ? charge : 'everything');
      part.charged = cost;
      const amount = this.#charge(part, cost, atMs);
      if (amount > 0 && bucket.enforced) {
        const cause = typeof charge === 'string' || cost <= part.held ? 'in_flight' : charge.cause;
        overdrafts.push({ bucket: bucket.ref, amount, cause });
      }
    }
    this.#journal?.hold(open);
    for (const { window } of open.parts) {
      this.#waitList.released(window.bucket);
      if (window !== window.bucket.window) {
        this.#drop(window);
      }
    }
    this.#waitList.advance();
    if (!possible) {
      this.#onError(new Error(`invariant: the charge of hold ${hold.id} is impossible; charged what it held`));
    }
    done(overdrafts);
  }

  recordUsage(record: UsageRecord, hold: Hold | undefined): void {
    this.#journal?.usage(usageRow(record, hold && ownHold(hold).usage));
  }

  snapshot(buckets: readonly BucketRef[], atMs: number): readonly BucketSnapshot[] {
    return buckets.map((ref) => bucketSnapshot(ref, this.table.find(ref, atMs), atMs));
  }

  flush(): void {
    this.#journal?.flush();
  }

  top(count: number, atMs: number): readonly BucketState[] {
    return this.#scan.top(count, atMs);
  }

  keys(count: number): readonly QuotaKeys[] {
    return this.table.keys(count);
  }

  get journalFailure(): string | undefined {
    return this.#journal?.failure;
  }

  /** Refuses a request because the shared store does not answer. */
  refuseLost(demand: Demand, bucket: BucketRef, atMs: number): Decision {
    return this.#refusal(demand, atMs, 'store', bucket, RETRY_AFTER_MS);
  }

  /** Counts a window with other replicas. The shared store keeps it, and the journal forgets it. */
  share(window: WindowState, share: WindowShare): void {
    window.shareAs(share);
    this.#journal?.windowGone(window);
  }

  /** Counts a window in this process alone from now on. */
  unshare(window: WindowState, atMs: number): void {
    window.unshare(atMs);
    this.#journal?.windowReshaped(window);
  }

  /** Resets a bucket to its whole limit. */
  reset(bucket: Bucket): void {
    if (bucket.window.share !== undefined) {
      bucket.window.share.reset();
      return;
    }
    bucket.reset();
    this.#waitList.released(bucket);
    this.#waitList.advance();
  }

  /** Adds units to the limit of the current window. */
  grant(bucket: Bucket, units: number, atMs: number): void {
    if (bucket.window.share !== undefined) {
      bucket.window.share.grant(units);
      return;
    }
    bucket.window.grant(units, atMs);
    this.#journal?.window(bucket.window);
    this.allowanceGrew(bucket);
  }

  /** Decides again about admissions that wait for a bucket whose allowance has grown. */
  allowanceGrew(bucket: Bucket): void {
    this.#waitList.released(bucket);
    this.#waitList.advance();
  }

  close(): void {
    this.#waitList.close();
    this.#journal?.close();
    this.#afterClose();
  }

  #decide(demand: Demand, arrival: number, atMs: number): Decision | Blocked {
    if (this.journalFailure !== undefined) {
      const unwritten = demand.draws.find(({ bucket }) => failsClosed(bucket));
      if (unwritten !== undefined) {
        return this.#refusal(demand, atMs, 'journal', unwritten.bucket, RETRY_AFTER_MS);
      }
    }
    const claims: Claim[] = [];
    const refused = this.table.open(demand.draws, atMs, claims);
    if (refused !== undefined) {
      return this.#refusal(demand, atMs, 'keys', refused, RETRY_AFTER_MS);
    }
    for (;;) {
      const verdict = evaluateAdmission(claims, demand, atMs);
      switch (verdict.type) {
        case 'fits': {
          const overtaken = this.#overtaken(claims, arrival);
          return overtaken === undefined
            ? this.#admit(claims, demand, verdict, atMs)
            : { type: 'blocked', bucket: overtaken };
        }
        case 'held': {
          const { bucket, missing } = verdict;
          const mustWait = this.#overtaken(claims, arrival) !== undefined;
          if (mustWait || !reclaim(bucket.window, missing, 'usual', undefined, this.#shrunk)) {
            return { type: 'blocked', bucket };
          }
          break;
        }
        case 'count-first':
          return verdict;
        case 'refused':
          return this.#refusal(demand, atMs, verdict.reason, verdict.bucket.ref, verdict.retryAfterMs);
      }
    }
  }

  /**
   * Returns the bucket in which an admission would overtake requests that arrived earlier;
   * undefined: none.
   */
  #overtaken(claims: readonly Claim[], arrival: number): Bucket | undefined {
    return claims.find(({ bucket }) => bucket.enforced && this.#waitList.isBehind(bucket, arrival))?.bucket;
  }

  /**
   * Grants more output, from what other streams do not use if need be. Grants less than `least`
   * where the budget ends: the rest of it.
   */
  #lengthen(hold: OpenHold, output: OutputDemand, atMs: number): number {
    for (const { window } of hold.parts) {
      window.expire(atMs);
    }
    if (
      this.journalFailure !== undefined &&
      hold.parts.some(({ perOutputToken, window }) => perOutputToken > 0 && failsClosed(window.bucket.ref))
    ) {
      return 0;
    }
    let verdict = evaluateExtension(hold.parts, output);
    while (verdict.type === 'held') {
      const isFreed =
        reclaim(verdict.window, verdict.missing, 'used', hold, this.#shrunk) || recountInput(hold, this.#shrunk);
      verdict = isFreed
        ? evaluateExtension(hold.parts, output)
        : { type: 'fits', outputTokens: remainingTokens(hold.parts) };
    }
    const { outputTokens } = verdict;
    if (outputTokens > 0) {
      hold.extend(outputTokens);
      this.#journal?.hold(hold);
    }
    return outputTokens;
  }

  readonly #shrunk = (hold: OpenHold): void => this.#journal?.hold(hold);

  #admit(claims: readonly Claim[], demand: Demand, { outputTokens, usualTokens }: Fits, atMs: number): Decision {
    const shadowRefused = this.#refusedByShadows(claims, demand);
    const parts: HoldPart[] = [];
    for (const { bucket, draw, index } of claims) {
      const { window } = bucket;
      const { fixed, perInputToken, perOutputToken } = draw;
      if (draw.final) {
        window.charge(fixed, atMs);
        this.#note(window);
        continue;
      }
      const held = fixed + perInputToken * demand.inputTokens + perOutputToken * outputTokens;
      parts.push({ window, index, perInputToken, perOutputToken, held, charged: 0, lease: undefined, leaseIndex: 0 });
    }
    const { id, inputTokens, subject, output } = demand;
    const usual = output.mode === 'lease' ? usualTokens : undefined;
    const known = this.keepsUsage ? subject : undefined;
    const hold = new OpenHold(id, ++this.#holds, parts, inputTokens, usual, known);
    hold.outputTokens = outputTokens;
    this.#journal?.hold(hold);
    const snapshots = claims.map(({ bucket }) => bucketSnapshot(bucket.ref, bucket, atMs));
    const decision = { type: 'granted', hold, outputTokens, snapshots } as const;
    return shadowRefused === undefined ? decision : { ...decision, shadowRefused };
  }

  #refusedByShadows(claims: readonly Claim[], demand: Demand): readonly string[] | undefined {
    let refused: string[] | undefined;
    for (const claim of claims) {
      const { id, mode } = claim.bucket.definition.quota;
      if (mode === 'Shadow' && !hasRoom(claim, demand)) {
        refused ??= [];
        refused.push(id);
      }
    }
    return refused;
  }

  #refusal(
    demand: Demand,
    atMs: number,
    reason: Refusal['reason'],
    bucket: BucketRef,
    retryAfterMs: number | undefined,
  ): Refusal {
    const refused = {
      type: 'refused',
      reason,
      bucket,
      snapshots: this.snapshot(
        demand.draws.map(({ bucket }) => bucket),
        atMs,
      ),
    } as const;
    return retryAfterMs === undefined ? refused : { ...refused, retryAfterMs };
  }

  /** The shortest queue timeout of the quotas whose holds a request may have to wait for. */
  #queueTimeoutMs({ draws, atMs }: Demand): number {
    let least = Number.POSITIVE_INFINITY;
    for (const draw of draws) {
      const bucket = draw.final ? undefined : this.table.find(draw.bucket, atMs);
      if (bucket?.enforced) {
        least = Math.min(least, bucket.definition.quota.queueTimeoutMs);
      }
    }
    return Number.isFinite(least) ? least : 0;
  }

  /** Charges an amount and returns the units by which it passed the limit. */
  #charge({ window, held }: HoldPart, amount: number, atMs: number): number {
    if (amount === 0) {
      return 0;
    }
    window.bucket.roll(atMs);
    const over = window.charge(amount, atMs);
    this.#note(window, amount <= held);
    window.bucket.carryOverdraft(window, over);
    return over;
  }

  /** Notes that a window changed. The journal does not keep windows that replicas share. */
  #note(window: WindowState, mayWait?: boolean): void {
    if (window.share === undefined) {
      this.#journal?.window(window, mayWait);
    }
  }

  /** Forgets a window that has ended, unless open holds keep it. */
  #drop(window: WindowState): void {
    if (window.openHolds === 0) {
      this.#journal?.windowGone(window);
    }
  }
}

const nothing: Cancel = () => {};

function ownHold(hold: Hold): OpenHold {
  if (!(hold instanceof OpenHold)) {
    throw new Error(`invariant: hold ${hold.id} is not from this store`);
  }
  return hold;
}
