/** Makes one answer of a console from those of several gateways. */
import { decimalText, nanoUnits } from '../../contract/money.ts';
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
import type { ConsoleAnswer } from './api.ts';
import type { BackendState, Bounded, BudgetRow, LiveStream, RefusedRequest } from './source.ts';
import { mergedUsage } from './usage-merge.ts';

/** What one gateway process answered. */
export interface GatewayAnswer {
  /** The pod of the gateway. */
  readonly gateway: string;
  readonly podUid: string;
  readonly answer: ConsoleAnswer;
}

/** What stands for the pod of a row that all gateways share. */
export const SHARED_STORE = 'shared store';

/** As one gateway returns at most; see the guide. */
const MAX_ROWS = { usage: 2_000, budgets: 500, streams: 200, refusals: 100, requests: 20 } as const;

/**
 * Returns the rows of the gateways that let the caller in, and otherwise why none does. `call` is
 * the name of the call, such as `GET usage`.
 */
export function clusterAnswer(call: string, answers: readonly GatewayAnswer[]): ConsoleAnswer {
  const found = answers.filter(({ answer }) => answer.status === 200);
  if (found.length === 0) {
    // What the caller can change comes before what it cannot.
    const [first] = answers.map(({ answer }) => answer).sort((one, other) => one.status - other.status);
    return first ?? { status: 503, body: { error: { message: 'No gateway answers; see the log of the controller.' } } };
  }
  return { status: 200, body: mergedBody(call, found) };
}

function mergedBody(call: string, found: readonly GatewayAnswer[]): object {
  switch (call) {
    case 'GET usage': {
      const rows = mergedUsage(found.map(({ answer }) => rowsOf<UsageSums>(answer)));
      return { rows: rows.slice(0, MAX_ROWS.usage), total: Math.max(rows.length, ...found.map(totalOf)) };
    }
    case 'GET budgets': {
      const all = located<BudgetRow>(found);
      const rows = mergedBudgets(all);
      const { total, ...answer } = bounded(found, rows.sort(byUsedShare), MAX_ROWS.budgets);
      return { ...answer, total: total - (all.length - rows.length) };
    }
    case 'GET streams': {
      const rows = found.flatMap(({ gateway, podUid, answer }) =>
        rowsOf<LiveStream>(answer).map((row) => ({ ...row, id: `${podUid}-${row.id}`, gateway })),
      );
      return bounded(found, rows.sort(byTime(({ startedAt }) => startedAt)), MAX_ROWS.streams);
    }
    case 'GET refusals':
      return bounded(found, newestFirst(located<RefusedRequest>(found)), MAX_ROWS.refusals);
    case 'GET requests':
      return bounded(found, newestFirst(knownOnce(located<RefusedRequest>(found))), MAX_ROWS.requests);
    case 'GET backends': {
      const rows = mergedBackends(found.flatMap(({ answer }) => rowsOf<BackendState>(answer)));
      return { rows, total: rows.length };
    }
    default:
      return (found.find(({ answer }) => 'operator' in answer.body && answer.body.operator === true) ?? found[0]!)
        .answer.body;
  }
}

/** The pod and the id there of a request in flight; undefined: of no cluster. */
export function streamOfCluster(id: string): { readonly podUid: string; readonly id: string } | undefined {
  const [, podUid, inPod] = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([\w-]+)$/.exec(id) ?? [];
  return podUid === undefined || inPod === undefined ? undefined : { podUid, id: inPod };
}

function rowsOf<Row>({ body }: ConsoleAnswer): readonly Row[] {
  return (body as Bounded<Row>).rows;
}

function totalOf({ answer }: GatewayAnswer): number {
  return (answer.body as Bounded<unknown>).total;
}

type OfGateway<Row> = Row & { readonly gateway: string };

function located<Row>(found: readonly GatewayAnswer[]): OfGateway<Row>[] {
  return found.flatMap(({ gateway, answer }) => rowsOf<Row>(answer).map((row) => ({ ...row, gateway })));
}

function bounded<Row>(found: readonly GatewayAnswer[], rows: readonly Row[], max: number): Bounded<Row> {
  return { rows: rows.slice(0, max), total: found.reduce((sum, one) => sum + totalOf(one), 0) };
}

/** Shows a request that a pod and the shared store know as that of the pod, which comes first. */
function knownOnce(rows: readonly OfGateway<RefusedRequest>[]): OfGateway<RefusedRequest>[] {
  const known = new Map<string, OfGateway<RefusedRequest>>();
  for (const row of rows) {
    const { gateway: _, ...request } = row;
    const text = JSON.stringify(request);
    known.set(text, known.get(text) ?? row);
  }
  return [...known.values()];
}

/**
 * Makes one row of those of a budget that gateways share: what all spent counts once. Budgets whose
 * quota must stay unnamed cannot be told apart, and stay as they are.
 */
function mergedBudgets(rows: readonly OfGateway<BudgetRow>[]): OfGateway<BudgetRow>[] {
  const merged = new Map<string, OfGateway<BudgetRow>>();
  for (const each of rows) {
    const isShared = each.sharedAt !== undefined && each.quota !== '';
    const row = isShared ? { ...each, gateway: SHARED_STORE } : each;
    const { quota, key, keyNames, window, gateway } = row;
    const name = isShared ? JSON.stringify([gateway, quota, key, keyNames, window]) : `${merged.size}`;
    const before = merged.get(name);
    merged.set(name, before === undefined ? row : together(before, row));
  }
  return [...merged.values()];
}

/** A gateway without traffic of a budget knows only what the others had spent earlier. */
function together(one: OfGateway<BudgetRow>, other: OfGateway<BudgetRow>): OfGateway<BudgetRow> {
  const newer = Date.parse(other.sharedAt ?? '') > Date.parse(one.sharedAt ?? '') ? other : one;
  const held =
    typeof one.held === 'number'
      ? one.held + Number(other.held)
      : decimalText(nanoUnits(one.held) + nanoUnits(String(other.held)));
  return { ...newer, held };
}

function newestFirst<Row extends { readonly time: string }>(rows: Row[]): Row[] {
  return rows.sort(byTime(({ time }) => time)).reverse();
}

function byTime<Row>(timeOf: (row: Row) => string): (one: Row, other: Row) => number {
  return (one, other) => Date.parse(timeOf(one)) - Date.parse(timeOf(other));
}

function byUsedShare(one: BudgetRow, other: BudgetRow): number {
  return usedShare(other) - usedShare(one);
}

function usedShare({ spent, held, limit }: BudgetRow): number {
  return (Number(spent) + Number(held)) / Number(limit);
}

/** A backend rests where one of the gateways leaves it out. */
function mergedBackends(states: readonly BackendState[]): readonly BackendState[] {
  const merged = new Map<string, BackendState>();
  for (const { backend, rests } of states) {
    merged.set(backend, { backend, rests: [...(merged.get(backend)?.rests ?? []), ...rests] });
  }
  return [...merged.values()].sort((one, other) => (one.backend < other.backend ? -1 : 1));
}
