/**
 * A port for gRPC over TLS. Connections are bounded before anything is read from them; the
 * certificate can change at any time.
 */
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

export interface PushListener {
  readonly port: number;
  /**
   * The peer has sent a token, and is not evicted while the token is reviewed. `peer`: grpc-js's
   * name.
   */
  spoke(peer: string): void;
  /** The peer is authenticated: its connection may live without limit. */
  known(peer: string): void;
  badToken(peer: string): void;
  drop(peer: string): void;
  close(): Promise<void>;
}

export interface ListenerOptions {
  readonly address: { readonly host: string; readonly port: number };
  /** Returns undefined while there is no certificate: connections are then closed. */
  readonly credentials: () => ServerCertificate | undefined;
  readonly addServices: (server: GrpcServer) => void;
}

export async function listen({ address, credentials, addServices }: ListenerOptions): Promise<PushListener> {
  const grpc = new GrpcServer(OPTIONS);
  addServices(grpc);
  const certificates = newCertificateSource();
  // The first two parameters are named the wrong way around in grpc-js 1.14: the identity comes
  // first.
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

/** Connections whose peer is not authenticated yet, oldest first. */
function newStrangers(drop: (peer: string) => void) {
  const all = new Map<string, Stranger>();
  const remove = (peer: string) => {
    clearTimeout(all.get(peer)?.life);
    all.delete(peer);
  };
  const silentOf = (hosts: ReadonlyMap<string, readonly Stranger[]>) =>
    [...hosts.values()].toSorted((left, right) => right.length - left.length)[0]?.[0];
  /**
   * Returns whether one more connection of the host is allowed; evicts the oldest silent one if
   * necessary.
   */
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

type CertificateIdentity = Parameters<experimental.IdentityCertificateUpdateListener>[0];

/** While the server runs, grpc-js takes a new certificate only from a provider. */
function newCertificateSource() {
  const listeners = new Set<experimental.IdentityCertificateUpdateListener>();
  let current: ServerCertificate | undefined;
  const source: experimental.CertificateProvider = {
    addCaCertificateListener() {},
    removeCaCertificateListener() {},
    addIdentityCertificateListener: (listener) => void listeners.add(listener),
    removeIdentityCertificateListener: (listener) => void listeners.delete(listener),
  };
  /** Returns false if there is no certificate. */
  const use = (credentials: () => ServerCertificate | undefined): boolean => {
    const next = credentials();
    if (next === undefined) {
      return false;
    }
    if (next.chain === current?.chain && next.key === current.key) {
      return true;
    }
    current = next;
    const identity: CertificateIdentity = { certificate: Buffer.from(next.chain), privateKey: Buffer.from(next.key) };
    for (const listener of listeners) {
      listener(identity);
    }
    return true;
  };
  return { ...source, use };
}
