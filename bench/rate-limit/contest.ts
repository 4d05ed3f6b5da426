/**
 * Runs more demand than a budget allows against one side, and holds what clients got against the
 * budget and against what was charged.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type LoadProvider, type LoadReport, type RequestDetail, runLoad } from '../load.ts';
import { median, sum } from '../statistics.ts';
import type { Side } from './sides.ts';

export const STREAMS = 200;
export const JSON_CONNECTIONS = 40;
export const STREAM_TOKENS = 240;
export const JSON_TOKENS = 100;
/** The bound that JSON requests name, because a client rarely knows the length of the response. */
export const JSON_MAX_TOKENS = 200;
/** The prompt has this many tokens, and the provider reports them. */
export const PROMPT_TOKENS = 56;
export const STREAM_PACE_MS = 25;
export const JSON_MS = 500;
export const LOAD_SECONDS = 25;
const REFUSAL_PAUSE_MS = 500;
/** While less than half of the budget is taken. */
const AMPLE_SECONDS = 5;
const ABANDONED_STREAMS = 100;
/** Clients leave in the middle of their streams. */
const ABANDONED_SECONDS = 3;
/** Until charges at the end of responses have arrived. */
const SETTLED_MS = 1000;

export interface ContestResult {
  /** Tokens of the responses that clients got, cut ones included, with their prompts. */
  readonly delivered: number;
  readonly charged: number;
  readonly served: number;
  /** Streams that ended at the end of the budget. */
  readonly cut: number;
  readonly broken: number;
  readonly refused: number;
  /** Refusals of requests whose tokens were not delivered yet at that moment. */
  readonly refusedEarly: number;
  /** Refusals of requests whose tokens no request in flight used either. */
  readonly refusedWrongly: number;
  /** Of streams that began before the budget was short. */
  readonly firstByteMs: number;
  /** Tokens that clients got who left in the middle of their streams. */
  readonly abandonedDelivered: number;
  readonly abandonedCharged: number;
}

export interface SideResult extends ContestResult {
  /** The median time of a JSON response that the provider gives at once. */
  readonly latencyMs: number;
  /** The same of Envoy alone, in the same minute. */
  readonly latencyAloneMs: number;
}

interface ContestRequest {
  readonly kind: 'stream' | 'json';
  readonly detail: RequestDetail;
  /** Delivered to the client. */
  readonly tokens: number;
  readonly finished: boolean;
}

export async function contest(side: Side, provider: LoadProvider, budget: number): Promise<ContestResult> {
  const abandoned = await abandonedStreams(side, provider);
  const chargedBefore = await side.charged();
  const reports = await Promise.all(
    side.ports.flatMap((port, replica) => [
      streams(port, Math.ceil(STREAMS / side.ports.length), `contest/stream/${replica}/`),
      responses(port, Math.ceil(JSON_CONNECTIONS / side.ports.length), `contest/json/${replica}/`),
    ]),
  );
  await sleep(SETTLED_MS);
  const requests = await joined(reports, provider, 'contest/');
  const served = requests.filter(({ tokens }) => tokens > 0);
  const refused = requests.filter(({ detail: { outcome } }) => outcome === '429');
  return {
    delivered: sum(served.map(({ tokens }) => tokens)),
    charged: (await side.charged()) - chargedBefore,
    served: served.length,
    cut: count(served, ({ kind, finished, detail }) => kind === 'stream' && !finished && detail.outcome === '200'),
    broken: count(requests, ({ detail: { outcome } }) => outcome !== '200' && outcome !== '429'),
    refused: refused.length,
    refusedEarly: count(refused, ({ kind, detail }) => needOf(kind) <= budget - deliveredBy(served, detail.endedNs)),
    refusedWrongly: count(refused, ({ kind, detail }) => needOf(kind) <= budget - takenBy(served, detail.endedNs)),
    firstByteMs: firstByteMs(served),
    ...abandoned,
  };
}

async function abandonedStreams(side: Side, provider: LoadProvider) {
  const [port = 0] = side.ports;
  const chargedBefore = await side.charged();
  const report = await runLoad({
    port,
    connections: ABANDONED_STREAMS,
    seconds: ABANDONED_SECONDS,
    stream: true,
    abort: true,
    chunks: STREAM_TOKENS,
    paceMs: STREAM_PACE_MS,
    team: 'abandoned',
    promptTokens: PROMPT_TOKENS,
    detail: 'abandoned/',
  });
  await sleep(SETTLED_MS);
  const requests = await joined([report], provider, 'abandoned/');
  return {
    abandonedDelivered: sum(requests.map(({ tokens }) => tokens)),
    abandonedCharged: (await side.charged()) - chargedBefore,
  };
}

function streams(port: number, connections: number, detail: string): Promise<LoadReport> {
  return runLoad({
    port,
    connections,
    seconds: LOAD_SECONDS,
    // Spreads the starts over the length of a stream, so that the streams end evenly.
    rampSeconds: (STREAM_TOKENS * STREAM_PACE_MS) / 1000,
    stream: true,
    chunks: STREAM_TOKENS,
    paceMs: STREAM_PACE_MS,
    refusalPauseMs: REFUSAL_PAUSE_MS,
    promptTokens: PROMPT_TOKENS,
    detail,
  });
}

function responses(port: number, connections: number, detail: string): Promise<LoadReport> {
  return runLoad({
    port,
    connections,
    seconds: LOAD_SECONDS,
    rampSeconds: JSON_MS / 1000,
    chunks: JSON_TOKENS,
    paceMs: JSON_MS,
    maxTokens: JSON_MAX_TOKENS,
    refusalPauseMs: REFUSAL_PAUSE_MS,
    promptTokens: PROMPT_TOKENS,
    detail,
  });
}

/** Joins what clients saw with what the provider made. */
async function joined(
  reports: readonly LoadReport[],
  provider: LoadProvider,
  prefix: string,
): Promise<readonly ContestRequest[]> {
  const made = new Map((await provider.requests(prefix)).map((one) => [one.id, one]));
  return reports
    .flatMap(({ details = [] }) => details)
    .map((detail) => {
      const kind = detail.id.includes('/json/') ? 'json' : 'stream';
      const one = made.get(detail.id);
      // A client sees the chunks of a stream, but a JSON response is one chunk to it.
      const output = kind === 'stream' ? detail.chunks : (one?.chunks ?? 0);
      const isServed = one !== undefined && (kind === 'stream' ? output > 0 : detail.outcome === '200');
      return { kind, detail, tokens: isServed ? PROMPT_TOKENS + output : 0, finished: one?.finished ?? false };
    });
}

/** Returns the median over the streams that began in the first seconds. */
function firstByteMs(served: readonly ContestRequest[]): number {
  const firstNs = Math.min(...served.map(({ detail }) => detail.begunNs));
  const early = served.filter(
    ({ kind, detail }) => kind === 'stream' && detail.begunNs < firstNs + AMPLE_SECONDS * 1e9,
  );
  return median(early.map(({ detail }) => (detail.firstByteNs - detail.begunNs) / 1e6));
}

function needOf(kind: ContestRequest['kind']): number {
  return PROMPT_TOKENS + (kind === 'stream' ? STREAM_TOKENS : JSON_TOKENS);
}

function count<T>(values: readonly T[], matches: (value: T) => boolean): number {
  return values.filter(matches).length;
}

/** Returns what requests that had begun at an instant got in the end. */
function takenBy(served: readonly ContestRequest[], atNs: number): number {
  return sum(served.map(({ tokens, detail: { begunNs } }) => (begunNs <= atNs ? tokens : 0)));
}

/** Returns what clients had got at an instant; streams deliver evenly. */
function deliveredBy(served: readonly ContestRequest[], atNs: number): number {
  return sum(
    served.map(({ kind, tokens, detail: { begunNs, endedNs } }) => {
      if (kind === 'json') {
        return atNs >= endedNs ? tokens : 0;
      }
      return tokens * Math.min(1, Math.max(0, (atNs - begunNs) / (endedNs - begunNs)));
    }),
  );
}
