/** Hostile clients and providers beside clients that behave, for a while, through one gateway; and what those must not notice. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
// The benchmark's measure of how long the event loop was held.
import { entriesOf, type Worst, worst } from '../../../../bench/loop/holds.ts';
import type { Seen } from '../behaviour.ts';
import { call } from '../client.ts';
import { deliveredTokens, limitedRoute } from '../limits.ts';
import { forgetPeak, memoryOf } from '../processes.ts';
import type { AccessRecord } from '../records.ts';
import { teamQuota } from '../resources.ts';
import { waitFor } from '../wait.ts';
import { startWorld, type World } from '../world.ts';
import { actNames, chooseAct } from './clients.ts';
import { newRandom } from './random.ts';

export interface MixOptions {
  readonly seconds: number;
  /** Connections that are open at a time. */
  readonly hostile: number;
  readonly behaved: number;
  readonly seed: number;
  /** What hostile clients do; see `actNames`. */
  readonly acts?: readonly string[];
  /** For what the probe of the event loop writes. */
  readonly folder: string;
  readonly progress?: (line: string) => void;
}

export interface MixReport {
  readonly seconds: number;
  readonly seed: number;
  readonly acts: Readonly<Record<string, number>>;
  /** Refused connections and the like: the suite's own trouble. */
  readonly actFaults: readonly string[];
  readonly behavedRequests: number;
  readonly behavedFailures: readonly string[];
  readonly slowestBehavedMs: number;
  readonly peakMemoryBytes: number;
  readonly loop: Worst;
  readonly survived: boolean;
  /** Tokens and requests that are still held at the end. */
  readonly held: number;
  readonly openUpstream: number;
  readonly faults: readonly string[];
  /** By team, where clients got more than was charged. */
  readonly uncharged: Readonly<Record<string, { readonly delivered: number; readonly charged: number }>>;
  readonly delivered: number;
  readonly charged: number;
  readonly records: number;
}

const PROBE = path.join(import.meta.dirname, '../../../../bench/loop/probe.ts');
const BEHAVED_TOKENS = 30;
const STEP_MS = 1_000;
/** V8 compiles what it has not seen; that is not the subject. */
const WARM_UP_REQUESTS = 500;

export function mixWorld({ folder }: Pick<MixOptions, 'folder'>): Promise<World> {
  return startWorld(
    limitedRoute({
      large: { quotas: [teamQuota('tokens', 'TotalTokens', 100_000_000_000)] },
      near: { quotas: [teamQuota('tokens', 'TotalTokens', 20_000)] },
    }),
    {},
    { environment: { NODE_OPTIONS: `--import=${pathToFileURL(PROBE)}?folder=${folder}` } },
  );
}

export async function runMix(world: World, options: MixOptions): Promise<MixReport> {
  const { gateway, provider } = world;
  const extproc = gateway.extprocPid();
  const warm = async (worker: number) => {
    for (let count = 0; count < WARM_UP_REQUESTS; count += options.behaved)
      await behave(world, worker % 2 === 0, 'warm');
  };
  await Promise.all(Array.from({ length: options.behaved }, (_, worker) => warm(worker)));
  const ledger = newBooks();
  forgetPeak(extproc);
  const loopFile = () =>
    readdirSync(options.folder)
      .filter((name) => name === `${extproc}.jsonl`)
      .map((name) => readFileSync(path.join(options.folder, name), 'utf8'))
      .join('');
  const loopFrom = loopFile().length;
  const acts: Record<string, number> = {};
  const actFaults: string[] = [];
  const behavedFailures: string[] = [];
  let behavedRequests = 0;
  let slowestBehavedMs = 0;
  let over = false;

  const hostile = async (worker: number) => {
    const random = newRandom(options.seed + worker);
    await sleep(random.between(0, 3_000));
    while (!over) {
      const [name, act] = chooseAct(random, options.acts ?? actNames);
      acts[name] = (acts[name] ?? 0) + 1;
      await act({ port: gateway.port, random, delivered: ledger.delivered, over: () => over }).catch(
        (error: unknown) => {
          if (actFaults.length < 20) actFaults.push(`${name}: ${error}`);
        },
      );
      // A connection is closed most of the time that its worker sleeps: nobody can open a thousand a second for long.
      await sleep(random.between(0, 500));
    }
  };
  const behaved = async (worker: number) => {
    while (!over) {
      const startedMs = performance.now();
      const failure = await behave(world, worker % 2 === 0, `behaved-${worker % 5}`);
      behavedRequests += 1;
      slowestBehavedMs = Math.max(slowestBehavedMs, performance.now() - startedMs);
      if (failure !== undefined) behavedFailures.push(failure);
      await sleep(100);
    }
  };
  const working = [
    ...Array.from({ length: options.hostile }, (_, worker) => hostile(worker)),
    ...Array.from({ length: options.behaved }, (_, worker) => behaved(worker)),
  ];
  const startedMs = performance.now();
  for (let step = 1; performance.now() - startedMs < options.seconds * 1_000; step += 1) {
    await sleep(STEP_MS);
    ledger.take(gateway.records as AccessRecord[]);
    forgetEnded(provider.seen as Seen[]);
    if (step % 15 === 0) {
      const { residentBytes, peakBytes } = memoryOf(gateway.extprocPid());
      options.progress?.(
        `${step} s: ${Object.values(acts).reduce((sum, count) => sum + count, 0)} acts, ${behavedRequests} behaved, ${behavedFailures.length} failed, ${residentBytes >> 20} MB now, ${peakBytes >> 20} MB peak`,
      );
    }
  }
  over = true;
  const survived = gateway.extprocPid() === extproc;
  const peakMemoryBytes = memoryOf(gateway.extprocPid()).peakBytes;
  const loop = worst(entriesOf(loopFile().slice(loopFrom)));
  await Promise.all(working);
  const settled = async () => (await gateway.metrics()).held() === 0 && provider.openCount() === 0;
  await waitFor('settlement', settled, 30_000).catch(() => {});
  const metrics = await gateway.metrics();
  await sleep(STEP_MS);
  ledger.take(gateway.records as AccessRecord[]);
  return {
    seconds: options.seconds,
    seed: options.seed,
    acts,
    actFaults,
    behavedRequests,
    behavedFailures,
    slowestBehavedMs,
    peakMemoryBytes,
    loop,
    survived,
    held: metrics.held(),
    openUpstream: provider.openCount(),
    faults: [
      ...new Set(
        gateway
          .log()
          .split('\n')
          .filter((line) => /fault of the gateway|exchange failed|unhandled/i.test(line)),
      ),
    ].slice(0, 5),
    ...ledger.result(),
  };
}

/** One request of a client that behaves. Absent: it went well. */
async function behave({ gateway }: World, stream: boolean, team: string): Promise<string | undefined> {
  const body = { model: 'large', stream, messages: [{ role: 'user', content: 'Hello there' }] };
  const mock = stream ? { tokens: BEHAVED_TOKENS, paceMs: 5 } : { tokens: BEHAVED_TOKENS, delayMs: 20 };
  try {
    const answer = await call(`${gateway.url}/v1/chat/completions`, body, { headers: { 'x-team': team }, mock });
    const { status, complete, text } = answer;
    if (status !== 200 || !complete) return `${status}, complete: ${complete}: ${text.slice(-200)}`;
    const tokens = stream ? deliveredTokens(text) : answer.json.usage.completion_tokens;
    return tokens === BEHAVED_TOKENS ? undefined : `${tokens} tokens of ${BEHAVED_TOKENS}`;
  } catch (error) {
    return String(error);
  }
}

/** What clients got, and what was charged for it, by team. */
function newBooks() {
  const delivered = new Map<string, number>();
  const charged = new Map<string, number>();
  let records = 0;
  const add = (to: Map<string, number>, team: string, tokens: number) => to.set(team, (to.get(team) ?? 0) + tokens);
  const sum = (of: Map<string, number>) => [...of.values()].reduce((total, tokens) => total + tokens, 0);
  return {
    delivered: (team: string, tokens: number) => {
      add(delivered, team, tokens);
    },
    take(list: AccessRecord[]) {
      for (const { keys, outputTokens = 0 } of list.splice(0)) {
        records += 1;
        for (const team of keys) add(charged, team, outputTokens);
      }
    },
    result: () => ({
      records,
      delivered: sum(delivered),
      charged: sum(charged),
      uncharged: Object.fromEntries(
        [...delivered]
          .map(([team, tokens]) => [team, { delivered: tokens, charged: charged.get(team) ?? 0 }] as const)
          .filter(([, one]) => one.charged < one.delivered),
      ),
    }),
  };
}

function forgetEnded(seen: Seen[]): void {
  const open = seen.filter((one) => one.endedAtMs === undefined && one.abortedAtMs === undefined);
  seen.splice(0, seen.length, ...open);
}
