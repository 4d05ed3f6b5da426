/**
 * The thread that encodes and sends content to one destination, so that neither a slow collector
 * nor the encoding takes time of the thread that carries traffic. `ContentQueue` bounds what waits.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { ExportHeaders } from '../../quota/export/target.ts';
import { ContentBatches } from './content-batches.ts';
import type { S3AccessKey } from './s3-sender.ts';
import type { ContentSender } from './sender.ts';
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

const { target, headers, accessKey } = workerData as ContentWorkerOptions;
const port = parentPort as MessagePort;
const batches = new ContentBatches(await newSender(), (report) => {
  port.postMessage(report);
  if (report.closed) {
    port.close();
  }
});

port.on('message', (task: ContentTask) => {
  if (task === 'close') {
    batches.close();
  } else {
    batches.add(task.entry);
  }
});

async function newSender(): Promise<ContentSender> {
  if (target.type === 'otlp') {
    const { otlpContentSender } = await import('./otlp-sender.ts');
    return otlpContentSender(target, headers);
  }
  const { s3ContentSender } = await import('./s3-sender.ts');
  return s3ContentSender(target, accessKey);
}
