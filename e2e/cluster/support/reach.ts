/**
 * Connects the test to Services in the cluster: directly if the test runs in the node's network,
 * otherwise by a forwarded port.
 */
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { waitFor, within } from '../../data-plane/support/wait.ts';
import { get, kubectl } from './kubectl.ts';

const FORWARD_MS = 15_000;

export interface Reached {
  /** `http://HOST:PORT`. */
  readonly url: string;
  close(): void;
}

export async function reachService(namespace: string, service: string, port: number): Promise<Reached> {
  if (process.env['E2E_KUBECONFIG'] === undefined) {
    const { spec } = await get('-n', namespace, 'service', service);
    // The node learns of a ready pod shortly after the API server.
    await waitFor(`open port of ${namespace}/${service}`, () => connects(spec.clusterIP, port), 10_000);
    return { url: `http://${spec.clusterIP}:${port}`, close: () => {} };
  }
  const child = spawn('kubectl', ['-n', namespace, 'port-forward', `service/${service}`, `:${port}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const forwarded = new Promise<number>((resolve, reject) => {
    child.on('exit', (code) => reject(new Error(`port-forward to ${namespace}/${service} ended with ${code}`)));
    child.stdout.on('data', (text: Buffer) => {
      const local = /127\.0\.0\.1:(\d+)/.exec(text.toString())?.[1];
      if (local !== undefined) {
        resolve(Number(local));
      }
    });
  });
  const local = await within(FORWARD_MS, `port-forward to ${namespace}/${service}`, forwarded);
  return { url: `http://127.0.0.1:${local}`, close: () => child.kill() };
}

function connects(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 }, () => done(true));
    const done = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.on('error', () => done(false)).on('timeout', () => done(false));
  });
}

/**
 * Returns the Service that Envoy Gateway created for a Gateway, or for the class of merged
 * Gateways.
 */
export async function reachGateway(namespace: string, name: string, port: number, merged?: string): Promise<Reached> {
  const labels = ownedBy(namespace, name, merged);
  const { items } = await get('services', '-A', '-l', labels);
  if (items.length !== 1) {
    throw new Error(`${items.length} Services have ${labels}`);
  }
  return reachService(items[0].metadata.namespace, items[0].metadata.name, port);
}

/** Returns the label selector for Envoy Gateway's objects of a Gateway. */
export function ownedBy(namespace: string, name: string, merged?: string): string {
  const owner = 'gateway.envoyproxy.io/owning-gateway';
  return merged === undefined ? `${owner}-namespace=${namespace},${owner}-name=${name}` : `${owner}class=${merged}`;
}

/** Returns the proxy pods of a Gateway that are not being deleted. */
// biome-ignore lint/suspicious/noExplicitAny: tests read pods.
export async function proxyPods(namespace: string, name: string): Promise<readonly any[]> {
  const { items } = await get('pods', '-A', '-l', ownedBy(namespace, name));
  return items.filter((pod: { metadata: { deletionTimestamp?: string } }) => !pod.metadata.deletionTimestamp);
}

/** Returns the output of the sidecars of a Gateway. */
export async function sidecarLog(namespace: string, name: string): Promise<string> {
  const pods = await proxyPods(namespace, name);
  const logs = pods.map(({ metadata }) => kubectl('-n', metadata.namespace, 'logs', metadata.name, '-c', 'tallygate'));
  return (await Promise.all(logs)).join('');
}
