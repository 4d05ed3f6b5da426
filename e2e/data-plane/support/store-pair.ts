/**
 * A Redis with a replica and a Sentinel, all with files, that a test can kill, start again and fail
 * over; and queries about what it keeps of shared quotas.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePorts } from '../../../fixtures/free-ports.ts';
import { addFiles } from './leaks/outputs.ts';
import { waitFor } from './wait.ts';

const PROGRAM = ['/usr/bin/redis-server', '/usr/bin/valkey-server'].find((path) => existsSync(path));
const PRIMARY = 'quotas';
/** Sentinel fails over after this outage; a restart is faster. */
const DOWN_MS = 3_000;

/** Why tests are skipped; false: they run. */
export const skipWithoutRedis = PROGRAM === undefined ? 'needs redis-server (apt-get install redis-server)' : false;

/** The sums of one window at one moment. */
export interface StoredWindow {
  readonly key: string;
  readonly limit: number;
  readonly spent: number;
  /** Spent, or left in allowances. */
  readonly taken: number;
  /** Of what is spent: charged for allowances whose replica fell silent. */
  readonly recovered: number;
}

export interface StorePair {
  readonly url: string;
  /** Reads all windows at one moment. */
  windows(): Promise<readonly StoredWindow[]>;
  /** Kills the primary, and starts it again with what it wrote. */
  restart(): Promise<void>;
  /** Makes the replica the primary; what it had not received yet is lost. */
  failOver(): Promise<void>;
  /** Kills the primary, waits for the failover, and starts it again as a replica. */
  killPrimary(): Promise<void>;
  stop(): Promise<void>;
}

/** Reads the records as the script of an exchange packs them. */
const WINDOWS_SCRIPT = `
local windows = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('TYPE', key).ok == 'hash' then
    local head, totals = unpack(redis.call('HMGET', key, 'h', 't'))
    -- The hashes of usage have neither.
    if head and totals then
      local _, limit, _, _, granted, debt, _, recovered = cmsgpack.unpack(head)
      local charged, openSpent, openUnspent = cmsgpack.unpack(totals)
      local spent = charged + openSpent + debt
      local numbers = { limit + granted, spent, spent + openUnspent, recovered }
      for i = 1, 4 do numbers[i] = string.format('%.0f', numbers[i]) end
      windows[#windows + 1] = { key, unpack(numbers) }
    end
  end
end
return windows
`;

interface Server {
  readonly port: number;
  readonly kill: () => Promise<void>;
  readonly start: () => Promise<void>;
}

export async function startStorePair(): Promise<StorePair> {
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-store-'));
  const [onePort = 0, otherPort = 0, sentinelPort = 0] = await freePorts(3);
  const files = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '', '--repl-diskless-sync-delay', '0'];
  const one = server(join(folder, 'one'), onePort, files);
  const other = server(join(folder, 'other'), otherPort, [...files, '--replicaof', `127.0.0.1 ${onePort}`]);
  const sentinel = server(
    join(folder, 'sentinel'),
    sentinelPort,
    ['--sentinel'],
    [
      `sentinel monitor ${PRIMARY} 127.0.0.1 ${onePort} 1`,
      `sentinel down-after-milliseconds ${PRIMARY} ${DOWN_MS}`,
      `sentinel failover-timeout ${PRIMARY} 5000`,
    ],
  );
  await one.start();
  await other.start();
  await sentinel.start();
  const control = new Redis(sentinelPort, '127.0.0.1', { maxRetriesPerRequest: null });
  const options = { sentinels: [{ host: '127.0.0.1', port: sentinelPort }], name: PRIMARY };
  const primaryClient = new Redis({ ...options, maxRetriesPerRequest: 0, commandTimeout: 500 });
  for (const client of [control, primaryClient]) {
    client.on('error', () => {});
  }
  const primaryPort = () => primaryPortOf(control);
  const ofPort = (port: number) => (port === onePort ? one : other);
  const replicas = () =>
    waitFor('a replica in sync', async () => (await info(control)).includes('slaves=1,sentinels=1'), 20_000);
  const changed = (from: number) => waitFor('a new primary', async () => (await primaryPort()) !== from, 30_000);
  await replicas();
  await inSync(ofPort(await primaryPort()).port);
  return {
    url: `redis+sentinel://127.0.0.1:${sentinelPort}/${PRIMARY}`,
    windows: async () => {
      const rows = (await primaryClient.eval(WINDOWS_SCRIPT, 0)) as [string, string, string, string, string][];
      return rows.map(([key, ...numbers]) => {
        const [limit = 0, spent = 0, taken = 0, recovered = 0] = numbers.map(Number);
        return { key, limit, spent, taken, recovered };
      });
    },
    restart: async () => {
      const primary = ofPort(await primaryPort());
      await primary.kill();
      await primary.start();
      await inSync(primary.port);
    },
    failOver: async () => {
      const from = await primaryPort();
      await waitFor('failover', () => control.call('SENTINEL', 'FAILOVER', PRIMARY).then(Boolean, () => false), 20_000);
      await changed(from);
      await inSync(await primaryPort());
    },
    killPrimary: async () => {
      const from = await primaryPort();
      await ofPort(from).kill();
      await failedOver(control, from);
      await ofPort(from).start();
      await inSync(await primaryPort());
    },
    stop: async () => {
      control.disconnect();
      primaryClient.disconnect();
      await Promise.all([sentinel, one, other].map(({ kill }) => kill()));
      addFiles(folder, 'of the store');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function primaryPortOf(control: Redis): Promise<number> {
  const [, port] = (await control.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', PRIMARY)) as string[];
  return Number(port);
}

/**
 * Waits for the failover from a killed primary. On a busy machine, a Sentinel may give its failover
 * up, and would wait long before the next, so the test then asks for one.
 */
async function failedOver(control: Redis, from: number): Promise<void> {
  const patientUntilMs = performance.now() + 2 * DOWN_MS;
  await waitFor(
    'a new primary',
    async () => {
      if (performance.now() > patientUntilMs) {
        await control.call('SENTINEL', 'FAILOVER', PRIMARY).catch(() => {});
      }
      return (await primaryPortOf(control)) !== from;
    },
    60_000,
  );
}

async function info(control: Redis): Promise<string> {
  return (await control.call('INFO', 'sentinel')) as string;
}

/** Waits until the primary at this port has a replica that has what it has. */
async function inSync(port: number): Promise<void> {
  const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null });
  client.on('error', () => {});
  try {
    await waitFor(
      'a replica that is in sync',
      async () => /slave0:.*state=online/.test(String(await client.call('INFO', 'replication').catch(() => ''))),
      30_000,
    );
  } finally {
    client.disconnect();
  }
}

function server(folder: string, port: number, args: readonly string[], config: readonly string[] = []): Server {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'redis.conf');
  // A Sentinel, and a server that Sentinel reconfigures, write their state to this file.
  writeFileSync(file, config.join('\n'));
  let child: ChildProcess | undefined;
  let isFirst = true;
  return {
    port,
    async start() {
      const words = isFirst
        ? args
        : args.filter((word, index) => word !== '--replicaof' && args[index - 1] !== '--replicaof');
      isFirst = false;
      child = spawn(PROGRAM!, [file, '--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, ...words], {
        stdio: 'ignore',
      });
      const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null, retryStrategy: () => 20 });
      client.on('error', () => {});
      try {
        await waitFor('start of Redis', () => client.ping().then(Boolean, () => false), 10_000);
      } finally {
        client.disconnect();
      }
    },
    async kill() {
      if (child !== undefined && child.exitCode === null && child.signalCode === null) {
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      }
    },
  };
}
