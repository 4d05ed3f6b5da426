/**
 * The limit types, one row each: what a request draws at admission, what its usage amounts to, and
 * how headers and refusals name the limit. Everything that depends on a limit type is here; adding
 * one is adding a row.
 */
import type { LimitType, Quota } from '../../contract/policy.ts';
import type { BucketRef, Draw } from './store.ts';

/** The infix of the rate limit headers of a limit type, as the providers' own clients read them. */
export type LimitKind = 'requests' | 'tokens' | 'input-tokens' | 'output-tokens';

/** The tokens that a request used; a part of the usage record. */
export interface UsedTokens {
  readonly input: number;
  readonly output: number;
}

/** All amounts are whole numbers of the unit: a unit with fractions counts in a smaller one. */
interface Unit {
  /** Drawn by each request, whatever its tokens. */
  readonly fixed: number;
  readonly perInputToken: number;
  readonly perOutputToken: number;
  readonly amount: (usage: UsedTokens) => number;
  readonly header: LimitKind;
  /** The plural noun in refusals. */
  readonly noun: string;
  readonly exceededCode: 'quota_exceeded' | 'request_rate_exceeded';
}

const units: Readonly<Record<LimitType, Unit>> = {
  Requests: {
    fixed: 1,
    perInputToken: 0,
    perOutputToken: 0,
    amount: () => 1,
    header: 'requests',
    noun: 'requests',
    exceededCode: 'request_rate_exceeded',
  },
  InputTokens: {
    fixed: 0,
    perInputToken: 1,
    perOutputToken: 0,
    amount: ({ input }) => input,
    header: 'input-tokens',
    noun: 'input tokens',
    exceededCode: 'quota_exceeded',
  },
  OutputTokens: {
    fixed: 0,
    perInputToken: 0,
    perOutputToken: 1,
    amount: ({ output }) => output,
    header: 'output-tokens',
    noun: 'output tokens',
    exceededCode: 'quota_exceeded',
  },
  TotalTokens: {
    fixed: 0,
    perInputToken: 1,
    perOutputToken: 1,
    amount: ({ input, output }) => input + output,
    header: 'tokens',
    noun: 'tokens',
    exceededCode: 'quota_exceeded',
  },
};

/**
 * Returns the row of a quota's limit type. The policy is checked when it is read, so every type has
 * one.
 */
export function unitOf({ limit }: Quota): Unit {
  return units[limit.type];
}

export function drawsInput(quota: Quota): boolean {
  return unitOf(quota).perInputToken > 0;
}

export function drawsOutput(quota: Quota): boolean {
  return unitOf(quota).perOutputToken > 0;
}

/** Whether a quota counts what requests use, as opposed to the requests themselves. */
export function drawsTokens(quota: Quota): boolean {
  return drawsInput(quota) || drawsOutput(quota);
}

/** Returns what a request draws on a bucket. */
export function drawOn(bucket: BucketRef): Draw {
  const { fixed, perInputToken, perOutputToken } = unitOf(bucket.quota);
  return { bucket, unit: bucket.quota.limit.type, fixed, perInputToken, perOutputToken };
}
