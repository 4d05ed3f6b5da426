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
  /** Receives the messages of a Node process over its channel; absent: it has none. */
  readonly onMessage?: (message: unknown) => void;
  /**
   * A second process in reserve, so that a restart takes milliseconds. It must start work when a
   * line arrives on its stdin.
   */
  readonly spare?: SpareOptions;
}

interface SpareOptions {
  readonly args: readonly string[];
  readonly pidPath: string;
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
  return new SupervisedChild(options);
}

class SupervisedChild implements Child {
  readonly #options: ChildOptions;
  #active: ChildProcess | undefined;
  #reserve: ChildProcess | undefined;
  #stopping = false;
  #restarts = 0;
  #exitsInARow = 0;
  #restartTimer: NodeJS.Timeout | undefined;
  #spareTimer: NodeJS.Timeout | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#active?.pid;
  }

  get restarts(): number {
    return this.#restarts;
  }

  start(): void {
    const { pidPath, spare } = this.#options;
    const startedAtMs = performance.now();
    const child = this.#reserve ?? launch(this.#options, []);
    this.#reserve = undefined;
    this.#active = child;
    child.stdin?.write('begin\n');
    writePid(pidPath, child);
    if (spare) {
      rmSync(spare.pidPath, { force: true });
      this.#keepSpare(spare);
    }
    onEnd(child, (reason) => {
      this.#active = undefined;
      rmSync(pidPath, { force: true });
      if (!this.#stopping) {
        this.#restart(reason, performance.now() - startedAtMs);
      }
    });
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restartTimer);
    clearTimeout(this.#spareTimer);
    this.#reserve?.kill('SIGKILL');
    const running = this.#active;
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
  }

  #restart(reason: object, ranMs: number): void {
    if (ranMs > HEALTHY_AFTER_MS) {
      this.#exitsInARow = 0;
    }
    const backoffMs = RESTART_DELAYS_MS[Math.min(this.#exitsInARow, RESTART_DELAYS_MS.length - 1)]!;
    const delayMs = this.#reserve ? 0 : backoffMs;
    this.#exitsInARow++;
    this.#restarts++;
    this.#options.log.error(
      { process: this.#options.name, ...reason, restartInMs: delayMs },
      'process exited; restarting',
    );
    if (delayMs === 0) {
      this.start();
    } else {
      this.#restartTimer = setTimeout(() => this.start(), delayMs);
    }
  }

  /** Starts a reserve process after a delay, and another one if it exits. */
  #keepSpare(spare: SpareOptions): void {
    clearTimeout(this.#spareTimer);
    this.#spareTimer = setTimeout(() => {
      const child = launch(this.#options, spare.args);
      this.#reserve = child;
      writePid(spare.pidPath, child);
      onEnd(child, () => {
        if (this.#reserve !== child) {
          return;
        }
        this.#reserve = undefined;
        rmSync(spare.pidPath, { force: true });
        if (!this.#stopping) {
          this.#keepSpare(spare);
        }
      });
    }, SPARE_DELAY_MS);
  }
}

function writePid(path: string, { pid }: ChildProcess): void {
  if (pid !== undefined) {
    writeFileSync(path, String(pid), { mode: 0o600 });
  }
}

function launch(options: ChildOptions, more: readonly string[]): ChildProcess {
  const { command, args, environment, onLine, onMessage, spare } = options;
  const child = spawn(command, [...args, ...more], {
    stdio: [spare ? 'pipe' : 'ignore', 'inherit', onLine ? 'pipe' : 'inherit', onMessage ? 'ipc' : 'ignore'],
    // In its own process group: Ctrl-C reaches this process only, which ends its children in order.
    detached: true,
    env: environment,
  });
  child.stdin?.on('error', () => {});
  if (onLine && child.stderr) {
    createInterface({ input: child.stderr }).on('line', onLine);
  }
  if (onMessage) {
    child.on('message', onMessage);
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
