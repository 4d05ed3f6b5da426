/**
 * The thread that redacts content, and encodes and sends what policies keep, so that neither this
 * nor a slow destination takes time of the thread that carries traffic. `ContentQueue` bounds what
 * waits for the redaction, and `ContentBatches` what waits for each destination.
 */
import { randomUUID } from 'node:crypto';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { ContentDestination, ContentPolicy } from '../../../contract/content.ts';
import { type CompiledContentPolicy, compileContentPolicy } from '../../content/compile.ts';
import { CollectedContent, type UnredactedTexts } from '../../content/content-capture.ts';
import type { ExportHeaders } from '../../quota/export/target.ts';
import type { RecordedContent } from '../../record.ts';
import { ContentBatches, type SentEntries } from './content-batches.ts';
import { type ContentFacts, contentEntry } from './entry.ts';
import type { S3AccessKey } from './s3-sender.ts';
import type { ContentSender } from './sender.ts';
import { type ContentTarget, destinationOf } from './target.ts';

export interface ContentWorkerOptions {
  readonly targets: readonly ContentTarget[];
  /** For a collector. */
  readonly headers: ExportHeaders;
  /** For a bucket. */
  readonly accessKey: S3AccessKey | undefined;
}

/** The content of one request. */
export interface ContentJob {
  readonly facts: ContentFacts;
  readonly texts: UnredactedTexts;
  /** Places in the policies of the task. */
  readonly policies: readonly number[];
  /** Whether the other thread wants what policies keep. */
  readonly isAwaited: boolean;
}

export interface ContentTask {
  readonly policies: readonly ContentPolicy[];
  /** Each a `ContentJob` as JSON. */
  readonly jobs: readonly string[];
}

export interface RedactionReport {
  readonly type: 'redacted';
  /** How many jobs are done. */
  readonly jobs: number;
  /** How many entries wait for a destination now. */
  readonly entries: number;
  /** What policies keep, for each job that is awaited. */
  readonly kept: readonly (readonly RecordedContent[])[];
  /** What was dropped, by reason. */
  readonly dropped: ReadonlyMap<string, number>;
}

export interface SentReport extends SentEntries {
  readonly type: 'sent';
  readonly destination: ContentDestination;
}

export type ContentReport = RedactionReport | SentReport | { readonly type: 'closed' };

const MAX_POLICIES = 256;

const options = workerData as ContentWorkerOptions;
const port = parentPort as MessagePort;
/** By their JSON, because each task has a copy of its own. */
const compiledPolicies = new Map<string, CompiledContentPolicy>();
const batches = new Map<ContentDestination, ContentBatches>();
for (const target of options.targets) {
  const destination = destinationOf(target);
  const sent = (report: SentEntries) => tell({ type: 'sent', destination, ...report });
  batches.set(destination, new ContentBatches(await newSender(target), sent));
}

port.on('message', (task: ContentTask | 'close') => {
  if (task === 'close') {
    close();
  } else {
    tell(redact(task));
  }
});

function tell(report: ContentReport): void {
  port.postMessage(report);
}

/** Redacts the content of some requests, and gives it to the destinations. */
function redact({ policies, jobs }: ContentTask): RedactionReport {
  const compiled = policies.map(compile);
  const dropped = new Map<string, number>();
  const drop = (reason: string) => dropped.set(reason, (dropped.get(reason) ?? 0) + 1);
  const awaited: (readonly RecordedContent[])[] = [];
  let entries = 0;
  for (const job of jobs) {
    const { facts, texts, policies: places, isAwaited } = JSON.parse(job) as ContentJob;
    const all = redacted(
      places.map((place) => compiled[place]!),
      texts,
    );
    if (all === undefined) {
      drop('redaction');
    }
    for (const kept of all ?? []) {
      for (const reason of kept.drops) {
        drop(reason);
      }
      entries += give(facts, kept, job.length, drop);
    }
    if (isAwaited) {
      awaited.push(all ?? []);
    }
  }
  return { type: 'redacted', jobs: jobs.length, entries, kept: awaited, dropped };
}

function redacted(
  policies: readonly CompiledContentPolicy[],
  texts: UnredactedTexts,
): readonly RecordedContent[] | undefined {
  try {
    return new CollectedContent(policies, texts).redact();
  } catch {
    // The error may quote the text.
    return undefined;
  }
}

/** Returns how many destinations have taken the entry. `units` are at least those of the entry. */
function give(facts: ContentFacts, kept: RecordedContent, units: number, drop: (reason: string) => void): number {
  const wanted = kept.destinations.filter((destination) => destination !== 'Spans');
  if (wanted.length === 0 || (kept.prompt ?? kept.response) === undefined) {
    return 0;
  }
  const entry = contentEntry(facts, kept, randomUUID());
  let taken = 0;
  for (const destination of wanted) {
    const waiting = batches.get(destination);
    if (waiting === undefined) {
      drop('no_destination');
    } else if (waiting.add(entry, units)) {
      taken++;
    } else {
      drop('queue_full');
    }
  }
  return taken;
}

function compile(policy: ContentPolicy): CompiledContentPolicy {
  const key = JSON.stringify(policy);
  const known = compiledPolicies.get(key) ?? compileContentPolicy(policy);
  if (compiledPolicies.size === MAX_POLICIES) {
    compiledPolicies.clear();
  }
  compiledPolicies.set(key, known);
  return known;
}

function close(): void {
  let open = batches.size;
  const end = () => {
    tell({ type: 'closed' });
    port.close();
  };
  for (const each of batches.values()) {
    each.close(() => {
      open--;
      if (open === 0) {
        end();
      }
    });
  }
  if (open === 0) {
    end();
  }
}

async function newSender(target: ContentTarget): Promise<ContentSender> {
  if (target.type === 'otlp') {
    const { otlpContentSender } = await import('./otlp-sender.ts');
    return otlpContentSender(target, options.headers);
  }
  const { s3ContentSender } = await import('./s3-sender.ts');
  return s3ContentSender(target, options.accessKey);
}
