/** Parts that all sections of the page have: a heading with its states, and a table. */
import { type ComponentChildren, h } from 'preact';
import type { Bounded } from '../api/source.ts';
import { shownNumber } from './format.ts';
import type { Polled } from './polled.ts';

export interface Column<Row> {
  readonly head: string;
  readonly isNumber?: boolean;
  /** Stays on one line. */
  readonly isShort?: boolean;
  /** Keeps a width in which sentences take few lines. */
  readonly isLong?: boolean;
  cell(row: Row): ComponentChildren;
}

export function DataTable<Row>(props: {
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  /** No wider than its content, so that cells of a row stay beside each other. */
  readonly isCompact?: boolean;
}): ComponentChildren {
  const { caption, rows, keyOf, isCompact } = props;
  const isOfCluster = rows.some((row) => gatewayOf(row) !== '');
  const columns = isOfCluster ? [{ head: 'gateway', cell: gatewayOf }, ...props.columns] : props.columns;
  const kind = ({ isNumber, isShort, isLong }: Column<Row>) =>
    isNumber ? 'number' : isShort ? 'short' : isLong ? 'long' : undefined;
  return h(
    'div',
    // A table that scrolls must be reachable by the keyboard.
    { class: 'scroll', tabIndex: 0, role: 'region', 'aria-label': `Table: ${caption}` },
    h(
      'table',
      { class: isCompact ? 'compact' : undefined },
      h('caption', { class: 'hidden' }, caption),
      h(
        'thead',
        null,
        h(
          'tr',
          null,
          columns.map((each) => h('th', { scope: 'col', class: kind(each) }, each.head)),
        ),
      ),
      h(
        'tbody',
        null,
        rows.map((row) =>
          h(
            'tr',
            { key: `${gatewayOf(row)} ${keyOf(row)}` },
            columns.map((each) => h('td', { class: kind(each) }, each.cell(row))),
          ),
        ),
      ),
    ),
  );
}

/** Returns the pod of the gateway where a row of a cluster comes from. */
function gatewayOf(row: unknown): string {
  return typeof row === 'object' && row !== null && 'gateway' in row && typeof row.gateway === 'string'
    ? row.gateway
    : '';
}

/** A section with its rows, or why it has none. */
export function Section<Row>(props: {
  readonly id: string;
  readonly title: string;
  readonly polled: Polled<Bounded<Row>>;
  readonly empty: string;
  readonly choices?: ComponentChildren;
  readonly children: (rows: readonly Row[]) => ComponentChildren;
}): ComponentChildren {
  const { id, title, polled, empty, choices, children } = props;
  const { answer, problem } = polled;
  return h(
    'section',
    { id, 'aria-labelledby': `${id}-title`, 'aria-busy': answer === undefined },
    h('h2', { id: `${id}-title` }, title),
    choices,
    problem !== undefined && h('p', { class: 'problem', role: 'alert' }, problem),
    answer === undefined
      ? problem === undefined && h('p', { class: 'empty' }, 'Loading …')
      : answer.rows.length === 0
        ? h('p', { class: 'empty' }, empty)
        : children(answer.rows),
    answer?.unanswered !== undefined && h('p', { class: 'problem' }, withoutText(answer.unanswered)),
    answer?.withoutStore && h('p', { class: 'problem' }, 'Without the shared store, which did not answer.'),
    answer !== undefined &&
      answer.total > answer.rows.length &&
      h('p', { class: 'quiet' }, `The first ${shownNumber(answer.rows.length)} of ${shownNumber(answer.total)}.`),
  );
}

function withoutText(gateways: number): string {
  return gateways === 1
    ? 'Without a gateway that did not answer.'
    : `Without ${shownNumber(gateways)} gateways that did not answer.`;
}

export function Choice<Value extends string>(props: {
  readonly label: string;
  readonly value: Value;
  readonly options: readonly (readonly [value: Value, text: string])[];
  readonly onChange: (value: Value) => void;
}): ComponentChildren {
  const { label, value, options, onChange } = props;
  return h(
    'label',
    null,
    label,
    h(
      'select',
      { value, onChange: (event: Event) => onChange((event.currentTarget as HTMLSelectElement).value as Value) },
      options.map(([each, text]) => h('option', { value: each, selected: each === value }, text)),
    ),
  );
}
