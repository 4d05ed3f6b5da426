/**
 * Runs the simulated provider in a pod: its sources come from a ConfigMap, Node and the tokenizer
 * from Tallygate's image.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Behaviour } from '../../data-plane/support/behaviour.ts';
import type { Document } from '../../data-plane/support/resources.ts';
import type { Seen } from '../../data-plane/support/seen.ts';
import { apply, repository, waitUntil } from './kubectl.ts';
import { type Reached, reachService } from './reach.ts';

const MAIN = 'e2e/cluster/support/provider-main.ts';

export interface ClusterProvider {
  readonly name: string;
  /** `NAME.NAMESPACE.svc`, the host name for AIBackends. */
  readonly host: string;
  readonly port: 8080;
  seen(): Promise<readonly Seen[]>;
  /** Returns the number of requests whose response is neither complete nor aborted. */
  openCount(): Promise<number>;
  setDefaults(behaviour: Behaviour): Promise<void>;
  /** Returns the requests that it forgets. */
  forget(): Promise<readonly Seen[]>;
  /** Closes the connection only; the pod ends with its namespace. */
  close(): void;
}

export async function startClusterProvider(namespace: string, name = 'provider'): Promise<ClusterProvider> {
  const sources = sourcesOf(MAIN);
  await apply([...configMap(namespace, name, sources), ...workload(namespace, name, sources)]);
  await waitUntil('condition=Available', ['-n', namespace, `deployment/${name}`]);
  const control: Reached = await reachService(namespace, name, 8081);
  const ask = async (method: string, body?: object) => {
    const signal = AbortSignal.timeout(10_000);
    const response = await fetch(control.url, { method, signal, ...(body && { body: JSON.stringify(body) }) });
    return (await response.json()) as { readonly seen: readonly Seen[]; readonly open: number };
  };
  return {
    name,
    host: `${name}.${namespace}.svc`,
    port: 8080,
    seen: async () => (await ask('GET')).seen,
    openCount: async () => (await ask('GET')).open,
    setDefaults: async (behaviour) => {
      await ask('PUT', behaviour);
    },
    forget: async () => (await ask('DELETE')).seen,
    close: control.close,
  };
}

/** Returns the file and all files that it imports by relative paths. */
function sourcesOf(file: string, found: Map<string, string> = new Map()): ReadonlyMap<string, string> {
  if (found.has(file)) {
    return found;
  }
  const text = readFileSync(path.join(repository, file), 'utf8');
  found.set(file, text);
  for (const [, target = ''] of text.matchAll(/from '(\.[^']+)'/g)) {
    sourcesOf(path.join(path.dirname(file), target), found);
  }
  return found;
}

const keyOf = (file: string) => file.replaceAll('/', '.');

function configMap(namespace: string, name: string, sources: ReadonlyMap<string, string>): readonly Document[] {
  const data = Object.fromEntries([...sources].map(([file, text]) => [keyOf(file), text]));
  return [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `${name}-sources`, namespace }, data }];
}

function workload(namespace: string, name: string, sources: ReadonlyMap<string, string>): readonly Document[] {
  const labels = { app: name };
  const items = [...sources.keys()].map((file) => ({ key: keyOf(file), path: file }));
  const container = {
    name: 'provider',
    image: process.env['E2E_IMAGE'] ?? 'tallygate:dev',
    command: ['/usr/local/bin/node', `/app/tests/${MAIN}`],
    readinessProbe: { tcpSocket: { port: 8081 }, periodSeconds: 1 },
    volumeMounts: [{ name: 'sources', mountPath: '/app/tests' }],
  };
  const volumes = [{ name: 'sources', configMap: { name: `${name}-sources`, items } }];
  const template = {
    metadata: { labels },
    spec: { terminationGracePeriodSeconds: 1, containers: [container], volumes },
  };
  const ports = [8080, 8081].map((port) => ({ name: `p${port}`, port }));
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace },
      spec: { selector: { matchLabels: labels }, template },
    },
    { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec: { selector: labels, ports } },
  ];
}
