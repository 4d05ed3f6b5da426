/**
 * For tests against a real API server: a separate namespace, and a connection to the server that
 * can be interrupted.
 */

import { createServer, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions, Agent as TlsAgent } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../../../runtime/log.ts';
import { KubeClient } from '../client.ts';
import { type Credentials, findCredentials } from '../credentials.ts';
import type { KubeObject } from '../object.ts';
import { type Resource, resourcePath } from '../resource.ts';

export const silent = createLog({ level: 'silent', destination: { write: () => {} } });
export const configMaps: Resource = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps' };
const namespaces: Resource = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', clusterWide: true };

export interface Place {
  readonly client: KubeClient;
  readonly credentials: Credentials;
  readonly namespace: string;
  remove(): Promise<void>;
}

export async function newPlace(name: string): Promise<Place> {
  const credentials = await findCredentials(process.env);
  const client = new KubeClient(credentials);
  const namespace = `kube-test-${name}-${process.pid}`;
  await client.apply(namespaces, { ...typeOf(namespaces), metadata: { name: namespace, namespace: '' } });
  return {
    client,
    credentials,
    namespace,
    async remove() {
      await client.call(resourcePath(namespaces, '', namespace), { method: 'DELETE' });
      client.close();
    },
  };
}

export function typeOf({ apiVersion, kind }: Resource) {
  return { apiVersion, kind };
}

export function configMap(namespace: string, name: string, data: object, labels = {}): KubeObject {
  return { ...typeOf(configMaps), metadata: { name, namespace, labels }, data };
}

export async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > endMs) {
      throw new Error(`not within ${withinMs} ms: ${what}`);
    }
    await sleep(20);
  }
}

/**
 * A proxy between client and server: HTTP for the client, HTTPS to the server.
 */
export interface Way {
  readonly credentials: Credentials;
  /** Closes all connections and refuses new ones until `restore`. */
  cut(): void;
  restore(): void;
  /** Stops answering requests, without closing connections. */
  freeze(): void;
  /** Can change the path of a request, and cut its answer after some bytes. */
  meddle(change: (path: string) => { readonly path?: string; readonly cutAfterBytes?: number } | undefined): void;
  close(): void;
}

export async function openWay(real: Credentials): Promise<Way> {
  const agent = new TlsAgent({ keepAlive: true });
  let state: 'open' | 'cut' | 'frozen' = 'open';
  let change: Parameters<Way['meddle']>[0] = () => undefined;
  const server = createServer(async (incoming, outgoing) => {
    if (state === 'frozen') {
      return;
    }
    const { path = incoming.url ?? '', cutAfterBytes } = change(incoming.url ?? '') ?? {};
    const options: RequestOptions = {};
    await real.apply(options);
    const { hostname, port } = real.server;
    const { authorization } = (options.headers ?? {}) as Record<string, string>;
    const headers = { ...incoming.headers, host: real.server.host, ...(authorization && { authorization }) };
    const upstream = httpsRequest({ ...options, agent, hostname, port, path, method: incoming.method, headers });
    upstream.on('error', () => outgoing.destroy());
    outgoing.on('close', () => upstream.destroy());
    upstream.on('response', async (answer: IncomingMessage) => {
      outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
      outgoing.flushHeaders();
      let bytes = 0;
      answer.on('error', () => outgoing.destroy());
      answer.on('data', (piece: Buffer) => {
        if (state === 'frozen') {
          return;
        }
        bytes += piece.length;
        outgoing.write(piece);
        if (cutAfterBytes !== undefined && bytes > cutAfterBytes) {
          outgoing.destroy();
        }
      });
      answer.on('end', () => outgoing.end());
    });
    incoming.pipe(upstream);
  });
  server.on('connection', (socket) => {
    if (state === 'cut') {
      socket.destroy();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    credentials: { server: new URL(`http://127.0.0.1:${port}`), apply: async () => {} },
    cut() {
      state = 'cut';
      server.closeAllConnections();
    },
    restore() {
      state = 'open';
    },
    freeze() {
      state = 'frozen';
    },
    meddle(next) {
      change = next;
    },
    close() {
      server.closeAllConnections();
      server.close();
      agent.destroy();
    },
  };
}
