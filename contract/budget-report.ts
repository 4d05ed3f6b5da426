/**
 * What data planes report about budgets to whoever tells people: the controller, or `tallygate
 * run`. Travels as JSON. A reader ignores members that it does not know.
 */
import { z } from 'zod';

const MAX_NAME_CHARACTERS = 600;
const MAX_KEY_PARTS = 4;
/** Longer values are reported by their digest. */
export const MAX_REPORTED_VALUE_CHARACTERS = 256;

const name = z.string().max(MAX_NAME_CHARACTERS);
const instantMs = z.number().min(0).max(8.64e15);
/** A decimal number, so that amounts of money and of tokens stay exact. */
const amount = z
  .string()
  .max(32)
  .regex(/^[0-9]+(\.[0-9]{1,9})?$/);

const reportFields = z.object({
  /** `NAMESPACE/POLICY/QUOTA`. */
  quota: name.regex(/^[^/]+\/[^/]+\/[^/]+$/),
  /** The parts of the key with their values; empty: the quota has no key, or the shared budget. */
  key: z
    .array(z.object({ type: name, name: name.exactOptional(), value: z.string().max(MAX_REPORTED_VALUE_CHARACTERS) }))
    .max(MAX_KEY_PARTS),
  /** The limit type. */
  type: name,
  /** Of `Cost`. */
  currency: name.exactOptional(),
  /** `unit` of `Calendar`, `durationMs` of `Sliding`. */
  window: z.object({ type: name, unit: name.exactOptional(), durationMs: z.number().min(1).exactOptional() }),
  spent: amount,
  held: amount,
  limit: amount,
  /** The amounts are those of all proxies together; absent: of this one. */
  isShared: z.boolean().exactOptional(),
  /** Since when the spent amount counts; absent: unknown. */
  startMs: instantMs.exactOptional(),
  /** When it no longer counts; absent: never. */
  endMs: instantMs.exactOptional(),
});

/** The state of one budget. */
export type BudgetReport = Readonly<z.output<typeof reportFields>>;

const thresholdFields = reportFields.extend({
  percent: z.int().min(1).max(100),
  /** When the threshold was reached. */
  atMs: instantMs,
  /** Only receivers of webhooks may see the key. */
  hidesKey: z.boolean().exactOptional(),
});

/** A budget of which a percentage of `alertAt` was spent. */
export type ThresholdReport = Readonly<z.output<typeof thresholdFields>>;

/** Returns undefined for what is not a report. */
export function readBudgetReport(value: unknown): BudgetReport | undefined {
  return reportFields.safeParse(value).data;
}

/** Returns undefined for what is not a report. */
export function readThresholdReport(value: unknown): ThresholdReport | undefined {
  return thresholdFields.safeParse(value).data;
}
