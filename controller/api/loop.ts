/**
 * A single-flight reconcile loop: requests coalesce, runs never overlap, failures are retried with
 * backoff.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../runtime/log.ts';

const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 30_000;

export interface ReconcileLoop {
  /** Requests a run; requests within `gatherMs` share one. */
  ask(): void;
  /** Resolves when the current run has ended. */
  close(): Promise<void>;
}

export interface ReconcileLoopOptions {
  readonly name: string;
  readonly gatherMs: number;
  /** Runs this often without a request, to find what was missed. */
  readonly everyMs: number;
  /** Returns false to be retried with backoff. A rejection counts as false. */
  readonly run: (signal: AbortSignal) => Promise<boolean>;
  readonly log: Log;
}

export function startReconcileLoop({ name, gatherMs, everyMs, run, log }: ReconcileLoopOptions): ReconcileLoop {
  const stop = new AbortController();
  let wake = () => {};
  let requested = false;
  const work = async () => {
    let failures = 0;
    while (!stop.signal.aborted) {
      if (!requested) {
        const waitMs = failures === 0 ? everyMs : Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (failures - 1));
        await wokenWithin(waitMs, (resume) => {
          wake = resume;
        });
      }
      if (stop.signal.aborted) {
        return;
      }
      await sleep(gatherMs);
      requested = false;
      try {
        failures = (await run(stop.signal)) ? 0 : failures + 1;
      } catch (error) {
        if (stop.signal.aborted) {
          return;
        }
        failures++;
        log.error({ loop: name, err: error }, 'run failed; retrying');
      }
    }
  };
  const working = work();
  return {
    ask() {
      requested = true;
      wake();
    },
    close() {
      stop.abort();
      wake();
      return working;
    },
  };
}

/** Resolves after `ms`, or when `resume` is called. */
async function wokenWithin(ms: number, listen: (resume: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    listen(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
