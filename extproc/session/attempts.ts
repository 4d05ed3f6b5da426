/**
 * The attempts of one request: the targets that may serve it, one after the other, before the
 * client gets a byte. Pure.
 */
import type { AttemptRoutes, AttemptTarget, FailoverCause } from '../../contract/policy.ts';
import type { HeaderList } from '../exchange.ts';
import type { AttemptRecord } from '../record.ts';
import type { QuotaPlan } from './admission/quota-plan.ts';
import type { RoutingDecision } from './admission/select-backend.ts';
import { type FailedAttempt, type FailoverContext, failedAttempt, lateAttempt, unansweredAttempt } from './failover.ts';
import type { PreparedRequest } from './request.ts';

/** A target that may serve the request if those before it fail. */
export interface Candidate {
  readonly choice: RoutingDecision;
  readonly plan: QuotaPlan;
  /** Returns undefined where the request cannot be converted for the target. */
  readonly prepare: () => PreparedRequest | undefined;
}

/** A failed attempt whose prompt the provider bills. */
export interface BilledAttempt {
  readonly choice: RoutingDecision;
  readonly inputTokens: number;
}

/** Envoy ends an attempt in which no token came in time. If it does not, we end the request. */
export const LATE_ATTEMPT_MS = 2_000;

export class Attempts {
  /** The first one is the target that was chosen. */
  readonly candidates: readonly Candidate[];
  readonly records: AttemptRecord[] = [];
  readonly billed: BilledAttempt[] = [];
  /** Names of the headers that the last attempt set or removed; the next one begins with them. */
  changedHeaders: readonly string[] = [];
  readonly #routes: AttemptRoutes;
  readonly #timed: boolean;
  /** The current attempt; -1 before the first one. */
  #at = -1;
  #beganMs = 0;
  #answered = false;
  #late = false;

  constructor(routes: AttemptRoutes, candidates: readonly Candidate[]) {
    this.#routes = routes;
    this.candidates = candidates;
    this.#timed = this.streams && routes.timedRoute !== undefined;
  }

  /** The value of the route header. */
  get route(): string {
    return this.#timed ? this.#routes.timedRoute! : this.#routes.route;
  }

  /** Whether the client asked for a stream. */
  get streams(): boolean {
    return this.candidates[0]!.choice.facts.stream;
  }

  get targets(): readonly string[] {
    return this.candidates.map(({ choice }) => choice.target.id);
  }

  /** How many attempts came before the current one. */
  get before(): number {
    return Math.max(0, this.#at);
  }

  rewriteOf({ target }: RoutingDecision): AttemptTarget['rewrite'] {
    return this.#routes.targets.find(({ id }) => id === target.id)?.rewrite;
  }

  /**
   * Begins the next attempt, at this backend. Returns undefined where none is left, or Envoy has
   * chosen another backend than we told it.
   */
  begin(backend: string, nowMs: number): PreparedRequest | undefined {
    const next = this.candidates[this.#at + 1];
    if (next === undefined || next.choice.target.backend !== backend) {
      return undefined;
    }
    this.#at++;
    this.#beganMs = nowMs;
    this.#answered = false;
    this.#late = false;
    return next.prepare();
  }

  /**
   * Notes, as the next attempt begins, that the current one got no response. Returns how it failed,
   * if its backend must rest from now on.
   */
  unanswered(context: FailoverContext | undefined, nowMs: number): FailedAttempt | undefined {
    if (this.#at < 0 || this.#answered) {
      return undefined;
    }
    if (this.#late) {
      // Its backend rests since the timeout.
      this.#note(undefined, 'FirstTokenTimeout', nowMs);
      return undefined;
    }
    const failed = unansweredAttempt(context);
    this.#note(undefined, failed?.cause, nowMs);
    return failed;
  }

  /** Whether every attempt so far failed in a way for which the rule wants another one. */
  get mayContinue(): boolean {
    return this.records.every(({ cause }) => cause !== undefined);
  }

  /**
   * Reads the headers of the response to the current attempt. Returns how it failed, if the next
   * attempt replaces it.
   */
  answered(context: FailoverContext | undefined, headers: HeaderList, nowMs: number): FailedAttempt | undefined {
    const status = Number(headers.find(([name]) => name === ':status')?.[1]);
    const outcome = { status, failure: undefined, interruption: undefined };
    const failed = failedAttempt(context, outcome, headers, nowMs);
    if (failed?.cause === undefined || this.candidates[this.#at + 1]?.prepare() === undefined) {
      return undefined;
    }
    this.#note(status, failed.cause, nowMs);
    return failed;
  }

  /**
   * Notes that no token came in time. Returns how the attempt failed, if Envoy ends it and makes
   * the next one. The provider has the prompt and bills it, so it is charged.
   */
  late(context: FailoverContext | undefined): FailedAttempt | undefined {
    const failed = lateAttempt(context);
    const hasNext = this.#at >= 0 && this.#at + 1 < this.candidates.length;
    if (!this.#timed || this.#late || !hasNext || failed === undefined) {
      return undefined;
    }
    this.#late = true;
    const { choice, prepare } = this.candidates[this.#at]!;
    this.billed.push({ choice, inputTokens: prepare()?.input.likely() ?? 0 });
    return failed;
  }

  /** Returns all attempts where there were several; `status` is what the last one responded. */
  all(
    status: number | undefined,
    cause: FailoverCause | undefined,
    nowMs: number,
  ): readonly AttemptRecord[] | undefined {
    const isOpen = this.#at >= 0 && !this.#answered;
    if (this.records.length + (isOpen ? 1 : 0) < 2) {
      return undefined;
    }
    return isOpen ? [...this.records, this.#record(status, cause, nowMs)] : this.records;
  }

  #note(status: number | undefined, cause: FailoverCause | undefined, nowMs: number): void {
    this.#answered = true;
    this.records.push(this.#record(status, cause, nowMs));
  }

  #record(status: number | undefined, cause: FailoverCause | undefined, nowMs: number): AttemptRecord {
    const { backend } = this.candidates[this.#at]!.choice.target;
    return { backend, status, cause, durationMs: nowMs - this.#beganMs };
  }
}
