/** What `tallygate top` shows at one moment. */
import type {
  BackendState,
  Bounded,
  BudgetRow,
  ConsoleSource,
  LiveStream,
  RefusedRequest,
} from '../../console/api/source.ts';
import type { UsageSums } from '../../extproc/quota/usage-report.ts';

export type TopSource = Pick<ConsoleSource, 'usage' | 'budgets' | 'streams' | 'stop' | 'refusals' | 'backends'> & {
  /** Of a cluster: which gateways answer. */
  gateways?(): GatewaysState;
};

export interface GatewaysState {
  readonly total: number;
  /** One line for each gateway that does not answer. */
  readonly problems: readonly string[];
}

/** Of a cluster: the pod of the gateway. */
export type RowOfGateway<Row> = Row & { readonly gateway?: string };

export const spendGroups = ['tenant', 'user', 'model'] as const;
export type SpendGroup = (typeof spendGroups)[number];

/** The sums of one tenant, user or model. */
export interface SpendRow {
  /** An empty text: the requests have none. */
  readonly name: string;
  /** Of the current hour; absent: no request in it. */
  readonly hour?: UsageSums;
  readonly today: UsageSums;
}

export interface TopSnapshot {
  readonly timeMs: number;
  readonly by: SpendGroup;
  readonly spend: Bounded<SpendRow>;
  readonly budgets: Bounded<RowOfGateway<BudgetRow>>;
  readonly streams: Bounded<RowOfGateway<LiveStream>>;
  readonly refusals: Bounded<RowOfGateway<RefusedRequest>>;
  readonly backends: Bounded<BackendState>;
  /** Absent: the gateway is on this machine. */
  readonly gateways?: GatewaysState;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Reading usage and budgets takes the gateway longer than the other rows. */
const REPORT_MS = 5_000;

const operator = { operator: true } as const;

/** Returns everything; what is expensive to read may be that of a snapshot before. */
export async function takeSnapshot(
  source: TopSource,
  by: SpendGroup,
  nowMs: number,
  before?: TopSnapshotWithReport,
): Promise<TopSnapshotWithReport> {
  const isFresh = before !== undefined && nowMs - before.reportMs < REPORT_MS;
  const report = isFresh ? before : { reportMs: nowMs, ...(await readReport(source, by, nowMs)) };
  const [streams, refusals, backends] = await Promise.all([
    source.streams(operator),
    source.refusals(operator),
    source.backends(operator),
  ]);
  const { reportMs, spend, budgets } = report;
  const gateways = source.gateways?.();
  const rows = { spend, budgets, streams, refusals, backends };
  return { timeMs: nowMs, by, reportMs, ...rows, ...(gateways && { gateways }) };
}

export interface TopSnapshotWithReport extends TopSnapshot {
  /** When usage and budgets were read. */
  readonly reportMs: number;
}

async function readReport(source: TopSource, by: SpendGroup, nowMs: number) {
  const usage = (lengthMs: number) =>
    source.usage({ by: [by], sinceMs: nowMs - (nowMs % lengthMs), untilMs: nowMs }, operator);
  const [today, hour, budgets] = await Promise.all([usage(DAY_MS), usage(HOUR_MS), source.budgets(operator)]);
  const hours = new Map(hour.rows.map((sums) => [sums.group[by] ?? '', sums]));
  const rows = today.rows.map((sums) => {
    const name = sums.group[by] ?? '';
    const ofHour = hours.get(name);
    return { name, today: sums, ...(ofHour && { hour: ofHour }) };
  });
  return { spend: { ...today, rows }, budgets };
}
