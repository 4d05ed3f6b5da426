/**
 * The gRPC server that Envoy's ext_proc filter calls, with its own HTTP/2 framing over `node:net`.
 * Each `Process` call becomes an `Exchange` with its handler. Output leaves once per slice of the
 * event loop, after `beforeFlush` has run.
 */

import { lstat, unlink } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type ListenOptions } from 'node:net';
import type { Exchange, ExchangeHandler } from '../exchange.ts';
import type { AccessLogEntry } from './access-log.ts';
import { BodyBlocks } from './body-blocks.ts';
import { Connection } from './connection.ts';
import { CANCEL } from './frames.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { LoopSlice } from './loop-slice.ts';
import { checkReadSocketSupport } from './read-socket.ts';
import { newCounters, type ServerContext, type ServerCounters, type ServerLog } from './server-context.ts';

export interface ServerOptions {
  /** A Unix socket. Without it, `host` and `port`. */
  readonly path?: string;
  readonly host?: string;
  readonly port?: number;
  readonly handler: (exchange: Exchange) => ExchangeHandler;
  /**
   * Runs before each flush. If it throws, no output of that slice leaves: all connections with
   * output are closed, with their streams.
   */
  readonly beforeFlush: () => void;
  readonly limits?: Partial<Limits>;
  readonly log?: ServerLog;
  /** The answer of `grpc.health.v1.Health/Check`; SERVING if absent. */
  readonly serving?: () => boolean;
  /** Receives Envoy's access log entry for a broken exchange, before `closed` of that exchange. */
  readonly exchangeBroken?: (entry: AccessLogEntry) => void;
}

export interface Server {
  /** The path, or `host:port`. */
  readonly address: string;
  readonly openStreams: number;
  /** Bytes of the whole process that wait for the peer's windows or the kernel. */
  readonly unsentBytes: number;
  readonly counters: Readonly<ServerCounters>;
  /** Returns the handlers of the open streams, in no order. */
  handlers(): readonly ExchangeHandler[];
  /**
   * Accepts no new connections, waits for open streams, and closes the rest at the deadline. Every
   * handler has seen `closed` when it resolves.
   */
  close(deadlineMs: number): Promise<void>;
}

const silent: ServerLog = { warn: () => {}, error: () => {} };

export async function startServer(options: ServerOptions): Promise<Server> {
  checkReadSocketSupport();
  const log = options.log ?? silent;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const connections = new Set<Connection>();
  const context: ServerContext = newContext(options, limits, log, () => evict(context, connections));
  let allGone = (): void => {};
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    context.counters.connections++;
    connections.add(
      new Connection(socket, context, (connection) => {
        connections.delete(connection);
        if (connections.size === 0) {
          allGone();
        }
      }),
    );
  });
  const address = await listen(server, options);
  return {
    address,
    counters: context.counters,
    get openStreams() {
      return context.openStreams;
    },
    get unsentBytes() {
      let bytes = context.unsentBytes;
      for (const connection of connections) {
        bytes += connection.unacceptedBytes;
      }
      return bytes;
    },
    handlers: () => [...connections].flatMap((connection) => connection.handlers()),
    async close(deadlineMs) {
      server.close();
      if (connections.size === 0) {
        return;
      }
      const gone = new Promise<void>((resolve) => {
        allGone = resolve;
      });
      for (const connection of connections) {
        connection.drain();
      }
      const timer = setTimeout(() => {
        for (const connection of connections) {
          connection.destroy();
        }
      }, deadlineMs);
      await gone;
      clearTimeout(timer);
    },
  };
}

/** `makeRoom` runs before each flush, to stay below the bound of unsent bytes. */
function newContext(options: ServerOptions, limits: Limits, log: ServerLog, makeRoom: () => void): ServerContext {
  const beforeFlush = () => {
    try {
      makeRoom();
      options.beforeFlush();
      return true;
    } catch (error) {
      log.error({ err: error }, 'flush failed, closing ext_proc connections');
      return false;
    }
  };
  const onError = (error: unknown) => log.error({ err: error }, 'ext_proc connection failed');
  return {
    limits,
    counters: newCounters(),
    log,
    slice: new LoopSlice(limits.sliceMs, beforeFlush, onError),
    blocks: new BodyBlocks(),
    handler: options.handler,
    serving: options.serving ?? (() => true),
    exchangeBroken: options.exchangeBroken ?? (() => {}),
    openStreams: 0,
    unsentBytes: 0,
  };
}

/**
 * Keeps unsent bytes below their bound: resets the streams with the most unsent bytes, whose
 * clients read least.
 */
function evict(context: ServerContext, connections: ReadonlySet<Connection>): void {
  while (context.unsentBytes > context.limits.maxUnsentBytes) {
    const candidates = [...connections].flatMap((connection) => connection.largest() ?? []);
    const largest = candidates.toSorted((a, b) => b.unsentBytes - a.unsentBytes)[0];
    if (largest === undefined) {
      return;
    }
    context.counters.streamsEvicted++;
    context.log.warn({ bytes: largest.unsentBytes }, 'unsent bytes exceed the limit, resetting the slowest stream');
    largest.reset(CANCEL);
  }
}

async function listen(server: ReturnType<typeof createServer>, options: ServerOptions): Promise<string> {
  const { path } = options;
  if (path !== undefined) {
    await removeStale(path);
  }
  const where: ListenOptions = path === undefined ? { host: options.host, port: options.port } : { path };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  if (path !== undefined) {
    return path;
  }
  const { address, port } = server.address() as AddressInfo;
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** Removes the socket file of a killed process: nobody can listen there until it is gone. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSocket() !== true) {
    return;
  }
  const dead = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
  if (dead) {
    await unlink(path);
  }
}
