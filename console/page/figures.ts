/** What the summary at the top of the page says. */
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
import type { BackendState, Bounded, BudgetRow, LiveStream, RefusedRequest } from '../api/source.ts';
import { budgetOwner, shownAge, shownMoney, shownNumber, usedPercent } from './format.ts';

/** The answers of the page's calls; undefined: none has arrived. */
export interface PageAnswers {
  readonly today: Bounded<UsageSums> | undefined;
  readonly budgets: Bounded<BudgetRow> | undefined;
  readonly streams: Bounded<LiveStream> | undefined;
  readonly refusals: Bounded<RefusedRequest> | undefined;
  readonly backends: Bounded<BackendState> | undefined;
}

export interface Figure {
  readonly name: string;
  readonly value: string;
  readonly note: string;
  /** The section with the details. */
  readonly section: string;
  /** Whether somebody should look at the details. */
  readonly isLate?: boolean;
}

const HOUR_MS = 3_600_000;
const LATE_PERCENT = 90;
/** A gateway keeps no more refusals. */
const KEPT_REFUSALS = 100;

export function figuresOf(
  { today, budgets, streams, refusals, backends }: PageAnswers,
  nowMs: number,
): readonly Figure[] {
  return [
    figureOf('Spend today (UTC)', 'spend', today, ({ rows }) => spendFigure(rows)),
    figureOf('Fullest budget', 'budgets', budgets, ({ rows }) => budgetFigure(rows)),
    figureOf('Requests in flight', 'streams', streams, ({ rows: [oldest], total }) => ({
      value: shownNumber(total),
      note: oldest === undefined ? '' : `the oldest for ${shownAge(nowMs - Date.parse(oldest.startedAt))}`,
    })),
    figureOf('Refusals in the last hour', 'refusals', refusals, (answer) => refusalFigure(answer, nowMs)),
    figureOf('Unhealthy backends', 'backends', backends, ({ rows, total }) => {
      const resting = rows.filter(({ rests }) => rests.length > 0);
      const names = resting.map(({ backend }) => backend).join(', ');
      return { value: shownNumber(resting.length), note: names || `of ${shownNumber(total)}`, isLate: names !== '' };
    }),
  ];
}

type Said = Pick<Figure, 'value' | 'note' | 'isLate'>;

function figureOf<Row>(
  name: string,
  section: string,
  answer: Bounded<Row> | undefined,
  say: (answer: Bounded<Row>) => Said,
): Figure {
  return { name, section, ...(answer === undefined ? { value: '…', note: '' } : say(answer)) };
}

function spendFigure(rows: readonly UsageSums[]): Said {
  const cost = new Map<string, number>();
  let requests = 0;
  let tokens = 0;
  for (const row of rows) {
    requests += row.requests;
    tokens += row.inputTokens + row.outputTokens;
    for (const [currency, amount] of Object.entries(row.cost)) {
      cost.set(currency, (cost.get(currency) ?? 0) + Number(amount));
    }
  }
  const money = [...cost].sort().map(([currency, amount]) => shownMoney(amount, currency));
  const counts = `${shownNumber(requests)} ${requests === 1 ? 'request' : 'requests'}`;
  const amount = `${shownNumber(tokens)} tokens`;
  return money.length === 0
    ? { value: amount, note: counts }
    : { value: money.join(' + '), note: `${amount}, ${counts}` };
}

/** The gateway returns the fullest budget first. */
function budgetFigure([fullest]: readonly BudgetRow[]): Said {
  if (fullest === undefined) {
    return { value: '–', note: 'nothing is spent or held' };
  }
  const percent = usedPercent(fullest);
  const note = [budgetOwner(fullest), fullest.quota].filter((text) => text !== '').join(', ');
  return { value: `${shownNumber(percent)} %`, note, isLate: percent >= LATE_PERCENT };
}

function refusalFigure({ rows }: Bounded<RefusedRequest>, nowMs: number): Said {
  const last = rows.filter(({ time }) => nowMs - Date.parse(time) <= HOUR_MS);
  const isMore = last.length >= KEPT_REFUSALS && last.length === rows.length;
  const counts = new Map<string, number>();
  for (const { reason = 'without a reason' } of last) {
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const [most] = [...counts].sort(([, one], [, other]) => other - one);
  return {
    value: `${shownNumber(last.length)}${isMore ? ' or more' : ''}`,
    note: most === undefined ? '' : `most: ${most[0]}`,
  };
}
