/** Adds the sums of usage of several gateways. */
import { decimalText, nanoUnits } from '../../contract/money.ts';
import type { UsageSums } from '../../extproc/quota/usage-report.ts';

/** Returns one row for each group, most tokens first. */
export function mergedUsage(reports: readonly (readonly UsageSums[])[]): readonly UsageSums[] {
  const groups = new Map<string, UsageSums>();
  for (const row of reports.flat()) {
    const key = JSON.stringify(Object.entries(row.group).sort());
    const sums = groups.get(key);
    groups.set(key, sums === undefined ? row : added(sums, row));
  }
  const tokens = ({ inputTokens, outputTokens }: UsageSums) => inputTokens + outputTokens;
  return [...groups.values()].sort((one, other) => tokens(other) - tokens(one));
}

function added(one: UsageSums, other: UsageSums): UsageSums {
  const cost: Record<string, string> = { ...one.cost };
  for (const [currency, amount] of Object.entries(other.cost)) {
    cost[currency] = decimalText(nanoUnits(cost[currency] ?? '0') + nanoUnits(amount));
  }
  return {
    group: one.group,
    requests: one.requests + other.requests,
    inputTokens: one.inputTokens + other.inputTokens,
    cachedInputTokens: one.cachedInputTokens + other.cachedInputTokens,
    cacheWriteInputTokens: one.cacheWriteInputTokens + other.cacheWriteInputTokens,
    outputTokens: one.outputTokens + other.outputTokens,
    reasoningOutputTokens: one.reasoningOutputTokens + other.reasoningOutputTokens,
    cost,
  };
}
