/**
 * Functions for the cluster that run.sh starts only: the tests may stop and kill the processes of
 * its node.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { command } from './kubectl.ts';

/** The reason to skip a test on another cluster. */
export const elsewhere: string | false =
  process.env['E2E_KUBECONFIG'] === undefined
    ? false
    : 'stops processes of the node, which is allowed only on the cluster that run.sh starts';

const inNode = (timeoutMs: number, script: string) => {
  const rig = process.env['CLUSTER'] ?? '../shared/cluster/cluster';
  return command(rig, ['exec', 'bash', '-euc', script], { timeoutMs });
};

/** Returns the pid of the first process in a container. */
export async function processOf(containerId: string): Promise<number> {
  const id = containerId.replace(/^containerd:\/\//, '');
  const tasks = await inNode(10_000, 'ctr -n k8s.io tasks ls');
  const [, pid] =
    tasks
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .find(([name]) => name === id) ?? [];
  if (pid === undefined) {
    throw new Error(`no process of container ${id}`);
  }
  return Number(pid);
}

export function apiServerProcess(): number {
  return Number(readFileSync(path.join(process.env['K8S_RIG_HOME'] ?? '', 'run/apiserver.pid'), 'utf8'));
}

/** Makes an empty folder of the node, which any user may write. */
export async function makeFolder(folder: string): Promise<void> {
  await inNode(10_000, `rm -rf ${folder}; install -d -m 777 ${folder}`);
}

export async function kill(pid: number): Promise<void> {
  await inNode(10_000, `kill -KILL ${pid}`);
}

/** Stops and continues a process in one shell, so that it continues even if the test fails. */
export async function freeze(pid: number, seconds: number): Promise<void> {
  const resume = `trap 'kill -CONT ${pid}' EXIT; trap exit TERM INT HUP`;
  await inNode((seconds + 30) * 1000, `${resume}; kill -STOP ${pid}; sleep ${seconds} & wait`);
}
