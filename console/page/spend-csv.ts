/** Spend as a file for spreadsheets, with all groups and all amounts that the gateway returned. */
import type { UsageGroup, UsageSums } from '../../extproc/quota/usage-report.ts';
import { csvLine } from './csv.ts';

/** Returns the sums by time, with one column of cost for each currency. */
export function spendCsv(rows: readonly UsageSums[], step: 'day' | 'hour', group: UsageGroup): string {
  const currencies = [...new Set(rows.flatMap(({ cost }) => Object.keys(cost)))].sort();
  const timeOf = (row: UsageSums) => row.group[step] ?? '';
  const lines = rows
    .toSorted((one, other) => timeOf(one).localeCompare(timeOf(other)))
    .map((row) =>
      csvLine([
        timeOf(row),
        row.group[group] ?? '',
        row.requests,
        row.inputTokens,
        row.cachedInputTokens,
        row.outputTokens,
        row.reasoningOutputTokens,
        ...currencies.map((currency) => Number(row.cost[currency] ?? 0)),
      ]),
    );
  const costs = currencies.map((currency) => `cost ${currency}`);
  return [csvLine([step, group, 'requests', 'input', 'cached', 'output', 'reasoning', ...costs]), ...lines].join('');
}

/** Saves a text as a file of the reader, without asking the gateway again. */
export function save(text: string, name: string): void {
  // Spreadsheets read UTF-8 only with the mark at the start.
  const url = URL.createObjectURL(new Blob(['\uFEFF', text], { type: 'text/csv;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The browser has the file before the next task.
  setTimeout(() => URL.revokeObjectURL(url));
}
