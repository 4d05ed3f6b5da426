/** Starts processes, and looks at them through Linux's /proc: their children, processor time, memory and threads. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Of the kernel's clock tick (USER_HZ), which is 100 a second on every Linux that Envoy runs on. */
const TICK_MS = 10;
const STOP_MS = 15_000;

export interface Running {
  readonly pid: number;
  readonly child: ChildProcess;
  /** SIGTERM, and SIGKILL when that does not help. */
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
    // It is gone already.
  }
}

/** `pid` and all that it has started, and they. */
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

/** User and system time of all threads, so far. */
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

/** Envoy names its worker threads. */
export function envoyWorkers(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).filter((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').startsWith('wrk:worker'),
  ).length;
}

/** Fields of /proc/PID/stat from the state on; a process's name may hold blanks and brackets. */
function statFields(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listening()));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function listening(): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

/** Asks until the answer is true, or throws after the time. */
export async function until(what: string, timeoutMs: number, ask: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await ask())) {
    if (performance.now() > end) {
      throw new Error(`${what}: not within ${timeoutMs} ms`);
    }
    await sleep(50);
  }
}

/** Whether something answers with 200 there. */
export async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
