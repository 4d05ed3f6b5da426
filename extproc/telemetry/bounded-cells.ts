import type { Sum, SumCell } from '../../runtime/metric-table.ts';

/**
 * The most label tuples of one metric, such as quota and cause. A policy bounds them; this bounds
 * those of all policies since the start.
 */
const MAX_CELLS = 2000;

/** Returns a function that adds to the cell of a key. */
export function boundedCells(
  sum: Sum,
): (key: string, attributes: () => Readonly<Record<string, string>>, by?: number) => void {
  const cells = new Map<string, SumCell>();
  let overflow: SumCell | undefined;
  return (key, attributes, by = 1) => {
    let cell = cells.get(key);
    if (cell === undefined && cells.size < MAX_CELLS) {
      cell = sum.cell(attributes());
      cells.set(key, cell);
    }
    if (cell === undefined) {
      overflow ??= sum.cell({ 'otel.metric.overflow': true });
      cell = overflow;
    }
    cell.value += by;
  };
}
