/**
 * The thread that encodes and sends content to one destination, so that neither a slow collector
 * nor the encoding takes time of the thread that carries traffic. `ContentQueue` bounds what waits.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { ExportHeaders } from '../../quota/export/target.ts';
import type { ContentEntry } from './entry.ts';
import type { S3AccessKey } from './s3-sender.ts';
import type { ContentSender, SendFailure } from './sender.ts';
import type { ContentTarget } from './target.ts';

export interface ContentWorkerOptions {
  readonly target: ContentTarget;
  /** For a collector. */
  readonly headers: ExportHeaders;
  /** For a bucket. */
  readonly accessKey: S3AccessKey | undefined;
}

/** An entry as JSON; `close` asks for the last report. */
export type ContentTask = { readonly entry: string } | 'close';

export interface ContentReport {
  /** How many of the entries are done. */
  readonly entries: number;
  readonly exported: number;
  readonly failure: SendFailure | undefined;
  readonly closed: boolean;
}

/** UTF-16 units of JSON in one message: collectors take 4 MB of gRPC by default. */
const MAX_MESSAGE_UNITS = 1024 * 1024;
const MAX_FAILURE_CHARACTERS = 300;

const { target, headers, accessKey } = workerData as ContentWorkerOptions;
const port = parentPort as MessagePort;
const sender = await newSender();
const waiting: string[] = [];
let openCalls = 0;
let isClosing = false;
let isWoken = false;

port.on('message', (task: ContentTask) => {
  if (task === 'close') {
    isClosing = true;
  } else {
    waiting.push(task.entry);
  }
  // What arrives together is sent together.
  if (!isWoken) {
    isWoken = true;
    setImmediate(() => {
      isWoken = false;
      send();
    });
  }
});

function send(): void {
  while (waiting.length > 0 && openCalls < sender.maxOpen) {
    const entries = waiting.splice(0, messageLength()).map((entry) => JSON.parse(entry) as ContentEntry);
    openCalls++;
    void sender.send(entries).then(({ accepted, failure }) => {
      openCalls--;
      const text = failure?.text.slice(0, MAX_FAILURE_CHARACTERS) ?? '';
      report({
        entries: entries.length,
        exported: accepted,
        failure: failure && { reason: failure.reason, text },
        closed: false,
      });
      send();
    });
  }
  if (isClosing && openCalls === 0) {
    report({ entries: 0, exported: 0, failure: undefined, closed: true });
    port.close();
  }
}

/** Returns how many entries the next message has: at least one. */
function messageLength(): number {
  let units = 0;
  const most = Math.min(waiting.length, sender.maxEntries);
  for (let length = 0; length < most; length++) {
    units += waiting[length]!.length;
    if (units > MAX_MESSAGE_UNITS) {
      return Math.max(1, length);
    }
  }
  return most;
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
  return s3ContentSender(target, accessKey);
}
