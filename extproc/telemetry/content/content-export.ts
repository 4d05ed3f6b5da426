/** The way of kept content to the destinations that its policies name. */
import { randomUUID } from 'node:crypto';
import type { ContentDestination } from '../../../contract/content.ts';
import type { AwsCredentials } from '../../../runtime/aws-signer.ts';
import type { ExportHeaders } from '../../quota/export/target.ts';
import type { RequestRecord } from '../../record.ts';
import { ContentQueue, type ContentQueueOptions } from './content-queue.ts';
import { contentEntry } from './entry.ts';
import type { ContentTarget } from './target.ts';

export interface ContentExportOptions {
  readonly targets: readonly ContentTarget[];
  readonly headers: ExportHeaders;
  readonly credentials: AwsCredentials | undefined;
  /** Whether names of callers are shown as SHA-256 only. */
  readonly hashesKeys: boolean;
  readonly onDestination: (destination: ContentDestination, failure: string | undefined) => void;
  readonly newWorker?: ContentQueueOptions['newWorker'];
}

export interface ContentExport {
  record(record: RequestRecord): void;
  /** Entries that a destination has accepted. */
  readonly exported: number;
  /** What was dropped, by reason. */
  readonly dropped: ReadonlyMap<string, number>;
  close(deadlineMs: number): Promise<void>;
}

const destinations: Readonly<Record<ContentTarget['type'], ContentDestination>> = { otlp: 'OTLPLogs', s3: 'S3' };

export function newContentExport(options: ContentExportOptions): ContentExport {
  const { targets, headers, credentials, hashesKeys, onDestination, newWorker } = options;
  const dropped = new Map<string, number>();
  const drop = (reason: string, count = 1) => dropped.set(reason, (dropped.get(reason) ?? 0) + count);
  let exported = 0;
  const queues = new Map(
    targets.map((target) => {
      const destination = destinations[target.type];
      const queue = new ContentQueue({
        worker: { target, headers, credentials },
        dropped: drop,
        exported: (count) => {
          exported += count;
        },
        onDestination: (failure) => onDestination(destination, failure),
        ...(newWorker && { newWorker }),
      });
      return [destination, queue] as const;
    }),
  );
  return {
    record(record) {
      for (const kept of record.content ?? []) {
        for (const reason of kept.drops) {
          drop(reason);
        }
        const wanted = kept.destinations.filter((destination) => destination !== 'Spans');
        if (wanted.length === 0 || (kept.prompt ?? kept.response) === undefined) {
          continue;
        }
        const entry = JSON.stringify(contentEntry(record, kept, randomUUID(), hashesKeys));
        for (const destination of wanted) {
          const queue = queues.get(destination);
          if (queue === undefined) {
            drop('no_destination');
          } else {
            queue.add(entry);
          }
        }
      }
    },
    get exported() {
      return exported;
    },
    dropped,
    async close(deadlineMs) {
      await Promise.all([...queues.values()].map((queue) => queue.close(deadlineMs)));
    },
  };
}
