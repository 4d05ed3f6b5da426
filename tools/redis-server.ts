/** Starts real Redis servers for tests, on loopback ports that the system chooses. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const PROGRAM = ['/usr/bin/redis-server', '/usr/bin/valkey-server'].find((path) => existsSync(path));

/** Why tests with a real server are skipped; false: they run. */
export const skipWithoutRedis = PROGRAM === undefined ? 'needs redis-server (apt-get install redis-server)' : false;

export interface RedisServer {
  readonly port: number;
  readonly process: ChildProcess;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface RedisServerOptions {
  readonly port?: number;
  /** In addition to those for a server on loopback that saves nothing. */
  readonly arguments?: readonly string[];
  /** A configuration file, which Sentinels need and rewrite. */
  readonly config?: string;
}

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const port = options.port ?? (await freePort());
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-redis-'));
  const file = join(folder, 'redis.conf');
  writeFileSync(file, options.config ?? '');
  const server = spawn(
    PROGRAM!,
    [file, '--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--dir', folder, ...(options.arguments ?? [])],
    { stdio: 'ignore' },
  );
  const exited = once(server, 'exit');
  await untilConnects(port, server);
  return {
    port,
    process: server,
    async stop(signal = 'SIGKILL') {
      if (server.exitCode === null && server.signalCode === null) {
        server.kill(signal);
      }
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  server.close();
  await once(server, 'close');
  return port;
}

async function untilConnects(port: number, server: ChildProcess): Promise<void> {
  for (;;) {
    if (server.exitCode !== null) {
      throw new Error(`redis-server ended with ${server.exitCode}`);
    }
    const socket = createConnection(port, '127.0.0.1');
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (connected) {
      return;
    }
    await delay(20);
  }
}
