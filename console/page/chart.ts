/** The chart of spend: stacked bars. Its table is beside it, for those who cannot see it. */
import { type ComponentChildren, h } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { type Spend, stacked } from './spend-series.ts';

const HEIGHT = 220;

export function SpendChart({ spend, label }: { readonly spend: Spend; readonly label: string }): ComponentChildren {
  const element = useRef<HTMLDivElement>(null);
  const isDark = useDarkMode();
  useEffect(() => {
    const parent = element.current;
    if (parent === null) {
      return undefined;
    }
    const plot = new uPlot(optionsFor(spend, parent), dataOf(spend), parent);
    const resized = new ResizeObserver(() => plot.setSize({ width: parent.clientWidth, height: HEIGHT }));
    resized.observe(parent);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [spend, isDark]);
  return h('div', { class: 'chart', ref: element, role: 'img', 'aria-label': label });
}

/** The highest bars are drawn first, behind the others. */
function dataOf(spend: Spend): uPlot.AlignedData {
  return [
    spend.timesMs.map((ms) => ms / 1000),
    ...stacked(spend)
      .toReversed()
      .map((values) => [...values]),
  ];
}

function optionsFor({ series, timesMs }: Spend, parent: HTMLElement): uPlot.Options {
  const style = getComputedStyle(parent);
  const color = (name: string) => resolved(style.getPropertyValue(name), parent);
  const axis = { stroke: color('--quiet'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false } };
  const bars = uPlot.paths.bars!({ size: [0.7, 48] });
  const halfStep = ((timesMs[1] ?? 0) - (timesMs[0] ?? 0)) / 2000;
  return {
    width: parent.clientWidth,
    height: HEIGHT,
    // As the tables.
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'UTC'),
    legend: { show: false },
    cursor: { show: false },
    scales: {
      // With room for half a bar at both ends.
      x: { range: (_plot, first, last) => [first - halfStep, last + halfStep] },
      y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.05 : 1] },
    },
    axes: [axis, { ...axis, size: 70 }],
    series: [
      {},
      ...series.map((_, nth) => {
        const fill = color(`--series-${series.length - nth}`);
        return { stroke: fill, fill, width: 0, points: { show: false }, paths: bars };
      }),
    ],
  };
}

/** A canvas does not know `light-dark()`. */
function resolved(value: string, parent: HTMLElement): string {
  const probe = document.createElement('span');
  probe.style.color = value;
  parent.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function useDarkMode(): boolean {
  const [query] = useState(() => matchMedia('(prefers-color-scheme: dark)'));
  const [isDark, setDark] = useState(query.matches);
  useEffect(() => {
    const changed = () => setDark(query.matches);
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, []);
  return isDark;
}
