/** Starts processes, and reads children, processor time, memory and threads from Linux's /proc. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * The kernel's clock tick (USER_HZ), which is 100 per second on every Linux that Envoy supports.
 */
const TICK_MS = 10;
const STOP_MS = 15_000;

export interface Running {
  readonly pid: number;
  readonly child: ChildProcess;
  /** Sends SIGTERM, and SIGKILL if the process does not end. */
  stop(): Promise<void>;
}

export function start(command: string, args: readonly string[], options: SpawnOptions): Running {
  const child = spawn(command, args, options);
  child.on('error', (error) => console.error(`${command}: ${error.message}`));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    pid: child.pid ?? 0,
    child,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) {
        return;
      }
      const tree = descendants(child.pid ?? 0);
      child.kill('SIGTERM');
      const killer = setTimeout(() => tree.forEach(kill), STOP_MS);
      await ended;
      clearTimeout(killer);
    },
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // The process has already ended.
  }
}

/** Returns `pid` and all its descendants. */
export function descendants(pid: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const fields = /^\d+$/.test(name) ? statFields(Number(name)) : undefined;
    if (fields !== undefined) {
      parents.set(Number(name), Number(fields[1]));
    }
  }
  const found = [pid];
  for (const one of found) {
    for (const [child, parent] of parents) {
      if (parent === one) {
        found.push(child);
      }
    }
  }
  return found;
}

export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

/** Returns user and system time of all threads. */
export function cpuMs(pid: number): number {
  const fields = statFields(pid);
  if (fields === undefined) {
    throw new Error(`process ${pid} has ended`);
  }
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** Counts Envoy's worker threads by their names. */
export function envoyWorkers(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).filter((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').startsWith('wrk:worker'),
  ).length;
}

/**
 * Returns the fields of /proc/PID/stat from the state on. The name of a process may contain blanks
 * and brackets.
 */
function statFields(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Polls until the result is true; throws on timeout. */
export async function until(what: string, timeoutMs: number, ask: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await ask())) {
    if (performance.now() > end) {
      throw new Error(`${what}: timed out after ${timeoutMs} ms`);
    }
    await sleep(50);
  }
}

/** Returns whether the URL answers with 200. */
export async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
