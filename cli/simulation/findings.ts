/** What a simulation finds: refusals by quota and key, and what it cannot tell. */
import { decimalText } from '../../contract/money.ts';
import type { Quota } from '../../contract/policy.ts';
import type { BucketRef } from '../../extproc/quota/store.ts';
import { shownAmount, unitNoun } from '../../extproc/quota/units.ts';
import type { RecordedRequest } from '../../extproc/quota/usage-records.ts';

/** What one quota would have done to the requests of one key. */
export interface SimulatedKey {
  readonly quota: string;
  /** The values of the key; empty: a quota without a key, or requests without a key. */
  readonly key: readonly string[];
  /** Of a `Shadow` quota, the requests would have been served. */
  readonly mode: Quota['mode'];
  readonly refused: number;
  /** Requests whose output would have ended early. */
  readonly cut: number;
  /** When a request was first refused or cut. */
  readonly first: string;
  /** Refused requests by reason. */
  readonly reasons: Readonly<Record<string, number>>;
  /** What was not served, in the unit of the quota; money is a decimal number. */
  readonly amount: number | string;
  readonly unit: string;
  /** Tokens that were not served. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Recorded costs of the refused requests, as decimal numbers by currency. */
  readonly cost: Readonly<Record<string, string>>;
}

/** Something that the simulation leaves out, or knows only roughly. */
export interface SimulationGap {
  /** Absent: all quotas. */
  readonly quota?: string;
  readonly reason: string;
  /** The requests concerned; absent: all. */
  readonly requests?: number;
}

/** What a quota did not serve of a request. */
export interface Unserved {
  /** In units of the quota. */
  readonly amount: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

interface OpenKey {
  readonly bucket: BucketRef;
  readonly reasons: Map<string, number>;
  readonly nanos: Map<string, number>;
  readonly firstMs: number;
  refused: number;
  cut: number;
  amount: number;
  inputTokens: number;
  outputTokens: number;
}

export class SimulationFindings {
  readonly #keys = new Map<string, OpenKey>();

  refused(bucket: BucketRef, reason: string, request: RecordedRequest, unserved: Unserved): void {
    const key = this.#add(bucket, request, unserved);
    key.refused++;
    key.reasons.set(reason, (key.reasons.get(reason) ?? 0) + 1);
    if (request.cost !== null) {
      const { currency, nanos } = request.cost;
      key.nanos.set(currency, (key.nanos.get(currency) ?? 0) + nanos);
    }
  }

  cut(bucket: BucketRef, request: RecordedRequest, unserved: Unserved): void {
    this.#add(bucket, request, unserved).cut++;
  }

  /** Returns the keys with the most refused requests first. */
  keys(): readonly SimulatedKey[] {
    return [...this.#keys.values()]
      .sort((one, other) => other.refused - one.refused || other.cut - one.cut)
      .map(({ bucket: { quota, values }, reasons, nanos, firstMs, amount, ...sums }) => ({
        quota: quota.id,
        key: values,
        mode: quota.mode,
        first: new Date(firstMs).toISOString(),
        reasons: Object.fromEntries(reasons),
        amount: shownAmount(quota, amount),
        unit: unitNoun(quota),
        cost: Object.fromEntries([...nanos].map(([currency, sum]) => [currency, decimalText(sum)])),
        ...sums,
      }));
  }

  #add(bucket: BucketRef, { timeMs }: RecordedRequest, unserved: Unserved): OpenKey {
    let key = this.#keys.get(bucket.key);
    if (key === undefined) {
      const none = { refused: 0, cut: 0, amount: 0, inputTokens: 0, outputTokens: 0 };
      key = { bucket, reasons: new Map(), nanos: new Map(), firstMs: timeMs, ...none };
      this.#keys.set(bucket.key, key);
    }
    key.amount += unserved.amount;
    key.inputTokens += unserved.inputTokens;
    key.outputTokens += unserved.outputTokens;
    return key;
  }
}

/** Counts requests by quota and reason. */
export class SimulationGaps {
  readonly #gaps = new Map<string, { readonly quota?: string; readonly reason: string; requests: number }>();

  add(quota: Quota | undefined, reason: string): void {
    const key = `${quota?.id ?? ''} ${reason}`;
    const gap = this.#gaps.get(key) ?? { ...(quota && { quota: quota.id }), reason, requests: 0 };
    gap.requests++;
    this.#gaps.set(key, gap);
  }

  list(): readonly SimulationGap[] {
    return [...this.#gaps.values()];
  }
}
