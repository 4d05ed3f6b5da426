/** Replicas and windows for the tests of an implementation of the shared store. */
import assert from 'node:assert/strict';
import type { AllowanceAnswer, AllowanceRequest, AllowanceStore, SharedWindow } from '../allowances.ts';

/** A store under test. */
export interface TestedStore {
  readonly store: AllowanceStore;
  /** The store's clock. */
  nowMs(): Promise<number>;
  /** Lets time pass for the store. */
  pass(ms: number): Promise<void>;
}

/** Ids are unique over all tests, so that tests may share a store. */
let ids = 0;

export function newSuiteId(): string {
  return `suite-${process.pid}-${++ids}`;
}

/** One replica of one window. */
export class SuiteReplica {
  readonly #tested: TestedStore;
  readonly window: SharedWindow;
  allowance = newSuiteId();
  number = 0;
  seenMs = 0;

  constructor(tested: TestedStore, window: SharedWindow) {
    this.#tested = tested;
    this.window = window;
  }

  request(spent: number, want: number, more: Partial<AllowanceRequest> = {}): AllowanceRequest {
    return {
      window: this.window,
      allowance: this.allowance,
      number: ++this.number,
      spent,
      want,
      least: 0,
      ttlMs: 2_000,
      seenMs: this.seenMs,
      operation: 'none',
      operationId: '',
      operationUnits: 0,
      ...more,
    };
  }

  async ask(spent: number, want: number, more: Partial<AllowanceRequest> = {}): Promise<AllowanceAnswer> {
    return this.send(this.request(spent, want, more));
  }

  async send(request: AllowanceRequest): Promise<AllowanceAnswer> {
    const answer = await new Promise<AllowanceAnswer | undefined>((resolve) => {
      this.#tested.store.exchange(request, resolve);
    });
    assert.ok(answer !== undefined, 'the exchange failed');
    this.seenMs = Math.max(this.seenMs, answer.nowMs);
    assert.equal(answer.allowance, request.allowance);
    assert.equal(answer.number, request.number);
    return answer;
  }
}

export type Check = (title: string, run: (tested: TestedStore) => Promise<void>) => void;

export async function fixed(
  tested: TestedStore,
  limit: number,
  more: Partial<SharedWindow> = {},
): Promise<SharedWindow> {
  const nowMs = await tested.nowMs();
  const bucket = newSuiteId();
  return {
    key: `${bucket}@1`,
    bucket,
    type: 'fixed',
    limit,
    limitEpoch: 1,
    limitCounter: 1,
    startMs: nowMs - 1_000,
    endMs: nowMs + 3_600_000,
    slidingMs: 0,
    previousKey: '',
    ...more,
  };
}

export async function sliding(tested: TestedStore, limit: number, slidingMs: number): Promise<SharedWindow> {
  return fixed(tested, limit, { type: 'sliding', slidingMs, startMs: 0, endMs: Number.POSITIVE_INFINITY });
}

export function pick<K extends keyof AllowanceAnswer>(answer: AllowanceAnswer, ...keys: K[]): Pick<AllowanceAnswer, K> {
  return Object.fromEntries(keys.map((key) => [key, answer[key]])) as Pick<AllowanceAnswer, K>;
}
