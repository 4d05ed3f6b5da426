/** A port for gRPC over TLS whose connections are counted before anything is read from them, and whose certificate is taken anew for each. */
import { createServer, type Server, type Socket } from 'node:net';
import { experimental, Server as GrpcServer, type ServerOptions } from '@grpc/grpc-js';
import type { ServerCertificate } from './ca.ts';
import {
  BAD_TOKENS_WINDOW_MS,
  KEEPALIVE_TIME_MS,
  KEEPALIVE_TIMEOUT_MS,
  MAX_BAD_TOKENS_OF_ADDRESS,
  MAX_CONNECTIONS,
  MAX_POLICY_BYTES,
  MAX_SIDECAR_MESSAGE_BYTES,
  MAX_STRANGERS,
  MAX_STRANGERS_OF_ADDRESS,
  MAX_STREAMS_OF_CONNECTION,
  SILENT_LIFE_MS,
  STRANGER_LIFE_MS,
} from './limits.ts';

const OPTIONS: ServerOptions = {
  'grpc.max_concurrent_streams': MAX_STREAMS_OF_CONNECTION,
  'grpc.max_receive_message_length': MAX_SIDECAR_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_POLICY_BYTES,
  'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.enable_channelz': 0,
};

export interface Listener {
  readonly port: number;
  /** It has shown a token, and gives way to nobody while that is reviewed. `peer`: as grpc-js names it. */
  spoke(peer: string): void;
  /** From now on the connection has no end of its own. */
  known(peer: string): void;
  badToken(peer: string): void;
  drop(peer: string): void;
  close(): Promise<void>;
}

export interface ListenerOptions {
  readonly address: { readonly host: string; readonly port: number };
  /** Throws or gives nothing while there is no certificate: then nobody is answered. */
  readonly credentials: () => ServerCertificate | undefined;
  readonly addServices: (server: GrpcServer) => void;
}

export async function listen({ address, credentials, addServices }: ListenerOptions): Promise<Listener> {
  const grpc = new GrpcServer(OPTIONS);
  addServices(grpc);
  const certificates = newCertificateSource();
  // The names of its first two parameters are exchanged in grpc-js 1.14: the identity comes first.
  const injector = grpc.createConnectionInjector(
    experimental.createCertificateProviderServerCredentials(certificates, null, false),
  );
  const sockets = new Map<string, Socket>();
  const strangers = newStrangers((peer) => sockets.get(peer)?.destroy());
  const badTokens = new Map<string, number>();
  const forget = setInterval(() => badTokens.clear(), BAD_TOKENS_WINDOW_MS);
  forget.unref();
  const port = createServer({ noDelay: true });
  port.maxConnections = MAX_CONNECTIONS;
  port.on('connection', (socket) => {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    const isBanned = (badTokens.get(hostOf(peer)) ?? 0) >= MAX_BAD_TOKENS_OF_ADDRESS;
    if (isBanned || !certificates.use(credentials) || !strangers.add(peer)) {
      socket.destroy();
      return;
    }
    sockets.set(peer, socket);
    socket.once('close', () => {
      strangers.remove(peer);
      sockets.delete(peer);
    });
    socket.on('error', () => {});
    injector.injectConnection(socket);
  });
  await bind(port, address);
  const bound = port.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : address.port,
    spoke: strangers.spoke,
    known: strangers.remove,
    badToken(peer) {
      const host = hostOf(peer);
      const count = (badTokens.get(host) ?? 0) + 1;
      badTokens.set(host, count);
      if (count >= MAX_BAD_TOKENS_OF_ADDRESS) {
        sockets.get(peer)?.destroy();
      }
    },
    drop: (peer) => void sockets.get(peer)?.destroy(),
    close: () =>
      new Promise((resolve) => {
        clearInterval(forget);
        port.close(() => resolve());
        injector.drain(500);
        injector.destroy();
        strangers.end();
      }),
  };
}

interface Stranger {
  readonly peer: string;
  readonly host: string;
  silent: boolean;
  life: NodeJS.Timeout;
}

/** Connections whose peer has not shown a good token yet, oldest first. */
function newStrangers(drop: (peer: string) => void) {
  const all = new Map<string, Stranger>();
  const remove = (peer: string) => {
    clearTimeout(all.get(peer)?.life);
    all.delete(peer);
  };
  const silentOf = (hosts: ReadonlyMap<string, readonly Stranger[]>) =>
    [...hosts.values()].toSorted((left, right) => right.length - left.length)[0]?.[0];
  /** Whether there is room for one more of the host; the oldest silent one gives way. */
  const makeRoom = (host: string): boolean => {
    const own = [...all.values()].filter((each) => each.host === host);
    const isFull = own.length >= MAX_STRANGERS_OF_ADDRESS;
    if (!isFull && all.size < MAX_STRANGERS) {
      return true;
    }
    const candidates = (isFull ? own : [...all.values()]).filter(({ silent }) => silent);
    const oldest = silentOf(Map.groupBy(candidates, (each) => each.host));
    if (oldest === undefined) {
      return false;
    }
    remove(oldest.peer);
    drop(oldest.peer);
    return true;
  };
  return {
    add(peer: string): boolean {
      const host = hostOf(peer);
      if (!makeRoom(host)) {
        return false;
      }
      all.set(peer, { peer, host, silent: true, life: setTimeout(drop, SILENT_LIFE_MS, peer) });
      return true;
    },
    spoke(peer: string): void {
      const stranger = all.get(peer);
      if (!stranger?.silent) {
        return;
      }
      stranger.silent = false;
      clearTimeout(stranger.life);
      stranger.life = setTimeout(drop, STRANGER_LIFE_MS - SILENT_LIFE_MS, peer);
    },
    remove,
    end(): void {
      for (const peer of [...all.keys()]) {
        drop(peer);
      }
    },
  };
}

function hostOf(peer: string): string {
  return peer.slice(0, peer.lastIndexOf(':'));
}

function bind(port: Server, address: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    port.once('error', reject);
    port.listen(address, () => {
      port.off('error', reject);
      resolve();
    });
  });
}

type Identity = Parameters<experimental.IdentityCertificateUpdateListener>[0];

/** grpc-js takes a new certificate from its provider only, while the server runs. */
function newCertificateSource() {
  const listeners = new Set<experimental.IdentityCertificateUpdateListener>();
  let current: ServerCertificate | undefined;
  const source: experimental.CertificateProvider = {
    addCaCertificateListener() {},
    removeCaCertificateListener() {},
    addIdentityCertificateListener: (listener) => void listeners.add(listener),
    removeIdentityCertificateListener: (listener) => void listeners.delete(listener),
  };
  /** False: there is none. */
  const use = (credentials: () => ServerCertificate | undefined): boolean => {
    const next = credentials();
    if (next === undefined) {
      return false;
    }
    if (next.chain === current?.chain && next.key === current.key) {
      return true;
    }
    current = next;
    const identity: Identity = { certificate: Buffer.from(next.chain), privateKey: Buffer.from(next.key) };
    for (const listener of listeners) {
      listener(identity);
    }
    return true;
  };
  return { ...source, use };
}
