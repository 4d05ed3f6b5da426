/** The few statistics that noisy pairs of runs need. */

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length === 0) {
    return Number.NaN;
  }
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
}

export interface Ratio {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/**
 * Returns the median of ratios taken pair by pair, because both runs of a pair are from the same
 * minute.
 */
export function ratioOf(pairs: readonly (readonly [of: number, to: number])[]): Ratio {
  const ratios = pairs.map(([of, to]) => of / to);
  return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
