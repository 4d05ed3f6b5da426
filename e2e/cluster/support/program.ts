/**
 * Runs a program of the tests in a pod, as the Service `NAME` with the ports 8080 and 8081: its
 * sources come from a ConfigMap, Node and the tokenizer from Tallygate's image.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Document } from '../../data-plane/support/resources.ts';
import { apply, repository, waitUntil } from './kubectl.ts';
import { type Reached, reachService } from './reach.ts';

/** `main`: its file in the repository. Returns where port 8081 is reached. */
export async function startProgram(namespace: string, name: string, main: string): Promise<Reached> {
  const sources = sourcesOf(main);
  await apply([...configMap(namespace, name, sources), ...workload(namespace, name, main, sources)]);
  await waitUntil('condition=Available', ['-n', namespace, `deployment/${name}`]);
  return reachService(namespace, name, 8081);
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

function workload(
  namespace: string,
  name: string,
  main: string,
  sources: ReadonlyMap<string, string>,
): readonly Document[] {
  const labels = { app: name };
  const items = [...sources.keys()].map((file) => ({ key: keyOf(file), path: file }));
  const container = {
    name: 'program',
    image: process.env['E2E_IMAGE'] ?? 'tallygate:dev',
    command: ['/usr/local/bin/node', `/app/tests/${main}`],
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
