/** The way of kept content to the destinations that its policies name. */
import { randomUUID } from 'node:crypto';
import type { ContentDestination } from '../../../contract/content.ts';
import { RedactionQueue } from '../../content/redaction-queue.ts';
import type { ExportHeaders } from '../../quota/export/target.ts';
import type { RecordedContent, RequestRecord } from '../../record.ts';
import { ContentQueue, type ContentQueueOptions } from './content-queue.ts';
import { contentEntry } from './entry.ts';
import type { S3AccessKey } from './s3-sender.ts';
import type { ContentTarget } from './target.ts';

export interface ContentExportOptions {
  readonly targets: readonly ContentTarget[];
  readonly headers: ExportHeaders;
  /** For the bucket; undefined: the identity of this process. */
  readonly accessKey: S3AccessKey | undefined;
  /** Whether names of callers are shown as SHA-256 only. */
  readonly hashesKeys: boolean;
  readonly onDestination: (destination: ContentDestination, failure: string | undefined) => void;
  readonly newWorker?: ContentQueueOptions['newWorker'];
}

export interface ContentExport {
  /** Redacts and exports the content of a request; `then` gets what policies keep. */
  record(record: RequestRecord, then: (kept: readonly RecordedContent[]) => void): void;
  /** Entries that a destination has accepted. */
  readonly exported: number;
  /** What was dropped, by reason. */
  readonly dropped: ReadonlyMap<string, number>;
  close(deadlineMs: number): Promise<void>;
}

const destinations: Readonly<Record<ContentTarget['type'], ContentDestination>> = { otlp: 'OTLPLogs', s3: 'S3' };

export function newContentExport(options: ContentExportOptions): ContentExport {
  const { targets, headers, accessKey, hashesKeys, onDestination, newWorker } = options;
  const dropped = new Map<string, number>();
  const drop = (reason: string, count = 1) => dropped.set(reason, (dropped.get(reason) ?? 0) + count);
  let exported = 0;
  const queues = new Map(
    targets.map((target) => {
      const destination = destinations[target.type];
      const queue = new ContentQueue({
        worker: { target, headers, accessKey },
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
  const redaction = new RedactionQueue();
  const send = (record: RequestRecord, kept: RecordedContent) => {
    for (const reason of kept.drops) {
      drop(reason);
    }
    const wanted = kept.destinations.filter((destination) => destination !== 'Spans');
    if (wanted.length === 0 || (kept.prompt ?? kept.response) === undefined) {
      return;
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
  };
  return {
    record(record, then) {
      const { content } = record;
      if (content === undefined) {
        then([]);
        return;
      }
      const redacted = (all: readonly RecordedContent[] | undefined) => {
        if (all === undefined) {
          drop('redaction');
        }
        for (const kept of all ?? []) {
          send(record, kept);
        }
        then(all ?? []);
      };
      if (!redaction.add(content, redacted)) {
        drop('queue_full');
        then([]);
      }
    },
    get exported() {
      return exported;
    },
    dropped,
    async close(deadlineMs) {
      await redaction.close(deadlineMs);
      await Promise.all([...queues.values()].map((queue) => queue.close(deadlineMs)));
    },
  };
}
