/**
 * The worker thread that owns the file of usage: writes the usage of logs, and answers queries, so
 * that neither takes time of the event loop that serves requests.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { type ExportState, exportUsage } from './export/exporter.ts';
import type { UsageSender } from './export/sender.ts';
import type { ExportHeaders, UsageExportTarget } from './export/target.ts';
import { logPath } from './journal-log.ts';
import { UsageDatabase, usagePath } from './usage-database.ts';
import { explainUsage } from './usage-explain.ts';
import { type RecordQuery, recordPage } from './usage-records.ts';
import { type UsageQuery, usageReport } from './usage-report.ts';
import type { UsageRetention } from './usage-tables.ts';

export interface UsageWorkerOptions {
  readonly journalPath: string;
  readonly retention: UsageRetention;
  readonly exports: readonly UsageExportTarget[];
  readonly exportHeaders: ExportHeaders;
}

export type UsageTask =
  /** Opens the file, and begins to export. */
  | { readonly type: 'open' }
  /** Writes the usage of a log, and removes the log. */
  | { readonly type: 'log'; readonly log: number }
  | { readonly type: 'text'; readonly usage: string }
  | { readonly type: 'report'; readonly query: UsageQuery }
  | { readonly type: 'explain'; readonly requestId: string }
  | { readonly type: 'requests'; readonly query: RecordQuery }
  | { readonly type: 'close' };

export interface UsageCall {
  readonly id: number;
  readonly task: UsageTask;
}

/** What the worker sends: an answer, or the state of an export. */
export interface UsageAnswer {
  readonly id: number;
  readonly state?: ExportState;
  readonly value?: unknown;
  readonly error?: string;
}

const { journalPath, retention, exports, exportHeaders } = workerData as UsageWorkerOptions;
const closing = new AbortController();
let opened: UsageDatabase | undefined;

function database(): UsageDatabase {
  if (opened === undefined) {
    opened = new UsageDatabase(usagePath(journalPath), retention);
    for (const target of exports) {
      // A rejection, such as that of a full disk, ends the worker, and the archive starts another.
      void startExport(opened, target);
    }
  }
  return opened;
}

async function startExport({ tables }: UsageDatabase, { type, url }: UsageExportTarget): Promise<void> {
  const source = tables.source(randomUUID());
  const target = `${type}+${url}`;
  const sender = await senderOf(type, url, source);
  const onState = (state: ExportState) => parentPort?.postMessage({ id: 0, state } satisfies UsageAnswer);
  await exportUsage(tables, { target, sender, source, signal: closing.signal, onState });
}

/** Loads the code of a protocol only where it is used. */
async function senderOf(type: UsageExportTarget['type'], url: string, source: string): Promise<UsageSender> {
  if (type === 'otlp') {
    const { otlpSender } = await import('./export/otlp.ts');
    return otlpSender(url, exportHeaders, source);
  }
  const { cloudEventsSender } = await import('./export/cloud-events.ts');
  return cloudEventsSender(url, exportHeaders, source);
}

async function run(task: UsageTask): Promise<unknown> {
  switch (task.type) {
    case 'open':
      database();
      return undefined;
    case 'log': {
      const file = logPath(journalPath, task.log);
      // An earlier process that was still closing may have written it.
      if (existsSync(file)) {
        database().writeLog(file);
        rmSync(file, { force: true });
      }
      return undefined;
    }
    case 'text':
      database().writeText(task.usage);
      return undefined;
    case 'report':
      return usageReport(database().tables, task.query);
    case 'explain':
      return explainUsage(database().tables, task.requestId);
    case 'requests':
      return recordPage(database().tables, task.query);
    case 'close':
      closing.abort();
      opened?.close();
      opened = undefined;
      return undefined;
  }
}

parentPort?.on('message', async ({ id, task }: UsageCall) => {
  let answer: UsageAnswer;
  try {
    answer = { id, value: await run(task) };
  } catch (error) {
    answer = { id, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(answer);
});
