/** Keeps one child process running: starts it, leads its lines to the log, starts it again when it dies, ends it when asked. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Log } from '../runtime/log.ts';
import { leash } from './leash.ts';

export interface ChildOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly pidPath: string;
  readonly log: Log;
  /** Each line of its stderr; absent: its stderr is ours. Its stdout is ours, always. */
  readonly onLine?: (line: string) => void;
  /** Called for each time that it ended unasked. */
  readonly onDeath?: () => void;
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

export function supervise(options: ChildOptions): Child {
  const { name, command, args, environment, pidPath, log, onLine, onDeath } = options;
  let child: ChildProcess | undefined;
  let stopping = false;
  let restarts = 0;
  let deathsInARow = 0;
  let timer: NodeJS.Timeout | undefined;

  const start = () => {
    const startedAtMs = performance.now();
    const started = spawn(command, args, {
      stdio: ['ignore', 'inherit', onLine ? 'pipe' : 'inherit'],
      detached: true,
      env: environment,
    });
    child = started;
    const release = started.pid === undefined ? () => {} : leash(started.pid);
    if (started.pid !== undefined) writeFileSync(pidPath, String(started.pid), { mode: 0o600 });
    if (onLine && started.stderr) createInterface({ input: started.stderr }).on('line', onLine);
    let ended = false;
    const end = (reason: object) => {
      if (ended) return;
      ended = true;
      release();
      child = undefined;
      rmSync(pidPath, { force: true });
      if (stopping) return;
      deathsInARow = performance.now() - startedAtMs > HEALTHY_AFTER_MS ? 0 : deathsInARow;
      const delayMs = RESTART_DELAYS_MS[Math.min(deathsInARow, RESTART_DELAYS_MS.length - 1)]!;
      deathsInARow++;
      restarts++;
      log.error(
        { process: name, ...reason, restartInMs: delayMs },
        'a process ended unexpectedly and is started again',
      );
      onDeath?.();
      timer = setTimeout(start, delayMs);
    };
    started.once('exit', (code, signal) => end({ code, signal }));
    started.once('error', (error) => end({ error: String(error) }));
  };

  return {
    get pid() {
      return child?.pid;
    },
    get restarts() {
      return restarts;
    },
    start,
    stop(deadlineMs) {
      stopping = true;
      clearTimeout(timer);
      const running = child;
      if (running === undefined) return Promise.resolve();
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
