/**
 * The worker thread that owns the file of usage: writes the usage of logs, and answers queries, so
 * that neither takes time of the event loop that serves requests.
 */
import { existsSync, rmSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { logPath } from './journal-log.ts';
import { UsageDatabase, usagePath } from './usage-database.ts';
import { explainUsage } from './usage-explain.ts';
import { type UsageQuery, usageReport } from './usage-report.ts';
import type { UsageRetention } from './usage-tables.ts';

export interface UsageWorkerOptions {
  readonly journalPath: string;
  readonly retention: UsageRetention;
}

export type UsageTask =
  /** Writes the usage of a log, and removes the log. */
  | { readonly type: 'log'; readonly log: number }
  | { readonly type: 'text'; readonly usage: string }
  | { readonly type: 'report'; readonly query: UsageQuery }
  | { readonly type: 'explain'; readonly requestId: string }
  | { readonly type: 'close' };

export interface UsageCall {
  readonly id: number;
  readonly task: UsageTask;
}

export interface UsageAnswer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

const { journalPath, retention } = workerData as UsageWorkerOptions;
let opened: UsageDatabase | undefined;

function database(): UsageDatabase {
  opened ??= new UsageDatabase(usagePath(journalPath), retention);
  return opened;
}

async function run(task: UsageTask): Promise<unknown> {
  switch (task.type) {
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
    case 'close':
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
