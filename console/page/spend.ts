/** Spend by tenant, user, model and so on, over days or hours. */
import { type ComponentChildren, h } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { UsageGroup, UsageSums } from '../../extproc/quota/usage-report.ts';
import type { Bounded } from '../api/source.ts';
import { SpendChart } from './chart.ts';
import { shownMoney, shownNumber } from './format.ts';
import { Choice, DataTable, Section } from './parts.ts';
import { usePolled } from './polled.ts';
import { save, spendCsv } from './spend-csv.ts';
import { type Measure, measuresOf, type Spend, type SpendSeries, spendOf } from './spend-series.ts';

const HOUR_MS = 3_600_000;
/** So that the chart appears soon after the first request. */
const EMPTY_EVERY_MS = 2_000;

const spans = {
  '24': { text: '24 hours', step: 'hour', everyMs: 10_000 },
  '168': { text: '7 days', step: 'day', everyMs: 60_000 },
  '720': { text: '30 days', step: 'day', everyMs: 300_000 },
} as const;
type SpanHours = keyof typeof spans;

const groups: readonly (readonly [UsageGroup, string])[] = [
  ['tenant', 'tenant'],
  ['user', 'user'],
  ['key', 'API key'],
  ['model', 'model'],
  ['route', 'route'],
  ['backend', 'backend'],
];

export function SpendSection(): ComponentChildren {
  const [hours, setHours] = useState<SpanHours>('24');
  const [group, setGroup] = useState<UsageGroup>('model');
  const [chosen, setMeasure] = useState<Measure>();
  const { step } = spans[hours];
  const [isEmpty, setEmpty] = useState(false);
  const everyMs = isEmpty && step === 'hour' ? EMPTY_EVERY_MS : spans[hours].everyMs;
  // Whole hours, so that the query stays the same for a while.
  const untilMs = Math.ceil(Date.now() / HOUR_MS) * HOUR_MS;
  const sinceMs = untilMs - Number(hours) * HOUR_MS;
  const times = `since=${new Date(sinceMs).toISOString()}&until=${new Date(untilMs).toISOString()}`;
  const polled = usePolled<Bounded<UsageSums>>(`usage?by=${step},${group}&${times}`, everyMs);
  const rows = polled.answer?.rows ?? [];
  useEffect(() => setEmpty(polled.answer?.rows.length === 0), [polled.answer]);
  const measures = measuresOf(rows);
  const measure = chosen !== undefined && measures.includes(chosen) ? chosen : measures[0]!;
  const spend = useMemo(
    () => spendOf(rows, { step, group, measure }, { sinceMs, untilMs }),
    [polled.answer, step, group, measure, sinceMs],
  );
  const options = measures.map((each) => [each, isCurrency(each) ? `cost in ${each}` : each] as const);
  const download = () => save(spendCsv(rows, step, group), `spend-by-${group}-and-${step}.csv`);
  const choices = h(
    'div',
    { class: 'choices' },
    h(Choice<SpanHours>, {
      label: 'Last',
      value: hours,
      options: Object.entries(spans).map(([value, { text }]) => [value as SpanHours, text] as const),
      onChange: setHours,
    }),
    h(Choice<UsageGroup>, { label: 'By', value: group, options: groups, onChange: setGroup }),
    h(Choice<Measure>, { label: 'Show', value: measure, options, onChange: setMeasure }),
    rows.length > 0 && h('button', { type: 'button', onClick: download }, 'Download CSV'),
  );
  return h(Section<UsageSums>, {
    id: 'spend',
    title: 'Spend',
    polled,
    choices,
    empty: 'No usage is recorded in this time. Requests appear about two seconds after their end.',
    children: () => h(SpendFigures, { spend, step, measure, group }),
  });
}

function SpendFigures(props: {
  readonly spend: Spend;
  readonly step: 'day' | 'hour';
  readonly measure: Measure;
  readonly group: UsageGroup;
}): ComponentChildren {
  const { spend, step, measure, group } = props;
  const { series, timesMs } = spend;
  const shown = (amount: number) => (isCurrency(measure) ? shownMoney(amount, measure) : shownNumber(amount));
  const what = `${isCurrency(measure) ? 'Cost' : measure === 'tokens' ? 'Tokens' : 'Requests'} by ${group}`;
  const name = ({ name: text }: SpendSeries) => [
    h('span', { class: `swatch swatch-${series.findIndex((one) => one.name === text) + 1}`, 'aria-hidden': true }),
    text,
  ];
  const used = timesMs.map((_, at) => at).filter((at) => series.some(({ values }) => values[at]! > 0));
  return h(
    'div',
    null,
    h(SpendChart, { spend, label: `Chart: ${what} and ${step}. The tables below have the same numbers.` }),
    h(DataTable<SpendSeries>, {
      caption: what,
      isCompact: true,
      rows: series,
      keyOf: (one) => one.name,
      columns: [
        { head: group, cell: name },
        { head: isCurrency(measure) ? 'cost' : measure, isNumber: true, cell: ({ total }) => shown(total) },
      ],
    }),
    h(
      'details',
      null,
      h('summary', null, `${what} and ${step}, as a table`),
      h(DataTable<number>, {
        caption: `${what} and ${step}`,
        isCompact: true,
        rows: used,
        keyOf: String,
        columns: [
          { head: `${step} (UTC)`, cell: (at) => timeText(timesMs[at]!, step) },
          ...series.map((one) => ({
            head: one.name,
            isNumber: true,
            cell: (at: number) => shown(one.values[at]!),
          })),
        ],
      }),
    ),
  );
}

function isCurrency(measure: Measure): boolean {
  return measure !== 'tokens' && measure !== 'requests';
}

function timeText(ms: number, step: 'day' | 'hour'): string {
  const text = new Date(ms).toISOString();
  return step === 'day' ? text.slice(0, 10) : `${text.slice(0, 10)} ${text.slice(11, 16)}`;
}
