/**
 * What data planes report about backends that they leave out. Travels as JSON. A reader ignores
 * members that it does not know.
 */
import { z } from 'zod';

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

const name = z.string().min(1).max(1_024);

const restFields = z.object({
  /** `NAMESPACE/BACKEND`. */
  backend: name,
  /** The only model of the backend that rests; absent: all of them. */
  model: name.exactOptional(),
  /** `NAMESPACE/ROUTE/RULE`: the only rule that leaves the backend out; absent: every rule. */
  rule: name.exactOptional(),
  cause: z.enum(restCauses),
  untilMs: z.number().min(0).max(8.64e15),
});

/** A backend that one data plane leaves out. */
export type RestReport = Readonly<z.output<typeof restFields>>;

/** Returns undefined for what is not a report. */
export function readRestReport(value: unknown): RestReport | undefined {
  return restFields.safeParse(value).data;
}
