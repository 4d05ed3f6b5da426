/** Metrics whose values are kept elsewhere, and read when somebody collects them. */
import { hash } from 'node:crypto';
import { exhaustedAtMs } from '../../contract/forecast.ts';
import type { MetricTable, SumCell } from '../../runtime/metric-table.ts';
import type { ExportState } from '../quota/export/exporter.ts';
import type { BucketState, QuotaKeys } from '../quota/store.ts';
import { measuredAmount } from '../quota/units.ts';
import type { ServerCounters } from '../server/server-context.ts';
import { attribute, metric } from './names.ts';

export interface ObservedSources {
  readonly now: () => number;
  /** Returns at most `count` buckets, those with the least left first. */
  readonly buckets: (count: number) => readonly BucketState[];
  readonly openStreams: () => number;
  /** Requests in flight whose backend is chosen. */
  readonly requests: () => Iterable<RequestLoad>;
  readonly serverCounters: () => Readonly<ServerCounters>;
  readonly unsentBytes: () => number;
  /** Absent where no request is traced. */
  readonly spans?: { readonly exported: number; readonly dropped: number } | undefined;
  readonly journalFails: () => boolean;
  /** Usage records that were not kept. */
  readonly usageLost: () => number;
  readonly usageExports: () => Iterable<ExportState>;
  readonly content: { readonly exported: number; readonly dropped: ReadonlyMap<string, number> };
  readonly policyRefused: () => boolean;
  readonly backends: () => Iterable<string>;
  readonly restingBackends: () => Iterable<string>;
  /** Returns at most `count` quotas, those with the most keys first. */
  readonly keys: (count: number) => readonly QuotaKeys[];
}

/** What a request in flight takes of its backend. */
export interface RequestLoad {
  readonly backend: string;
  readonly waits: boolean;
  readonly heldTokens: number;
}

/** Buckets in a scrape: four lines each. */
const MAX_BUCKETS = 200;
const MAX_BACKENDS = 1_000;

/** `hashesKeys`: labels have the values of quota keys as SHA-256 only. */
export function observeSources(table: MetricTable, sources: ObservedSources, hashesKeys: boolean): void {
  table.gauge(metric.streamsOpen, () => [plainCell(sources.openStreams())]);
  table.gauge(metric.journalFails, () => [plainCell(sources.journalFails() ? 1 : 0)]);
  table.observedSum(metric.usageLost, () => [plainCell(sources.usageLost())]);
  table.gauge(metric.usageExportsFailing, () => {
    const failing = [...sources.usageExports()].filter(({ failure }) => failure !== undefined);
    return [plainCell(failing.length)];
  });
  table.observedSum(metric.usageExportsDropped, () => [
    plainCell([...sources.usageExports()].reduce((sum, { dropped }) => sum + dropped, 0)),
  ]);
  table.observedSum(metric.contentExported, () => [plainCell(sources.content.exported)]);
  table.observedSum(metric.contentDropped, () =>
    [...sources.content.dropped].map(([reason, value]) => ({ attributes: { [attribute.reason]: reason }, value })),
  );
  table.gauge(metric.policyRefused, () => [plainCell(sources.policyRefused() ? 1 : 0)]);
  observeBackends(table, sources);
  const { spans } = sources;
  if (spans !== undefined) {
    table.observedSum(metric.spansExported, () => [plainCell(spans.exported)]);
    table.observedSum(metric.spansDropped, () => [plainCell(spans.dropped)]);
  }
  observeKeys(table, sources);
  observeBuckets(table, sources, hashesKeys);
  observeServer(table, sources);
}

interface BackendLoad {
  rests: boolean;
  requests: number;
  waiting: number;
  tokens: number;
}

/** Backends without requests have zeros, so that an autoscaler can also scale them in. */
function observeBackends(table: MetricTable, sources: ObservedSources): void {
  const read = oncePerTurn(() => backendLoads(sources));
  const cells = (value: (load: BackendLoad) => number) => () =>
    [...read()].map(([backend, load]) => ({ attributes: { [attribute.backend]: backend }, value: value(load) }));
  table.gauge(
    metric.backendResting,
    cells(({ rests }) => (rests ? 1 : 0)),
  );
  table.gauge(
    metric.backendRequests,
    cells(({ requests }) => requests),
  );
  table.gauge(
    metric.backendWaiting,
    cells(({ waiting }) => waiting),
  );
  table.gauge(
    metric.backendTokens,
    cells(({ tokens }) => tokens),
  );
}

/** Those that rest come first, so that the bound leaves none of them out before others. */
function backendLoads({ backends, restingBackends, requests }: ObservedSources): ReadonlyMap<string, BackendLoad> {
  const resting = new Set(restingBackends());
  const all = [...new Set([...resting, ...backends()])].slice(0, MAX_BACKENDS);
  const loads = new Map(
    all.map((backend) => [backend, { rests: resting.has(backend), requests: 0, waiting: 0, tokens: 0 }]),
  );
  for (const { backend, waits, heldTokens } of requests()) {
    const load = loads.get(backend);
    if (load !== undefined) {
      load.requests++;
      load.waiting += waits ? 1 : 0;
      load.tokens += heldTokens;
    }
  }
  return loads;
}

function observeKeys(table: MetricTable, { keys }: ObservedSources): void {
  const read = oncePerTurn(() => keys(MAX_BUCKETS));
  for (const [description, member] of [
    [metric.quotaKeys, 'keys'],
    [metric.quotaKeysLimit, 'most'],
  ] as const) {
    table.gauge(description, () =>
      read().map((of) => ({ attributes: { [attribute.quota]: of.quota }, value: of[member] })),
    );
  }
}

function observeBuckets(table: MetricTable, { buckets, now }: ObservedSources, hashesKeys: boolean): void {
  const read = oncePerTurn(() => buckets(MAX_BUCKETS));
  for (const [description, member] of [
    [metric.quotaSpent, 'spent'],
    [metric.quotaHeld, 'held'],
    [metric.quotaLimit, 'limit'],
    [metric.quotaOverdraft, 'overdraft'],
  ] as const) {
    table.gauge(description, () =>
      read().map((state) => bucketCell(state, measuredAmount(state.bucket.quota.limit, state[member]), hashesKeys)),
    );
  }
  table.gauge(metric.quotaExhaustedAt, () =>
    read().flatMap((state) => {
      const atMs = exhaustedAtMs(state, now());
      return atMs === undefined ? [] : [bucketCell(state, atMs / 1000, hashesKeys)];
    }),
  );
}

function observeServer(table: MetricTable, { serverCounters, unsentBytes }: ObservedSources): void {
  table.observedSum(metric.serverConnections, () => [plainCell(serverCounters().connections)]);
  table.observedSum(metric.serverConnectionErrors, () => [plainCell(serverCounters().connectionErrors)]);
  table.observedSum(metric.serverStreams, () => [plainCell(serverCounters().streams)]);
  table.observedSum(metric.serverStreamsBroken, () => {
    const { streamsReset, streamsEvicted, streamsMalformed, handlerErrors } = serverCounters();
    return [
      reasonCell('reset', streamsReset),
      reasonCell('evicted', streamsEvicted),
      reasonCell('malformed', streamsMalformed),
      reasonCell('exception', handlerErrors),
    ];
  });
  table.observedSum(metric.serverMessages, () => {
    const { messagesReceived, messagesSent } = serverCounters();
    return [directionCell('receive', messagesReceived), directionCell('transmit', messagesSent)];
  });
  table.observedSum(metric.serverBytes, () => {
    const { bytesReceived, bytesSent } = serverCounters();
    return [directionCell('receive', bytesReceived), directionCell('transmit', bytesSent)];
  });
  table.gauge(metric.serverUnsentBytes, () => [plainCell(unsentBytes())]);
}

/**
 * Reads once for all gauges of a collection, which are read in one turn of the event loop: choosing
 * the buckets is the expensive part.
 */
function oncePerTurn<T>(read: () => T): () => T {
  let kept: { readonly value: T } | undefined;
  return () => {
    if (kept === undefined) {
      kept = { value: read() };
      setImmediate(() => {
        kept = undefined;
      });
    }
    return kept.value;
  };
}

function bucketCell({ bucket }: BucketState, value: number, hashesKeys: boolean): SumCell {
  const { quota, values } = bucket;
  const joined = values.join(',');
  const key = hashesKeys && joined !== '' ? `sha256:${hash('sha256', joined, 'base64url')}` : joined;
  return {
    attributes: {
      [attribute.quota]: quota.id,
      [attribute.quotaKey]: key,
      [attribute.quotaMode]: quota.mode === 'Shadow' ? 'shadow' : 'enforce',
    },
    value,
  };
}

function plainCell(value: number): SumCell {
  return { attributes: {}, value };
}

function reasonCell(reason: string, value: number): SumCell {
  return { attributes: { [attribute.reason]: reason }, value };
}

function directionCell(direction: 'receive' | 'transmit', value: number): SumCell {
  return { attributes: { [attribute.direction]: direction }, value };
}
