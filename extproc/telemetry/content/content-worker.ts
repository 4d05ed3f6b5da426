/**
 * The thread that encodes and sends content to one destination, so that neither a slow collector
 * nor the encoding takes time of the thread that carries traffic. `ContentQueue` bounds what waits.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { AwsCredentials } from '../../../runtime/aws-signer.ts';
import type { ExportHeaders } from '../../quota/export/target.ts';
import type { ContentEntry } from './entry.ts';
import type { ContentSender } from './sender.ts';
import type { ContentTarget } from './target.ts';

export interface ContentWorkerOptions {
  readonly target: ContentTarget;
  /** For a collector. */
  readonly headers: ExportHeaders;
  /** For a bucket. */
  readonly credentials: AwsCredentials | undefined;
}

/** An entry as JSON; `close` asks for the last report. */
export type ContentTask = { readonly entry: string } | 'close';

export interface ContentReport {
  /** How many of the entries are done. */
  readonly entries: number;
  readonly exported: number;
  readonly failure: string | undefined;
  readonly closed: boolean;
}

const MAX_FAILURE_CHARACTERS = 300;

const { target, headers, credentials } = workerData as ContentWorkerOptions;
const port = parentPort as MessagePort;
const sender = await newSender();
const waiting: string[] = [];
let isSending = false;
let isClosing = false;

port.on('message', (task: ContentTask) => {
  if (task === 'close') {
    isClosing = true;
  } else {
    waiting.push(task.entry);
  }
  if (!isSending) {
    isSending = true;
    setImmediate(() => void sendAll());
  }
});

async function sendAll(): Promise<void> {
  while (waiting.length > 0) {
    const entries = waiting.splice(0, sender.maxEntries).map((entry) => JSON.parse(entry) as ContentEntry);
    const { accepted, failure } = await sender.send(entries);
    report({
      entries: entries.length,
      exported: accepted,
      failure: failure?.slice(0, MAX_FAILURE_CHARACTERS),
      closed: false,
    });
  }
  isSending = false;
  if (isClosing) {
    report({ entries: 0, exported: 0, failure: undefined, closed: true });
    port.close();
  }
}

function report(message: ContentReport): void {
  port.postMessage(message);
}

async function newSender(): Promise<ContentSender> {
  if (target.type === 'otlp') {
    const { otlpContentSender } = await import('./otlp-sender.ts');
    return otlpContentSender(target, headers);
  }
  const { s3ContentSender } = await import('./s3-sender.ts');
  return s3ContentSender(target, credentials!);
}
