/** Keeps one child process running: starts it, leads its lines to the log, starts it again when it dies, ends it when asked. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Log } from '../runtime/log.ts';
import { endWithParent } from './parent-death.ts';

export interface ChildOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly pidPath: string;
  readonly log: Log;
  /** Each line of its stderr; absent: its stderr is ours. Its stdout is ours, always. */
  readonly onLine?: (line: string) => void;
  /** A second one waits in reserve, so that the place is empty for milliseconds only. It must begin when a line comes on its stdin, not before. */
  readonly spare?: { readonly args: readonly string[]; readonly pidPath: string };
}

export interface Child {
  readonly pid: number | undefined;
  /** Times that it was started again. */
  readonly restarts: number;
  start(): void;
  /** SIGTERM, and SIGKILL when that takes too long. It is not started again. */
  stop(deadlineMs: number): Promise<void>;
}

/** The first death is answered at once; a child that dies again and again is given more time, so that it does not eat the machine. */
const RESTART_DELAYS_MS = [0, 100, 200, 500, 1000, 2000, 5000] as const;
const HEALTHY_AFTER_MS = 10_000;
/** A new one in reserve must not take the processor from the one that has just begun. */
const SPARE_DELAY_MS = 1500;

export function supervise(options: ChildOptions): Child {
  const { name, pidPath, log, spare } = options;
  let active: ChildProcess | undefined;
  let reserve: ChildProcess | undefined;
  let stopping = false;
  let restarts = 0;
  let deathsInARow = 0;
  let timer: NodeJS.Timeout | undefined;
  let spareTimer: NodeJS.Timeout | undefined;

  const start = () => {
    const startedAtMs = performance.now();
    const child = reserve ?? launch(options, []);
    reserve = undefined;
    active = child;
    child.stdin?.write('begin\n');
    if (child.pid !== undefined) {
      writeFileSync(pidPath, String(child.pid), { mode: 0o600 });
    }
    if (spare) {
      rmSync(spare.pidPath, { force: true });
      keepSpare();
    }
    onEnd(child, (reason) => {
      active = undefined;
      rmSync(pidPath, { force: true });
      if (stopping) {
        return;
      }
      if (performance.now() - startedAtMs > HEALTHY_AFTER_MS) {
        deathsInARow = 0;
      }
      const delayMs = reserve ? 0 : RESTART_DELAYS_MS[Math.min(deathsInARow, RESTART_DELAYS_MS.length - 1)]!;
      deathsInARow++;
      restarts++;
      log.error(
        { process: name, ...reason, restartInMs: delayMs },
        'a process ended unexpectedly and is started again',
      );
      if (delayMs === 0) {
        start();
      } else {
        timer = setTimeout(start, delayMs);
      }
    });
  };

  const keepSpare = () => {
    if (spare === undefined) {
      return;
    }
    clearTimeout(spareTimer);
    spareTimer = setTimeout(() => {
      const child = launch(options, spare.args);
      reserve = child;
      if (child.pid !== undefined) {
        writeFileSync(spare.pidPath, String(child.pid), { mode: 0o600 });
      }
      onEnd(child, () => {
        if (reserve !== child) {
          return;
        }
        reserve = undefined;
        rmSync(spare.pidPath, { force: true });
        if (!stopping) {
          keepSpare();
        }
      });
    }, SPARE_DELAY_MS);
  };

  return {
    get pid() {
      return active?.pid;
    },
    get restarts() {
      return restarts;
    },
    start,
    stop(deadlineMs) {
      stopping = true;
      clearTimeout(timer);
      clearTimeout(spareTimer);
      reserve?.kill('SIGKILL');
      const running = active;
      if (running === undefined) {
        return Promise.resolve();
      }
      return new Promise((resolve) => {
        const kill = setTimeout(() => running.kill('SIGKILL'), deadlineMs);
        running.once('exit', () => {
          clearTimeout(kill);
          resolve();
        });
        running.kill('SIGTERM');
      });
    },
  };
}

function launch({ command, args, environment, onLine, spare }: ChildOptions, more: readonly string[]): ChildProcess {
  const child = spawn(command, [...args, ...more], {
    stdio: [spare ? 'pipe' : 'ignore', 'inherit', onLine ? 'pipe' : 'inherit'],
    // Out of the terminal's process group: Ctrl-C is for us, and we end the others in order.
    detached: true,
    env: environment,
  });
  child.stdin?.on('error', () => {});
  if (onLine && child.stderr) {
    createInterface({ input: child.stderr }).on('line', onLine);
  }
  const release = child.pid === undefined ? () => {} : endWithParent(child.pid);
  child.once('exit', release);
  return child;
}

function onEnd(child: ChildProcess, ended: (reason: object) => void): void {
  let once = false;
  const end = (reason: object) => {
    if (once) {
      return;
    }
    once = true;
    ended(reason);
  };
  child.once('exit', (code, signal) => end({ code, signal }));
  child.once('error', (error) => end({ error: String(error) }));
}
