/**
 * The hostile half of a run in a separate thread, because many busy clients and their providers
 * would delay the clients that are measured.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { newRandom } from '../../../../tools/fuzz/random.ts';
import { startProvider } from '../provider.ts';
import type { Seen } from '../seen.ts';
import { actNames, chooseAct } from './clients.ts';

export interface HostileTally {
  readonly acts: Readonly<Record<string, number>>;
  /** Failed connections and other errors of the suite itself. */
  readonly faults: readonly string[];
  /** The provider's words that clients of each team received. */
  readonly delivered: Readonly<Record<string, number>>;
  /** Requests whose response has neither ended nor aborted. */
  readonly openUpstream: number;
}

export interface Hostile {
  readonly providerPort: number;
  begin(options: { readonly port: number; readonly clients: number; readonly acts?: readonly string[] }): void;
  /** Returns what has been done. */
  tally(): Promise<HostileTally>;
  /** Makes all clients leave. */
  end(): Promise<void>;
  stop(): Promise<void>;
}

type Asked =
  | { readonly type: 'begin'; readonly port: number; readonly clients: number; readonly acts?: readonly string[] }
  | { readonly type: 'tally' | 'end' };

const THREAD = 'hostile';

export async function startHostile(seed: number): Promise<Hostile> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { thread: THREAD, seed } });
  const failed = new Promise<never>((_, reject) => worker.once('error', reject));
  failed.catch(() => {});
  const answer = <T>(asked?: Asked) => {
    const answered = new Promise<T>((resolve) => worker.once('message', resolve));
    if (asked !== undefined) {
      worker.postMessage(asked);
    }
    return Promise.race([answered, failed]);
  };
  const providerPort = await answer<number>();
  return {
    providerPort,
    begin: (options) => worker.postMessage({ type: 'begin', ...options } satisfies Asked),
    tally: () => answer<HostileTally>({ type: 'tally' }),
    end: async () => {
      await answer({ type: 'end' });
    },
    stop: async () => {
      await worker.terminate();
    },
  };
}

async function run(seed: number): Promise<void> {
  const provider = await startProvider();
  const acts: Record<string, number> = {};
  const faults: string[] = [];
  const delivered: Record<string, number> = {};
  let over = false;
  let working: Promise<unknown> = Promise.resolve();
  const client = async (port: number, index: number, asked: readonly string[]) => {
    const random = newRandom(seed + index);
    await sleep(random.between(0, 3_000));
    while (!over) {
      const [name, act] = chooseAct(random, asked);
      acts[name] = (acts[name] ?? 0) + 1;
      await act({
        port,
        random,
        over: () => over,
        delivered: (team, tokens) => {
          delivered[team] = (delivered[team] ?? 0) + tokens;
        },
      }).catch((error: unknown) => {
        if (faults.length < 20) {
          faults.push(`${name}: ${error}`);
        }
      });
      await sleep(random.between(0, 1_000));
    }
  };
  parentPort?.on('message', async (asked: Asked) => {
    if (asked.type === 'begin') {
      const { port, clients, acts: wanted = actNames } = asked;
      working = Promise.all(Array.from({ length: clients }, (_, index) => client(port, index, wanted)));
    } else if (asked.type === 'end') {
      over = true;
      await working;
      parentPort?.postMessage('ended');
    } else {
      const seen = provider.seen as Seen[];
      const open = seen.filter((one) => one.endedAtMs === undefined && one.abortedAtMs === undefined);
      seen.splice(0, seen.length, ...open);
      parentPort?.postMessage({ acts, faults, delivered, openUpstream: open.length } satisfies HostileTally);
    }
  });
  parentPort?.postMessage(provider.port);
}

if (workerData?.thread === THREAD) {
  await run(workerData.seed);
}
