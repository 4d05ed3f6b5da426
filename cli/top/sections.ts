/** The sections of `tallygate top` as cells of text. */
import type { BackendRest, Bounded, BudgetRow, LiveStream } from '../../console/api/source.ts';
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
import { printable } from '../terminal/printable.ts';
import type { TextStyle } from '../terminal/text.ts';
import type { TopSnapshot } from './snapshot.ts';

export interface TopColumn {
  readonly head: string;
  readonly align?: 'end';
  /** The end of a cell tells more than its beginning. */
  readonly keepEnd?: true;
}

export interface TopRow {
  /** Printable, one for each column. */
  readonly cells: readonly string[];
  readonly style?: TextStyle;
}

export interface TopSection {
  readonly title: string;
  readonly columns: readonly TopColumn[];
  readonly rows: readonly TopRow[];
  /** Of all rows, of which `rows` may be the first. */
  readonly total: number;
  readonly empty: string;
}

export const STREAMS_SECTION = 2;
const NEARLY_SPENT_PERCENT = 90;

export function sectionsOf(snapshot: TopSnapshot): readonly TopSection[] {
  return [
    spendSection(snapshot),
    budgetSection(snapshot),
    streamSection(snapshot),
    refusalSection(snapshot),
    backendSection(snapshot),
  ];
}

/** Returns to whom a row belongs, such as `acme/ada`. */
export function ownerOf(row: { readonly tenant?: string; readonly user?: string; readonly key?: string }): string {
  return [row.tenant, row.user ?? row.key].filter((name) => name !== undefined && name !== '').join('/') || '-';
}

function section<Row>(
  title: string,
  columns: readonly TopColumn[],
  { rows, total, unanswered = 0 }: Bounded<Row>,
  empty: string,
  rowOf: (row: Row) => { readonly cells: readonly (string | number)[]; readonly style?: TextStyle },
): TopSection {
  const shown = rows.map((row) => {
    const { cells, style } = rowOf(row);
    return { cells: cells.map((cell) => printable(String(cell).slice(0, 256))), ...(style && { style }) };
  });
  const unread = `${unanswered} ${unanswered === 1 ? 'gateway does' : 'gateways do'} not answer; no other has a row.`;
  return { title, columns, rows: shown, total, empty: unanswered > 0 ? unread : empty };
}

const number = (head: string): TopColumn => ({ head, align: 'end' });
const word = (head: string): TopColumn => ({ head });

/** Returns the column with the pod of a row, on a cluster. */
function gatewayColumn({ gateways }: TopSnapshot): readonly TopColumn[] {
  return gateways === undefined ? [] : [{ head: 'GATEWAY', keepEnd: true }];
}

function gatewayCell({ gateways }: TopSnapshot, { gateway }: { readonly gateway?: string }): readonly string[] {
  return gateways === undefined ? [] : [gateway ?? '-'];
}

function spendSection({ spend, by }: TopSnapshot): TopSection {
  const columns = [
    word(by.toUpperCase()),
    ...['REQUESTS', 'TOKENS', 'TODAY', 'REQ/HOUR', 'TOK/HOUR', 'THIS HOUR'].map(number),
  ];
  return section(`Spend by ${by}`, columns, spend, 'No usage is recorded today.', ({ name, today, hour }) => ({
    cells: [name || '-', ...sumCells(today), ...(hour === undefined ? ['0', '0', '-'] : sumCells(hour))],
  }));
}

function sumCells({ requests, inputTokens, outputTokens, cost }: UsageSums): readonly string[] {
  const money = Object.entries(cost).map(([currency, amount]) => shownAmount(amount, currency));
  return [shownNumber(requests), shownNumber(inputTokens + outputTokens), money.join(' + ') || '-'];
}

function budgetSection(snapshot: TopSnapshot): TopSection {
  const columns = [
    word('QUOTA'),
    word('KEY'),
    ...gatewayColumn(snapshot),
    number('USED'),
    number('SPENT'),
    number('HELD'),
    number('LIMIT'),
    word('FORECAST'),
    word('RESETS'),
  ];
  return section('Budgets', columns, snapshot.budgets, 'No budget has anything spent or held.', (budget) => {
    const { quota, key, spent, held, limit, currency, resetAt } = budget;
    const used = (100 * (Number(spent) + Number(held))) / Math.max(Number(limit), Number.MIN_VALUE);
    const amounts = [spent, held, limit].map((amount) => shownAmount(amount, currency));
    const percent = `${Math.floor(Math.min(used, 9999))}%`;
    const whose = [quota, key.join(',') || '-', ...gatewayCell(snapshot, budget)];
    return {
      cells: [...whose, percent, ...amounts, forecastOf(budget), shownMinute(resetAt) ?? 'never'],
      ...(used >= 100 ? { style: 'red' } : used >= NEARLY_SPENT_PERCENT ? { style: 'yellow' } : undefined),
    };
  });
}

function forecastOf({ spent, limit, exhaustedAt, resetAt }: BudgetRow): string {
  if (Number(spent) >= Number(limit)) {
    return 'spent';
  }
  const end = shownMinute(exhaustedAt);
  return end === undefined ? (resetAt === undefined ? '-' : 'lasts') : `spent ${end}`;
}

function streamSection(snapshot: TopSnapshot): TopSection {
  const { streams, timeMs } = snapshot;
  const columns = [
    word('FOR'),
    word('MODEL'),
    word('BACKEND'),
    ...gatewayColumn(snapshot),
    number('AGE'),
    word('STATE'),
    number('INPUT'),
    number('OUTPUT'),
    number('HELD'),
    number('COST'),
  ];
  return section('Requests in flight', columns, streams, 'No request is in flight.', (stream) => ({
    cells: [
      ownerOf(stream),
      stream.model ?? '-',
      stream.backend ?? '-',
      ...gatewayCell(snapshot, stream),
      shownAge(timeMs - Date.parse(stream.startedAt)),
      stateOf(stream),
      shownNumber(stream.inputTokens),
      shownNumber(stream.outputTokens),
      shownNumber(stream.heldTokens),
      stream.cost === undefined ? '-' : shownAmount(stream.cost, stream.currency),
    ],
  }));
}

function stateOf({ firstTokenMs, stream }: LiveStream): string {
  return firstTokenMs === undefined ? 'waits' : stream ? 'streams' : 'responds';
}

function refusalSection(snapshot: TopSnapshot): TopSection {
  const columns = [
    word('TIME'),
    word('FOR'),
    word('MODEL'),
    number('STATUS'),
    word('REASON'),
    word('QUOTA'),
    ...gatewayColumn(snapshot),
    word('EXPLANATION'),
  ];
  return section('Refusals', columns, snapshot.refusals, 'No request was refused since the start.', (refusal) => ({
    cells: [
      refusal.time.slice(11, 19),
      ownerOf(refusal),
      refusal.model ?? '-',
      refusal.status ?? '-',
      refusal.reason ?? '-',
      refusal.quota ?? '-',
      ...gatewayCell(snapshot, refusal),
      refusal.message ?? '-',
    ],
  }));
}

function backendSection({ backends }: TopSnapshot): TopSection {
  return section('Backends', [word('BACKEND'), word('STATE')], backends, 'There is no backend.', (state) => ({
    // Gateways of a cluster tell each other, and then rest alike.
    cells: [state.backend, [...new Set(state.rests.map(restText))].join('; ') || 'healthy'],
    style: state.rests.length === 0 ? 'green' : 'red',
  }));
}

function restText({ cause, until, model, rule }: BackendRest): string {
  const of = [model === undefined ? '' : ` for ${model}`, rule === undefined ? '' : ` in ${rule}`].join('');
  return `rests${of} until ${until.slice(11, 19)} (${cause})`;
}

const UNITS = [
  { from: 1e9, sign: 'G' },
  { from: 1e6, sign: 'M' },
  { from: 1e5, sign: 'k' },
] as const;

/** Shows large numbers with four digits at most: `812000` is `812k`, `1234567` is `1.23M`. */
export function shownNumber(amount: number): string {
  const unit = UNITS.find(({ from }) => Math.abs(amount) >= from);
  if (unit === undefined) {
    return String(Number.isInteger(amount) ? amount : Number(amount.toFixed(1)));
  }
  const scaled = amount / (unit.sign === 'k' ? 1000 : unit.from);
  return `${Number(scaled.toPrecision(Math.abs(scaled) >= 1000 ? 4 : 3))}${unit.sign}`;
}

/** Amounts of money are decimal numbers in text, shown with more decimals if they are small. */
export function shownAmount(amount: number | string, currency: string | undefined): string {
  const value = Number(amount);
  if (currency === undefined) {
    return shownNumber(value);
  }
  return `${value.toFixed(value !== 0 && Math.abs(value) < 1 ? 4 : 2)} ${currency}`;
}

/** Shows for how long something has lasted, such as `2m05s`. */
export function shownAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  const two = (part: number) => String(part % 60).padStart(2, '0');
  return hours > 0 ? `${hours}h${two(minutes)}m` : minutes > 0 ? `${minutes}m${two(seconds)}s` : `${seconds}s`;
}

/** Shows a time such as `11-22 22:00`, in UTC. */
function shownMinute(iso: string | undefined): string | undefined {
  return iso?.slice(5, 16).replace('T', ' ');
}
