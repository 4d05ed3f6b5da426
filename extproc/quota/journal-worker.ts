/** The thread that brings logs into the database and waits for the disk, so that the event loop never does. */
import { closeSync, rmSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { JournalDatabase } from './journal-database.ts';
import { foldLog, logPath, openLog } from './journal-log.ts';

export interface WorkerData {
  readonly path: string;
  /** Becomes 1 when the worker has closed the database. */
  readonly closed: Int32Array;
}

export type ToWorker =
  /** Open a log to be written next. File descriptors belong to the process, so the main thread can write what is opened here. */
  | { readonly type: 'open'; readonly log: number }
  /** It is written to its end: close it, bring it in. */
  | { readonly type: 'fold'; readonly log: number; readonly file: number | undefined }
  | { readonly type: 'close' };

export type FromWorker =
  | { readonly type: 'opened'; readonly log: number; readonly file: number }
  | { readonly type: 'folded'; readonly log: number; readonly tookMs: number };

const port = parentPort;
if (port === null) {
  throw new Error('journal-worker.ts is started by journal.ts');
}
const { path, closed } = workerData as WorkerData;
const database = new JournalDatabase(path);
let spare: number | undefined;

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'open':
      spare = message.log;
      port.postMessage({ type: 'opened', log: message.log, file: openLog(path, message.log) } satisfies FromWorker);
      break;
    case 'fold': {
      const startMs = performance.now();
      if (message.file !== undefined) {
        closeSync(message.file);
      }
      foldLog(database, path, message.log);
      spare = spare === message.log ? undefined : spare;
      const tookMs = performance.now() - startMs;
      port.postMessage({ type: 'folded', log: message.log, tookMs } satisfies FromWorker);
      break;
    }
    case 'close':
      if (spare !== undefined) {
        rmSync(logPath(path, spare), { force: true });
      }
      database.close();
      Atomics.store(closed, 0, 1);
      Atomics.notify(closed, 0);
      port.close();
      break;
  }
});
