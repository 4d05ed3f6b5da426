/**
 * Supervises a child process: starts it, restarts it when it exits, forwards its lines to the log,
 * and stops it.
 */
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
  /**
   * Receives the lines of its stderr; absent: stderr is inherited. Its stdout is always inherited.
   */
  readonly onLine?: (line: string) => void;
  /**
   * A second process in reserve, so that a restart takes milliseconds. It must start work when a
   * line arrives on its stdin.
   */
  readonly spare?: { readonly args: readonly string[]; readonly pidPath: string };
}

export interface Child {
  readonly pid: number | undefined;
  /** The number of restarts. */
  readonly restarts: number;
  start(): void;
  /** Sends SIGTERM, and SIGKILL at the deadline. The process is not restarted. */
  stop(deadlineMs: number): Promise<void>;
}

/**
 * The first restart is immediate; later ones back off, so that a crash loop does not load the
 * machine.
 */
const RESTART_DELAYS_MS = [0, 100, 200, 500, 1000, 2000, 5000] as const;
const HEALTHY_AFTER_MS = 10_000;
/**
 * Delays the next reserve process, which would compete for CPU with the one that has just started.
 */
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
      log.error({ process: name, ...reason, restartInMs: delayMs }, 'process exited; restarting');
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
    // In its own process group: Ctrl-C reaches this process only, which ends its children in order.
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
  child.once('error', (error) => end({ err: error }));
}
