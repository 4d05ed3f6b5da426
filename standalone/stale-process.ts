/** Ends a process of an earlier run, if its command line proves that it is one. */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const DEADLINE_MS = 5000;

/**
 * `marker`: the state folder, which only this instance's command lines contain. Returns whether a
 * process was ended.
 */
export async function endStaleProcess(pidPath: string, marker: string): Promise<boolean> {
  const pid = readPid(pidPath);
  if (pid === undefined || !isOurs(pid, marker)) {
    rmSync(pidPath, { force: true });
    return false;
  }
  signal(pid, 'SIGTERM');
  for (let waitedMs = 0; isOurs(pid, marker) || isEnding(pid); waitedMs += 20) {
    if (waitedMs >= DEADLINE_MS) {
      signal(pid, 'SIGKILL');
    }
    await sleep(20);
  }
  rmSync(pidPath, { force: true });
  return true;
}

function readPid(pidPath: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidPath, 'utf8'));
    return Number.isSafeInteger(pid) && pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Returns false also for a zombie, whose command line is empty. */
function isOurs(pid: number, marker: string): boolean {
  return commandLine(pid).includes(marker);
}

/**
 * Whether the process is exiting: its command line is empty, but sockets and locks may still exist.
 * Visible on Linux only.
 */
function isEnding(pid: number): boolean {
  if (process.platform !== 'linux') {
    return false;
  }
  try {
    return commandLine(pid) === '' && !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    // No such process, or a system without /proc.
  }
  if (process.platform === 'linux') {
    return '';
  }
  try {
    return execFileSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return '';
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // The process has just ended.
  }
}
