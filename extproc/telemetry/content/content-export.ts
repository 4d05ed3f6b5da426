/** The way of kept content to the destinations that its policies name. */
import type { ContentDestination } from '../../../contract/content.ts';
import type { ExportHeaders } from '../../quota/export/target.ts';
import type { RecordedContent, RequestRecord } from '../../record.ts';
import { ContentQueue, type ContentQueueOptions } from './content-queue.ts';
import { contentFacts } from './entry.ts';
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

export function newContentExport(options: ContentExportOptions): ContentExport {
  const { targets, headers, accessKey, hashesKeys, onDestination, newWorker } = options;
  const dropped = new Map<string, number>();
  let exported = 0;
  const queue = new ContentQueue({
    worker: { targets, headers, accessKey },
    dropped: (reason, count) => dropped.set(reason, (dropped.get(reason) ?? 0) + count),
    exported: (count) => {
      exported += count;
    },
    onDestination,
    newWorker,
  });
  return {
    record(record, then) {
      const { content } = record;
      if (content === undefined) {
        then([]);
        return;
      }
      // Only spans wait for what policies keep.
      const isAwaited = content.policies.some(({ destinations }) => destinations.includes('Spans'));
      queue.add(content, contentFacts(record, hashesKeys), isAwaited ? then : undefined);
      if (!isAwaited) {
        then([]);
      }
    },
    get exported() {
      return exported;
    },
    dropped,
    close: (deadlineMs) => queue.close(deadlineMs),
  };
}
