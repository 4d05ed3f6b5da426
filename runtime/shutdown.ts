/**
 * Shuts a process down in order: the first signal aborts, steps run one by one with deadlines, a
 * second signal ends at once.
 */
import type { Log } from './log.ts';

export interface ShutdownStep {
  readonly name: string;
  readonly deadlineMs: number;
  readonly run: () => unknown;
}

/**
 * Runs the steps in order. A step that fails or misses its deadline is logged, and the next one
 * runs. Returns whether all succeeded.
 */
export async function runSteps(steps: readonly ShutdownStep[], log: Log): Promise<boolean> {
  let clean = true;
  for (const step of steps) {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(reject, step.deadlineMs, new Error(`not done within ${step.deadlineMs} ms`));
    });
    try {
      await Promise.race([Promise.resolve().then(step.run), deadline]);
      log.debug({ step: step.name }, 'shutdown step done');
    } catch (error) {
      clean = false;
      log.warn({ step: step.name, err: error }, 'shutdown step failed');
    } finally {
      clearTimeout(timer);
    }
  }
  return clean;
}

export interface SignalSource {
  on(signal: 'SIGTERM' | 'SIGINT', listener: (signal: NodeJS.Signals) => void): unknown;
  off(signal: 'SIGTERM' | 'SIGINT', listener: (signal: NodeJS.Signals) => void): unknown;
}

/**
 * Returns the AbortSignal of the process. The first SIGTERM or SIGINT aborts it, with the signal's
 * name as the reason; a second one calls `endNow`.
 */
export function abortOnSignals(
  endNow: () => void,
  source: SignalSource = process,
): { readonly signal: AbortSignal; readonly abort: (reason: string) => void; readonly dispose: () => void } {
  const controller = new AbortController();
  const listener = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      endNow();
    } else {
      controller.abort(name);
    }
  };
  source.on('SIGTERM', listener);
  source.on('SIGINT', listener);
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    dispose: () => {
      source.off('SIGTERM', listener);
      source.off('SIGINT', listener);
    },
  };
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
    } else {
      signal.addEventListener('abort', () => resolve(), { once: true });
    }
  });
}
