/**
 * Runs hostile clients and providers beside well-behaved clients through one gateway, and records
 * what the latter notice.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
// The benchmark's probe of the event loop.
import { entriesOf, type Worst, worst } from '../../../../bench/loop/holds.ts';
import { call } from '../client.ts';
import { type Gateway, startGateway } from '../gateway.ts';
import { deliveredTokens, limitedRoute } from '../limits.ts';
import { forgetPeak, memoryOf } from '../processes.ts';
import { type Provider, startProvider } from '../provider.ts';
import type { AccessRecord } from '../records.ts';
import { backend, quotaPolicy, route, teamQuota } from '../resources.ts';
import type { Seen } from '../seen.ts';
import { waitFor } from '../wait.ts';
import { backends } from '../world.ts';
import { type Hostile, type HostileTally, startHostile } from './worker.ts';

export interface MixOptions {
  readonly seconds: number;
  /** Concurrent connections. */
  readonly hostile: number;
  readonly behaved: number;
  readonly seed: number;
  /** What hostile clients do (`actNames`); all if absent. */
  readonly acts?: readonly string[];
  readonly progress?: (line: string) => void;
}

export interface MixReport {
  readonly seconds: number;
  readonly seed: number;
  readonly hostile: HostileTally;
  readonly behavedRequests: number;
  readonly behavedFailures: readonly string[];
  readonly slowestBehavedMs: number;
  readonly peakMemoryBytes: number;
  readonly loop: Worst;
  readonly survived: boolean;
  /** Tokens and requests that are still held at the end. */
  readonly held: number;
  /** Log lines about internal errors of the gateway. */
  readonly faults: readonly string[];
  /** Teams whose clients received more than was charged. */
  readonly uncharged: Readonly<Record<string, { readonly delivered: number; readonly charged: number }>>;
  readonly charged: number;
  readonly records: number;
}

export interface MixWorld {
  readonly gateway: Gateway;
  /** Figures of the well-behaved clients. */
  readonly provider: Provider;
  readonly hostile: Hostile;
  /** Returns the event loop's blocks since the last call. */
  heldSince(): Worst;
  stop(): Promise<void>;
}

const PROBE = path.join(import.meta.dirname, '../../../../bench/loop/probe.ts');
const BEHAVED_TOKENS = 30;
const STEP_MS = 1_000;
const STEPS_A_LINE = 15;
/** Warms up V8, whose compilation is not tested here. */
const WARM_UP_REQUESTS = 1_000;

/** `folder` receives the files of the event loop's probe. */
export async function startMix(seed: number, folder: string): Promise<MixWorld> {
  const hostile = await startHostile(seed);
  const provider = await startProvider();
  const stopBoth = async () => {
    await provider.stop();
    await hostile.stop();
  };
  try {
    const gateway = await startGateway(
      [
        ...backends(hostile.providerPort),
        backend('good', { port: provider.port }),
        route('behaved', [{ name: 'behaved', models: ['behaved'], backendRefs: [{ name: 'good' }] }]),
        quotaPolicy('behaved', 'behaved', [teamQuota('tokens', 'TotalTokens', 100_000_000_000)]),
        ...limitedRoute({
          large: { quotas: [teamQuota('tokens', 'TotalTokens', 100_000_000_000)] },
          near: { quotas: [teamQuota('tokens', 'TotalTokens', 20_000)] },
        }),
      ],
      {
        environment: {
          NODE_OPTIONS: `${process.env['HOSTILE_NODE_OPTIONS'] ?? ''} --import=${pathToFileURL(PROBE)}?folder=${folder}`,
        },
      },
    );
    let read = 0;
    return {
      gateway,
      provider,
      hostile,
      heldSince: () => {
        const file = path.join(folder, `${gateway.extprocPid()}.jsonl`);
        const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
        const since = text.slice(read);
        read = text.length;
        return worst(entriesOf(since));
      },
      stop: async () => {
        await stopBoth();
        await gateway.stop();
      },
    };
  } catch (error) {
    await stopBoth();
    throw error;
  }
}

export async function runMix(world: MixWorld, options: MixOptions): Promise<MixReport> {
  const { gateway, provider, hostile } = world;
  const extproc = gateway.extprocPid();
  await warmUp(gateway, options.behaved);
  const charges = newCharges();
  forgetPeak(extproc);
  world.heldSince();
  const { acts } = options;
  hostile.begin({ port: gateway.port, clients: options.hostile, ...(acts && { acts }) });
  const behaved = startBehaved(gateway, options.behaved);
  const startedMs = performance.now();
  for (let step = 1; performance.now() - startedMs < options.seconds * 1_000; step += 1) {
    await sleep(STEP_MS);
    charges.take(gateway.records as AccessRecord[]);
    (provider.seen as Seen[]).length = 0;
    const tally = await hostile.tally();
    if (step % STEPS_A_LINE !== 0) {
      continue;
    }
    const { residentBytes, peakBytes } = memoryOf(gateway.extprocPid());
    options.progress?.(
      `${((performance.now() - startedMs) / 1_000).toFixed(0)} s: ${sum(tally.acts)} acts, ${behaved.requests} behaved (${behaved.failures.length} failed, slowest ${behaved.slowestMs.toFixed(0)} ms), ${residentBytes >> 20} MB now, ${peakBytes >> 20} MB peak`,
    );
  }
  await behaved.stop();
  const peakMemoryBytes = memoryOf(gateway.extprocPid()).peakBytes;
  const loop = world.heldSince();
  await hostile.end();
  const settled = async () => (await gateway.metrics()).held() === 0 && (await hostile.tally()).openUpstream === 0;
  await waitFor('settlement', settled, 30_000).catch(() => {});
  const held = (await gateway.metrics()).held();
  await sleep(STEP_MS);
  charges.take(gateway.records as AccessRecord[]);
  const tally = await hostile.tally();
  return {
    seconds: options.seconds,
    seed: options.seed,
    hostile: tally,
    behavedRequests: behaved.requests,
    behavedFailures: behaved.failures,
    slowestBehavedMs: behaved.slowestMs,
    peakMemoryBytes,
    loop,
    survived: gateway.extprocPid() === extproc,
    held,
    faults: gateway
      .log()
      .split('\n')
      .filter((line) => /"level":"(error|fatal)".*"process":"extproc"/.test(line)),
    ...charges.against(tally.delivered),
  };
}

async function warmUp(gateway: Gateway, clients: number): Promise<void> {
  await Promise.all(
    Array.from({ length: clients }, async (_, worker) => {
      for (let count = 0; count < WARM_UP_REQUESTS; count += clients) {
        await behave(gateway, worker, 'warm');
      }
    }),
  );
}

/** Starts well-behaved clients that send requests until they are stopped. */
function startBehaved(gateway: Gateway, clients: number) {
  let over = false;
  const result = {
    requests: 0,
    slowestMs: 0,
    failures: [] as string[],
    stop: async () => {
      over = true;
      await Promise.all(running);
    },
  };
  const sendRequests = async (worker: number) => {
    while (!over) {
      const startedMs = performance.now();
      const failure = await behave(gateway, worker, 'behaved');
      result.requests += 1;
      result.slowestMs = Math.max(result.slowestMs, performance.now() - startedMs);
      if (failure !== undefined) {
        result.failures.push(failure);
      }
      await sleep(100);
    }
  };
  const running = Array.from({ length: clients }, (_, worker) => sendRequests(worker));
  return result;
}

/** Sends one request of a well-behaved client. Returns undefined on success. */
async function behave({ url }: Gateway, worker: number, team: string): Promise<string | undefined> {
  const stream = worker % 2 === 0;
  const body = { model: 'behaved', stream, messages: [{ role: 'user', content: 'Hello there' }] };
  const mock = stream ? { tokens: BEHAVED_TOKENS, paceMs: 5 } : { tokens: BEHAVED_TOKENS, delayMs: 20 };
  try {
    const answer = await call(`${url}/v1/chat/completions`, body, { headers: { 'x-team': team }, mock });
    const { status, complete, text } = answer;
    if (status !== 200 || !complete) {
      return `${status}, complete: ${complete}: ${text.slice(-200)}`;
    }
    const tokens = stream ? deliveredTokens(text) : answer.json.usage.completion_tokens;
    return tokens === BEHAVED_TOKENS ? undefined : `${tokens} tokens of ${BEHAVED_TOKENS}`;
  } catch (error) {
    return String(error);
  }
}

function sum(of: Readonly<Record<string, number>>): number {
  return Object.values(of).reduce((total, one) => total + one, 0);
}

/** Returns the charges by team. */
function newCharges() {
  const charged: Record<string, number> = {};
  let records = 0;
  return {
    take(list: AccessRecord[]) {
      for (const { keys, outputTokens = 0 } of list.splice(0)) {
        records += 1;
        for (const team of keys) {
          charged[team] = (charged[team] ?? 0) + outputTokens;
        }
      }
    },
    against: (delivered: Readonly<Record<string, number>>) => ({
      records,
      charged: sum(charged),
      uncharged: Object.fromEntries(
        Object.entries(delivered)
          .map(([team, tokens]) => [team, { delivered: tokens, charged: charged[team] ?? 0 }] as const)
          .filter(([, one]) => one.charged < one.delivered),
      ),
    }),
  };
}
