/**
 * The content that waits for its redaction. Its size is bounded: beyond, content is dropped and
 * counted, and no request waits.
 */
import { Worker } from 'node:worker_threads';
import type { ContentDestination, ContentPolicy } from '../../../contract/content.ts';
import { errorMessage } from '../../../runtime/error-message.ts';
import { withoutOtlpHeaders } from '../../../runtime/worker-environment.ts';
import type { UnredactedTexts } from '../../content/content-capture.ts';
import type { RecordedContent, UnredactedContent } from '../../record.ts';
import { type QueueWorker, WorkerQueue } from '../worker-queue.ts';
import type {
  ContentJob,
  ContentReport,
  ContentTask,
  ContentWorkerOptions,
  RedactionReport,
  SentReport,
} from './content-worker.ts';
import { DestinationHealth } from './destination-health.ts';
import type { ContentFacts } from './entry.ts';
import { destinationOf } from './target.ts';

export interface ContentQueueOptions {
  readonly worker: ContentWorkerOptions;
  readonly dropped: (reason: string, count: number) => void;
  readonly exported: (count: number) => void;
  /** Called when a destination begins to fail, with the reason, and when it works again. */
  readonly onDestination: (destination: ContentDestination, failure: string | undefined) => void;
  /** Milliseconds. */
  readonly now?: (() => number) | undefined;
  /** Starts the worker; tests have their own. */
  readonly newWorker?: ((options: ContentWorkerOptions) => ContentThread) | undefined;
}

export type ContentThread = QueueWorker<ContentTask, ContentReport>;

/** The most UTF-16 units of JSON that wait: 500 requests with 16 KB of prompt and of answer. */
const MAX_UNITS = 16 * 1024 * 1024;
/** What is redacted in one go: numbers take 100 ms, prose much less. */
const MAX_TASK_UNITS = 1024 * 1024;
/** The longest time that content waits for others. */
const DELAY_MS = 200;
/** What waits here and for two destinations, and messages to them. */
const MAX_HEAP_MB = 256;

interface WaitingContent {
  readonly units: number;
  /** Present where somebody wants what policies keep. */
  readonly then: ((kept: readonly RecordedContent[]) => void) | undefined;
}

export class ContentQueue {
  readonly #options: ContentQueueOptions;
  readonly #queue: WorkerQueue<WaitingContent, ContentTask, ContentReport>;
  readonly #health: DestinationHealth;
  #units = 0;
  #pendingUnits = 0;
  /** Those of the content that the worker gets next. */
  #policies: ContentPolicy[] = [];
  /** Redacted entries that wait for a destination in the worker. */
  #entries = 0;

  constructor(options: ContentQueueOptions) {
    const { worker, now, newWorker = startWorker } = options;
    this.#options = options;
    this.#health = new DestinationHealth(options.onDestination, now);
    this.#queue = new WorkerQueue({
      newWorker: () => newWorker(worker),
      task: (jobs) => this.#task(jobs),
      delayMs: DELAY_MS,
      now,
      reported: (report) => this.#reported(report),
      failed: (error) => {
        for (const target of worker.targets) {
          this.#health.sent(destinationOf(target), errorMessage(error));
        }
      },
      lost: (lost) => this.#lost(lost),
    });
  }

  /**
   * Adds the content of a request. `then` gets what policies keep, once it is redacted; where there
   * is no room or the redaction fails, nothing.
   */
  add(content: UnredactedContent, facts: ContentFacts, then: WaitingContent['then']): void {
    if (this.#queue.isClosed || this.#units >= MAX_UNITS) {
      this.#options.dropped('queue_full', 1);
      then?.([]);
      return;
    }
    const job: ContentJob = {
      facts,
      texts: content.transfer() as UnredactedTexts,
      policies: content.policies.map((policy) => this.#placeOf(policy)),
      isAwaited: then !== undefined,
    };
    const text = JSON.stringify(job);
    this.#units += text.length;
    this.#pendingUnits += text.length;
    this.#queue.add(text, { units: text.length, then });
    if (this.#pendingUnits >= MAX_TASK_UNITS) {
      this.#queue.send();
    }
  }

  /** Sends what waits, until the deadline. */
  close(deadlineMs: number): Promise<void> {
    return this.#queue.close(deadlineMs);
  }

  #placeOf(policy: ContentPolicy): number {
    const place = this.#policies.indexOf(policy);
    return place >= 0 ? place : this.#policies.push(policy) - 1;
  }

  #task(jobs: readonly string[]): ContentTask {
    const policies = this.#policies;
    this.#policies = [];
    this.#pendingUnits = 0;
    return { policies, jobs };
  }

  #reported(report: ContentReport): void {
    switch (report.type) {
      case 'redacted':
        this.#redacted(report);
        break;
      case 'sent':
        this.#sent(report);
        break;
      case 'closed':
        this.#queue.end();
        break;
      default:
        throw new Error(`unknown report ${(report satisfies never as ContentReport).type}`);
    }
  }

  #redacted({ jobs, entries, kept, dropped }: RedactionReport): void {
    this.#entries += entries;
    for (const [reason, count] of dropped) {
      this.#options.dropped(reason, count);
    }
    let awaited = 0;
    for (const { units, then } of this.#queue.done(jobs)) {
      this.#units -= units;
      if (then !== undefined) {
        then(kept[awaited] ?? []);
        awaited++;
      }
    }
  }

  #sent({ destination, entries, exported, failure }: SentReport): void {
    this.#entries -= entries;
    this.#options.exported(exported);
    if (entries > exported) {
      this.#options.dropped(failure?.reason ?? 'export_failed', entries - exported);
    }
    this.#health.sent(destination, failure?.text);
  }

  #lost(lost: readonly WaitingContent[]): void {
    const count = lost.length + this.#entries;
    this.#entries = 0;
    if (count > 0) {
      this.#options.dropped('export_failed', count);
    }
    for (const { units, then } of lost) {
      this.#units -= units;
      then?.([]);
    }
  }
}

function startWorker(workerData: ContentWorkerOptions): ContentThread {
  return new Worker(new URL('./content-worker.ts', import.meta.url), {
    workerData,
    env: workerEnvironment(process.env),
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
}

/**
 * Returns the variables that the libraries may read: without the identity of the machine, which all
 * pods of a node share, unless the operator asks for it.
 */
function workerEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const others = withoutOtlpHeaders(environment);
  return { AWS_EC2_METADATA_DISABLED: 'true', AWS_EC2_METADATA_V1_DISABLED: 'true', ...others };
}
