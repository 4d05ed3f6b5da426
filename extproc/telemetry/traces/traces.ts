/** Traces of requests: which ones are recorded, and their way to the collector. */
import { randomFillSync } from 'node:crypto';
import type { Overdraft } from '../../quota/store.ts';
import type { RecordedContent, RequestRecord } from '../../record.ts';
import { newIdSource, type TraceOptions } from '../../trace-context.ts';
import { endedIn, newTraceSampler, type Outcome, type SamplerName } from './sampling.ts';
import { SpanQueue, type SpanQueueOptions } from './span-queue.ts';
import { spanCount, tracedRequest } from './traced-request.ts';

export interface TracesOptions extends SpanQueueOptions {
  readonly sampler: SamplerName;
  /** The share of traces that the ratio samplers record. */
  readonly ratio: number;
  /** What is recorded although the sampler left it out. */
  readonly always: readonly Outcome[];
  /** Whether names of callers are shown as SHA-256 only. */
  readonly hashesKeys: boolean;
}

export interface Traces {
  /** For the sessions. */
  readonly options: TraceOptions;
  readonly queue: Pick<SpanQueue, 'exported' | 'dropped'>;
  /** Whether the trace of a request is exported, if the queue has room. */
  isTraced(record: RequestRecord): boolean;
  /** `content`: what content policies keep of the request. */
  record(record: RequestRecord, overdrafts: readonly Overdraft[], content?: readonly RecordedContent[]): void;
  close(deadlineMs: number): Promise<void>;
}

export function newTraces(options: TracesOptions): Traces {
  const { sampler, ratio, hashesKeys } = options;
  const always = new Set(options.always);
  const queue = new SpanQueue(options);
  const isTraced = (record: RequestRecord) =>
    record.trace !== undefined && (record.trace.sampled || endedIn(always, record));
  return {
    isTraced,
    options: { sampler: newTraceSampler(sampler, ratio), drawId: newIdSource(randomFillSync) },
    queue,
    record(record, overdrafts, content) {
      const { trace } = record;
      if (trace === undefined || !isTraced(record)) {
        return;
      }
      const spans = spanCount(trace, record.guard);
      if (queue.admits(spans)) {
        queue.add(JSON.stringify(tracedRequest(record, overdrafts, hashesKeys, content)), spans);
      }
    },
    close: (deadlineMs) => queue.close(deadlineMs),
  };
}
