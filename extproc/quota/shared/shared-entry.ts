/** A window that this replica shares with others: its allowance, and who waits for more of it. */
import type { PolicyRevision } from '../../../contract/policy-version.ts';
import type { Need } from '../admit.ts';
import type { WindowState } from '../bucket.ts';
import type { WindowShare } from '../window-share.ts';
import { Allowance, type WindowOperation } from './allowance.ts';
import type { AllowanceAnswer } from './allowances.ts';
import { AttemptLine } from './attempt.ts';
import { neighborsOf, sharedWindow } from './shared-window.ts';

/**
 * The part of a limit that a replica spends of a window without the shared store, in `Degrade`: at
 * least 1 unit.
 */
const LOCAL_SHARE = 0.05;

export const nothingNeeded: Need = { least: 0, usual: 0 };

/** What an entry asks of its owner. */
export interface EntryOwner {
  readonly newId: () => string;
  /** The entry has something to send. */
  activate(entry: SharedEntry): void;
}

export class SharedEntry implements WindowShare {
  readonly window: WindowState;
  readonly allowance: Allowance;
  readonly slidingMs: number;
  readonly #owner: EntryOwner;
  readonly line = new AttemptLine();
  /** What the newest request needed. */
  need = nothingNeeded;
  isActive = false;
  /** Since when the bucket has a later window, by the steady clock. */
  pastSinceMs: number | undefined;
  budget = 0;
  limit: number;
  retryAtMs = 0;
  countedSinceMs: number | undefined;
  countedAtMs: number | undefined;
  /** Taken of the window, except what this replica may still spend; by the last answer. */
  #outside = 0;
  #spent = 0;
  /** What `#spent` includes of the charges of this replica. */
  #included = 0;
  /** Units past the limit of which requests were told, and which no answer has included yet. */
  #told = 0;
  /** Units spent beyond the allowance while the store was lost, and whether it was just now. */
  #overdrawn = 0;
  #wasLost = false;

  constructor(window: WindowState, revision: PolicyRevision, owner: EntryOwner) {
    const shared = sharedWindow(window, revision);
    this.window = window;
    this.#owner = owner;
    this.slidingMs = shared.slidingMs;
    this.limit = shared.limit;
    this.allowance = new Allowance(shared, neighborsOf(window), owner.newId);
  }

  /** Where the limit of the policy changed, sends the new one from now on. */
  follow(revision: PolicyRevision): void {
    const { window, allowance } = this;
    const limit = window.bucket.amount;
    if (allowance.window.limit !== limit && window.kind === window.bucket.definition.kind) {
      const { epoch, counter } = revision;
      allowance.window = { ...allowance.window, limit, limitEpoch: epoch, limitCounter: counter };
      this.#owner.activate(this);
    }
  }

  /** Takes over an answer that the allowance has accepted. */
  answered(answer: AllowanceAnswer, atMs: number): void {
    const { allowance, window } = this;
    if (answer.state === 'refused') {
      this.refresh(false);
      return;
    }
    this.limit = answer.limit;
    this.countedAtMs = answer.nowMs;
    this.#spent = answer.spent;
    this.#included = allowance.reportedUse;
    this.#outside = answer.taken - (allowance.budget - allowance.reportedUse);
    this.retryAtMs = atMs + answer.retryMs;
    this.countedSinceMs = answer.spent > 0 ? atMs - answer.ageMs : undefined;
    this.refresh(false);
    this.#noteOverdraft(answer);
    const { alertAt } = window.bucket.definition.quota;
    if (alertAt !== undefined && answer.spent > answer.spentBefore) {
      this.#alert(alertAt, answer, atMs);
    }
  }

  /** Computes what this replica may spend, with or without the shared store. */
  refresh(isLost: boolean): void {
    const { mode, onStoreLoss } = this.window.bucket.definition.quota;
    const { budget } = this.allowance;
    this.#wasLost ||= isLost;
    if (mode === 'Shadow') {
      this.budget = this.limit - this.#outside + this.#included;
    } else if (!isLost || onStoreLoss === 'FailClosed') {
      this.budget = budget;
    } else if (onStoreLoss === 'FailOpen') {
      this.budget = Number.POSITIVE_INFINITY;
    } else {
      const local = Math.ceil(this.limit * LOCAL_SHARE);
      this.budget = budget + Math.max(0, local - this.#overdrawn);
    }
  }

  /** Notes before an answer what was spent without the store. */
  noteOverdrawn(): void {
    if (this.#wasLost && this.allowance.window.type === 'fixed') {
      const { used, held } = this.window;
      this.#overdrawn += Math.max(0, used + held - this.allowance.budget);
    }
    this.#wasLost = false;
  }

  /**
   * Forgets what was charged here. Only a window that counts from its start needs the sum, to tell
   * whether the bucket was used.
   */
  settled(): void {
    if (this.allowance.window.type !== 'fixed') {
      this.window.restore(0, 0, 0);
      this.allowance.restart();
      this.#included = 0;
      this.refresh(false);
    }
  }

  spentWith(used: number): number {
    return this.#spent + Math.max(0, used - this.#included);
  }

  remainingWith(used: number, held: number): number {
    return this.limit - this.#outside - Math.max(0, used + held - this.#included);
  }

  charged(over: number): void {
    this.#told += over;
  }

  reset(): void {
    this.#operate({ operation: 'reset', operationId: this.#owner.newId(), operationUnits: 0 });
  }

  grant(units: number): void {
    // The next answer has the limit with all grants.
    this.limit += units;
    this.#operate({ operation: 'grant', operationId: this.#owner.newId(), operationUnits: units });
  }

  #operate(operation: WindowOperation): void {
    this.allowance.operate(operation);
    this.#owner.activate(this);
  }

  /**
   * Reports by how much the exchange passed the limit beyond what requests were told: a charge
   * seems to stay within the limit while others have not reported what they spent. The first
   * request of an allowance reports nothing, but may find the debt of the window before.
   */
  #noteOverdraft({ number, spentBefore, spent, limit }: AllowanceAnswer): void {
    const over = number === 1 ? 0 : Math.max(0, spent - Math.max(limit, spentBefore));
    const untold = over - this.#told;
    const { window, allowance } = this;
    this.#told = window.used === allowance.reportedUse ? 0 : Math.max(0, -untold);
    if (untold > 0 && window.bucket.enforced) {
      window.bucket.overdrawn(untold);
    }
  }

  #alert(percents: readonly number[], { spentBefore, spent, limit }: AllowanceAnswer, atMs: number): void {
    const { bucket, held, times } = this.window;
    for (const percent of percents) {
      const threshold = (limit * percent) / 100;
      if (spentBefore < threshold && spent >= threshold) {
        bucket.alert({ bucket: bucket.ref, percent, spent, held, limit, atMs, ...times });
      }
    }
  }
}
