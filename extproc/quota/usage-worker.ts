/**
 * The worker thread that owns the file of usage: writes the usage of logs, and answers queries, so
 * that neither takes time of the event loop that serves requests.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { SharedStoreConfig } from '../../contract/shared-store.ts';
import { type ExportState, exportUsage } from './export/exporter.ts';
import type { UsageSender } from './export/sender.ts';
import type { ExportHeaders, UsageExportTarget } from './export/target.ts';
import { logPath } from './journal-log.ts';
import { UsageDatabase, usagePath } from './usage-database.ts';
import { explainUsage } from './usage-explain.ts';
import { type RecordPage, type RecordQuery, recordPage } from './usage-records.ts';
import type { UsageQuery } from './usage-report.ts';
import { type UsageSet, UsageShare } from './usage-share.ts';
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
  /** Sends usage to this store from now on; undefined: to none. */
  | { readonly type: 'share'; readonly config: SharedStoreConfig | undefined }
  | { readonly type: 'report'; readonly query: UsageQuery; readonly of: UsageSet }
  | { readonly type: 'explain'; readonly requestId: string; readonly of: UsageSet }
  | { readonly type: 'requests'; readonly query: RecordQuery; readonly of: UsageSet }
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
let openedShare: UsageShare | undefined;

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

function share(): UsageShare {
  openedShare ??= new UsageShare(database().tables, retention, reportState);
  return openedShare;
}

function reportState(state: ExportState): void {
  parentPort?.postMessage({ id: 0, state } satisfies UsageAnswer);
}

async function startExport({ tables }: UsageDatabase, { type, url }: UsageExportTarget): Promise<void> {
  const source = tables.source(randomUUID());
  const target = `${type}+${url}`;
  const sender = await senderOf(type, url, source);
  await exportUsage(tables, { target, sender, source, signal: closing.signal, onState: reportState });
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
        share().wake();
      }
      return undefined;
    }
    case 'text':
      database().writeText(task.usage);
      share().wake();
      return undefined;
    case 'report':
      return await share().report(task.query, task.of);
    case 'explain':
      return task.of === 'shared'
        ? await share().explain(task.requestId)
        : explainUsage(database().tables, task.requestId);
    case 'requests':
      return await requests(task.query, task.of);
    case 'share':
      return await share().use(task.config);
    case 'close':
      closing.abort();
      await openedShare?.close();
      openedShare = undefined;
      opened?.close();
      opened = undefined;
      return undefined;
  }
}

async function requests(query: RecordQuery, of: UsageSet): Promise<RecordPage> {
  if (of === 'shared') {
    return await share().requests(query);
  }
  const { tables } = database();
  if (of === 'local' || query.afterId !== undefined) {
    return recordPage(tables, query);
  }
  const afterId = Math.max(await share().unsharedAfter(), tables.idBefore(query.sinceMs));
  return recordPage(tables, { ...query, afterId });
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
