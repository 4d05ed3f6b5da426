/** Backends that data planes leave out, and why. */

/**
 * Why a backend rests: a cause of `failover.on`, a rate limit of the provider that a response said
 * is spent, or several failures in a row.
 */
export const restCauses = [
  'ConnectFailure',
  '5xx',
  'RateLimited',
  'FirstTokenTimeout',
  'RateLimitSpent',
  'OutlierDetection',
] as const;

export type RestCause = (typeof restCauses)[number];

/** A backend that one data plane leaves out. */
export interface RestReport {
  /** `NAMESPACE/BACKEND`. */
  readonly backend: string;
  /** The only model of the backend that rests; absent: all of them. */
  readonly model?: string;
  /** `NAMESPACE/ROUTE/RULE`: the only rule that leaves the backend out; absent: every rule. */
  readonly rule?: string;
  readonly cause: RestCause;
  readonly untilMs: number;
}
