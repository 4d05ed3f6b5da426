/**
 * Exports the single requests in the order of their ids, at least once: the cursor of a target
 * moves when its collector has accepted a batch. A collector that is away gets the rest later, as
 * long as requests are kept.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { explained } from '../usage-explain.ts';
import type { UsageTables } from '../usage-tables.ts';
import type { UsageSender } from './sender.ts';

/** The state of a target, for operators. */
export interface ExportState {
  /** The type and URL of the target. */
  readonly target: string;
  /** Why the last batch was not accepted; undefined: it was. */
  readonly failure: string | undefined;
  /** Requests that were removed before they were exported, or that the collector rejected. */
  readonly dropped: number;
}

export interface ExporterOptions {
  readonly target: string;
  readonly sender: UsageSender;
  /** Names this gateway in the ids of records. */
  readonly source: string;
  readonly signal: AbortSignal;
  /** Called when the state changes. */
  readonly onState: (state: ExportState) => void;
  /** The pause when nothing is left to send. */
  readonly pollMs?: number;
  /** The first pause after a failure; it doubles up to a minute. */
  readonly retryMs?: number;
}

/** About 200 KB. */
const MAX_BATCH = 200;
const MAX_RETRY_MS = 60_000;

/** Runs until the signal. */
export async function exportUsage(tables: UsageTables, options: ExporterOptions): Promise<void> {
  const { target, sender, source, signal, onState, pollMs = 1_000, retryMs = 1_000 } = options;
  tables.addExport(target);
  let most = MAX_BATCH;
  let pauseMs = retryMs;
  let reported = '';
  const report = (failure: string | undefined) => {
    const state = { target, failure, dropped: tables.exportOf(target).dropped };
    if (JSON.stringify(state) !== reported && !signal.aborted) {
      reported = JSON.stringify(state);
      onState(state);
    }
  };
  while (!signal.aborted) {
    const rows = tables.requests(tables.exportOf(target).id, Number.MAX_SAFE_INTEGER, most);
    const last = Number(rows.at(-1)?.['id']);
    if (rows.length === 0) {
      report(undefined);
      await pause(pollMs, signal);
      continue;
    }
    const records = rows.map((row) => ({ id: `${source}-${row['id']}`, request: explained(row) }));
    const result = await sender.send(records, signal);
    if (signal.aborted) {
      return;
    }
    if (result.type === 'accepted') {
      tables.moveExport(target, last, 0);
      most = MAX_BATCH;
      pauseMs = retryMs;
      report(undefined);
    } else if (result.type === 'rejected' && rows.length === 1) {
      tables.moveExport(target, last, 1);
      report(result.reason);
    } else if (result.type === 'rejected') {
      // One bad record must not stop the others: find it by halves.
      most = Math.ceil(rows.length / 2);
    } else {
      report(result.reason);
      await pause(pauseMs * (0.75 + Math.random() / 4), signal);
      pauseMs = Math.min(MAX_RETRY_MS, pauseMs * 2);
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
