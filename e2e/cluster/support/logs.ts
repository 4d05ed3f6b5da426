/**
 * Collects the logs of containers while pods are replaced, because kubectl has them only while the
 * pod exists.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { get } from './kubectl.ts';

/** Shorter than the time that a deleted pod still exists. */
const LOOK_EVERY_MS = 2000;

export interface FollowedLine {
  /** The id of one run of a container. */
  readonly container: string;
  readonly pod: string;
  readonly text: string;
}

export interface FollowedLogs {
  readonly lines: readonly FollowedLine[];
  close(): Promise<void>;
}

interface ContainerStatus {
  readonly name: string;
  readonly containerID?: string;
}

/** `keep` selects the lines to keep in memory. */
export function followLogs(
  labels: string,
  container: string,
  keep: (text: string) => boolean = () => true,
): FollowedLogs {
  const read = new Map<string, readonly FollowedLine[]>();
  const followed = new Map<string, ChildProcess>();
  const stop = new AbortController();
  const look = async () => {
    const { items } = await get('pods', '-A', '-l', labels);
    for (const { metadata, status } of items) {
      const statuses: readonly ContainerStatus[] = [
        ...(status.initContainerStatuses ?? []),
        ...(status.containerStatuses ?? []),
      ];
      const id = statuses.find(({ name }) => name === container)?.containerID;
      if (id !== undefined && id !== '' && !followed.has(id)) {
        follow(id, metadata.namespace, metadata.name);
      }
    }
  };
  const follow = (id: string, namespace: string, pod: string) => {
    const args = ['-n', namespace, 'logs', '--follow', pod, '-c', container];
    const child = spawn('kubectl', args, { stdio: ['ignore', 'pipe', 'ignore'] });
    followed.set(id, child);
    const own: FollowedLine[] = [];
    read.set(id, own);
    createInterface({ input: child.stdout }).on('line', (text) => {
      if (keep(text)) {
        own.push({ container: id, pod, text });
      }
    });
    // Interrupted, for example without the API server: read again from the start next time.
    child.on('exit', (code) => {
      if (code !== 0) {
        followed.delete(id);
      }
    });
  };
  const run = async () => {
    while (!stop.signal.aborted) {
      // The next attempt may succeed.
      await look().catch(() => {});
      await sleep(LOOK_EVERY_MS, undefined, { signal: stop.signal }).catch(() => {});
    }
  };
  const running = run();
  return {
    get lines() {
      return [...read.values()].flat();
    },
    async close() {
      stop.abort();
      await running;
      for (const child of followed.values()) {
        child.kill();
      }
    },
  };
}
