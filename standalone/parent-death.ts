/** Keeps a child from outliving this process, also after kill -9: a tiny shell waits on a pipe that only we hold open. */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';

/** `read` ends when the pipe does, and nothing is ever written to it. */
const SCRIPT = 'read -r _; kill -TERM "$1" 2>/dev/null; sleep 3; kill -KILL "$1" 2>/dev/null';

/** Returns what lets the child off: to be called as soon as it has ended, before its id can be given to another. */
export function endWithParent(pid: number): () => void {
  const watcher = spawn('/bin/sh', ['-c', SCRIPT, 'tallygate-endWithParent', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Out of the terminal's process group: Ctrl-C is for us, and we end the others in order.
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
