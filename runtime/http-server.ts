/** An HTTP server for operators, whose connections no client can use up. */
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Address } from './environment.ts';

export interface HttpServerOptions {
  readonly address: Address;
  /** Beyond this number, the client address with the most connections loses its oldest one. */
  readonly maxConnections: number;
  readonly handle: RequestListener;
}

export interface HttpServer {
  /** The TCP port that was bound; 0 for a Unix socket. */
  readonly port: number;
  close(): Promise<void>;
}

/** A stuck connection must not keep memory or the process. */
const TIMEOUTS = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5_000,
  /** How often Node looks for headers and requests that are late. */
  connectionsCheckingInterval: 1_000,
} as const;

/**
 * Longer than any response takes to begin. Node closes the connection of a client that does not
 * read after up to twice this time.
 */
const SILENCE_MS = 30_000;

/** Rejects with the system's error if the address cannot be bound. */
export async function startHttpServer({ address, maxConnections, handle }: HttpServerOptions): Promise<HttpServer> {
  const server = createServer(TIMEOUTS, handle);
  server.setTimeout(SILENCE_MS);
  shareConnections(server, maxConnections);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    if (address.type === 'unix') {
      rmSync(address.path, { force: true });
      server.listen(address.path, () => {
        chmodSync(address.path, 0o600);
        resolve();
      });
    } else {
      server.listen({ host: address.host, port: address.port }, resolve);
    }
  });
  return {
    port: address.type === 'tcp' ? (server.address() as AddressInfo).port : 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/**
 * Closes connections beyond a number. `server.maxConnections` would close the newest, also that of
 * a probe while another client holds all others.
 */
function shareConnections(server: Server, maxConnections: number): void {
  // Oldest first.
  const open: Socket[] = [];
  const remove = (socket: Socket) => {
    const at = open.indexOf(socket);
    if (at >= 0) {
      open.splice(at, 1);
    }
  };
  server.on('connection', (socket) => {
    open.push(socket);
    socket.once('close', () => remove(socket));
    if (open.length > maxConnections) {
      const byAddress = [...Map.groupBy(open, ({ remoteAddress }) => remoteAddress).values()];
      const [oldest] = byAddress.reduce((most, own) => (own.length > most.length ? own : most));
      if (oldest !== undefined) {
        remove(oldest);
        oldest.destroy();
      }
    }
  });
}
