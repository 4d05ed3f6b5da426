/**
 * Draws a dashboard as a page without scripts, so that a person can see what its queries return.
 * Only the places, titles and kinds of panels are Grafana's.
 */
import type { PrometheusSeries } from '../../../fixtures/prometheus-server.ts';
import type { PanelTarget, ShownDashboard, ShownPanel } from '../../data-plane/support/dashboards.ts';

/** What the queries of a panel returned, in their order. */
export type PanelResults = ReadonlyMap<ShownPanel, readonly (readonly PrometheusSeries[])[]>;

const COLUMN = 55;
const ROW = 36;
const MOST_ROWS = 8;
const COLORS = ['#73bf69', '#f2cc0c', '#5794f2', '#ff9830', '#f2495c', '#b877d9', '#8ab8ff', '#96d98d'];

const STYLE = `
  body { margin: 0; width: ${24 * COLUMN}px; background: #111217; color: #ccccdc; font: 12px sans-serif }
  section, h2 { position: absolute; box-sizing: border-box; overflow: hidden; margin: 0 }
  section { background: #181b1f; border: 4px solid #111217; padding: 6px }
  h2 { font-size: 15px; padding: 8px }
  h3 { font-size: 12px; margin: 0 0 4px }
  .value { font-size: 26px; margin-right: 12px }
  .empty { opacity: 0.5 }
  svg { display: block; width: 100%; height: 62% }
  td { padding: 1px 8px 1px 0; white-space: nowrap }`;

export function dashboardPage({ title, panels }: ShownDashboard, results: PanelResults): string {
  const height = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * ROW;
  const shown = panels.map((panel) => panelPart(panel, results.get(panel) ?? [])).join('');
  return `<!doctype html><title>${text(title)}</title><style>${STYLE} body { height: ${height}px }</style>${shown}`;
}

function panelPart(panel: ShownPanel, results: readonly (readonly PrometheusSeries[])[]): string {
  const { x, y, w, h } = panel.gridPos;
  const place = `left:${x * COLUMN}px;top:${y * ROW}px;width:${w * COLUMN}px;height:${h * ROW}px`;
  if (panel.type === 'row') {
    return `<h2 style="${place}">${text(panel.title)}</h2>`;
  }
  const found = results.flat();
  const inner = found.length === 0 ? 'No data' : contentOf(panel, results);
  const state = found.length === 0 ? ' class="empty"' : '';
  return `<section${state} style="${place}"><h3>${text(panel.title)}</h3>${inner}</section>`;
}

function contentOf({ type, targets }: ShownPanel, results: readonly (readonly PrometheusSeries[])[]): string {
  const series = results.flatMap((found, query) => found.map((one) => named(one, targets?.[query])));
  switch (type) {
    case 'stat':
      return series.map(({ name, last }) => `<span class="value">${number(last)}</span>${text(name)} `).join('');
    case 'timeseries':
    case 'state-timeline':
      return `${chart(series)}${rowsOf(series.map(({ name, last }) => [name, [last]]))}`;
    case 'table':
      return rowsOf(merged(results));
    default:
      return rowsOf(series.map(({ name, last }) => [name, [last]]));
  }
}

/** Returns one row for each set of labels, with a value of each query, as Grafana merges them. */
function merged(results: readonly (readonly PrometheusSeries[])[]): readonly Row[] {
  const rows = new Map<string, number[]>();
  for (const [query, found] of results.entries()) {
    for (const { name, last } of found.map((one) => named(one, undefined))) {
      const values = rows.get(name) ?? results.map(() => Number.NaN);
      values[query] = last;
      rows.set(name, values);
    }
  }
  return [...rows];
}

type Row = readonly [string, readonly number[]];

interface NamedSeries {
  readonly name: string;
  readonly points: PrometheusSeries['points'];
  readonly last: number;
}

function named({ labels, points }: PrometheusSeries, target: PanelTarget | undefined): NamedSeries {
  const all = Object.values(labels).join(' ');
  const name = target?.legendFormat?.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '') ?? all;
  return { name, points, last: points.at(-1)?.[1] ?? Number.NaN };
}

function chart(series: readonly NamedSeries[]): string {
  const points = series.flatMap((one) => one.points).filter(([, value]) => Number.isFinite(value));
  const first = Math.min(...points.map(([second]) => second));
  const last = Math.max(...points.map(([second]) => second), first + 1);
  const most = Math.max(...points.map(([, value]) => value), Number.MIN_VALUE);
  const lines = series.map((one, nth) => {
    const path = one.points
      .filter(([, value]) => Number.isFinite(value))
      .map(([second, value]) => `${(100 * (second - first)) / (last - first)},${99 - (98 * value) / most}`);
    const color = COLORS[nth % COLORS.length];
    return `<polyline points="${path.join(' ')}" fill="none" stroke="${color}" vector-effect="non-scaling-stroke"/>`;
  });
  return `<svg viewBox="0 0 100 100" preserveAspectRatio="none">${lines.join('')}</svg>`;
}

function rowsOf(rows: readonly Row[]): string {
  const shown = rows.slice(0, MOST_ROWS).map(([name, values], nth) => {
    const cells = values.map((value) => `<td>${number(value)}</td>`).join('');
    return `<tr><td style="color:${COLORS[nth % COLORS.length]}">${text(name)}</td>${cells}</tr>`;
  });
  return `<table>${shown.join('')}</table>`;
}

const formatter = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, notation: 'compact' });
const number = (value: number) => (Number.isFinite(value) ? formatter.format(value) : '–');
const text = (value: string) => value.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
