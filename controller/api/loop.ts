/** One piece of work that brings the world to what it should be: asked for any number of times, it runs once more, never beside itself, and again after a failure. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../runtime/log.ts';

const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 30_000;

export interface Loop {
  /** Soon: what is asked for within `gatherMs` becomes one run. */
  ask(): void;
  /** The run under way has ended when this resolves. */
  close(): Promise<void>;
}

export interface LoopOptions {
  readonly name: string;
  readonly gatherMs: number;
  /** Without being asked, so that what was missed is found. */
  readonly everyMs: number;
  /** True: all is done; false: something failed and is tried again, later and later. A rejection counts as false. */
  readonly run: (signal: AbortSignal) => Promise<boolean>;
  readonly log: Log;
}

export function startLoop({ name, gatherMs, everyMs, run, log }: LoopOptions): Loop {
  const stop = new AbortController();
  let wake = () => {};
  let asked = false;
  const work = async () => {
    let failures = 0;
    while (!stop.signal.aborted) {
      if (!asked) {
        const waitMs = failures === 0 ? everyMs : Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (failures - 1));
        await within(waitMs, (resume) => {
          wake = resume;
        });
      }
      if (stop.signal.aborted) {
        return;
      }
      await sleep(gatherMs);
      asked = false;
      try {
        failures = (await run(stop.signal)) ? 0 : failures + 1;
      } catch (error) {
        if (stop.signal.aborted) {
          return;
        }
        failures++;
        log.error({ loop: name, error }, 'a run has failed and is tried again');
      }
    }
  };
  const working = work();
  return {
    ask() {
      asked = true;
      wake();
    },
    close() {
      stop.abort();
      wake();
      return working;
    },
  };
}

async function within(ms: number, listen: (resume: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    listen(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
