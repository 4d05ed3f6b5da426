/** Draws the ratios to Envoy alone as an SVG. */
import type { Comparison } from './results.ts';
import { both, emptyRate } from './summary.ts';

const LABEL_PX = 400;
const BAR_PX = 360;
const BAR_HEIGHT_PX = 12;
const ROW_PX = 36;
const TOP_PX = 48;

/** The ratio at the right end of the chart. */
const FULL = 1;

/** Returns a chart of the comparisons under load. */
export function ratioChart(comparisons: readonly Comparison[]): string {
  const loads = comparisons.filter(({ kind }) => kind === 'load');
  const height = TOP_PX + loads.length * ROW_PX + 12;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LABEL_PX + BAR_PX + 60}" height="${height}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    text(12, 20, 'Requests per second, ratio to Envoy alone'),
    bar(LABEL_PX, 30, 12, TALLYGATE),
    text(LABEL_PX + 18, 40, 'Tallygate'),
    bar(LABEL_PX + 100, 30, 12, EMPTY),
    text(LABEL_PX + 118, 40, 'a processor that only returns the bytes'),
    ...loads.flatMap((one, index) => row(one, TOP_PX + index * ROW_PX)),
    '</svg>\n',
  ].join('\n');
}

const TALLYGATE = '#1f6feb';
const EMPTY = '#b6bdc7';

function row(comparison: Comparison, top: number): readonly string[] {
  const { median } = both(comparison, (sample) => sample.requestsPerSecond).ratio;
  const limit = emptyRate(comparison)?.median;
  return [
    text(12, top + 18, comparison.name),
    ...labelled(top + 4, median, TALLYGATE),
    ...(limit === undefined ? [] : labelled(top + 4 + BAR_HEIGHT_PX, limit, EMPTY)),
  ];
}

function labelled(top: number, ratio: number, colour: string): readonly string[] {
  const width = Math.max(0, Math.min(FULL, ratio)) * BAR_PX;
  return [bar(LABEL_PX, top, width, colour), text(LABEL_PX + width + 4, top + BAR_HEIGHT_PX - 2, ratio.toFixed(2))];
}

function bar(left: number, top: number, width: number, colour: string): string {
  return `<rect x="${left}" y="${top}" width="${width.toFixed(1)}" height="${BAR_HEIGHT_PX}" fill="${colour}"/>`;
}

function text(left: number, top: number, words: string): string {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${left.toFixed(1)}" y="${top}" fill="#24292f">${escaped}</text>`;
}
