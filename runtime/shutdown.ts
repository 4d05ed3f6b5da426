/** Ends a process in order: a signal stops the world once, steps run one after another with a deadline each, a second signal ends at once. */
import type { Log } from './log.ts';

export interface ShutdownStep {
  readonly name: string;
  readonly deadlineMs: number;
  readonly run: () => unknown;
}

/** Runs the steps in order. A step that fails or is late is logged and left behind: the next ones still run. True: all went well. */
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
      log.warn({ step: step.name, error: String(error) }, 'shutdown step failed');
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
 * The one AbortSignal of the process: aborted by the first SIGTERM or SIGINT, its reason is the signal's name. A second SIGINT or SIGTERM calls `endNow`.
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
