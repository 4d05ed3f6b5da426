/**
 * Ends a child when this process dies, even by SIGKILL: a small shell waits on a pipe that only
 * this process holds open.
 */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';

/** `read` returns when the pipe is closed; nothing is ever written to it. */
const SCRIPT = 'read -r _; kill -TERM "$1" 2>/dev/null; sleep 3; kill -KILL "$1" 2>/dev/null';

/**
 * Returns a function that releases the child. Call it as soon as the child has exited, before its
 * pid is reused.
 */
export function endWithParent(pid: number): () => void {
  const watcher = spawn('/bin/sh', ['-c', SCRIPT, 'tallygate-endWithParent', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // In its own process group: Ctrl-C reaches this process only, which ends its children in order.
    detached: true,
    env: {},
  });
  watcher.on('error', () => {});
  watcher.stdin.on('error', () => {});
  watcher.unref();
  (watcher.stdin as Socket).unref();
  return () => {
    watcher.kill('SIGKILL');
  };
}
