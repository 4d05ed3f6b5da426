/** Opens the connections to a Redis or Valkey. */
import type { ConnectionOptions } from 'node:tls';
import { Cluster, type ClusterOptions, type DNSLookupFunction, Redis, type RedisOptions } from 'ioredis';
import type { SharedStoreConfig } from '../../../../contract/shared-store.ts';

export type RedisClient = Redis | Cluster;

const CONNECT_TIMEOUT_MS = 2_000;
/** A connection that has owed an answer for so long is replaced. */
const SILENT_MS = 5_000;
const KEEP_ALIVE_MS = 10_000;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2_000;
/** A cluster that moves a slot redirects twice at most. */
const MAX_REDIRECTIONS = 4;

/** Commands fail at once while there is no connection: callers repeat what still matters. */
export function openRedis(config: SharedStoreConfig, random: () => number): RedisClient {
  const retryStrategy = (attempt: number) => retryDelayMs(attempt, random());
  const addresses = config.addresses.map(addressOf);
  const options = { ...connectionOptions(config), retryStrategy };
  switch (config.mode) {
    case 'Standalone':
      return new Redis({ ...options, ...addresses[0] });
    case 'Sentinel': {
      const client = new Redis({ ...options, ...sentinelOptions(config, retryStrategy), sentinels: addresses });
      connectAgain(client, () => retryStrategy(1));
      return client;
    }
    case 'Cluster':
      return new Cluster(addresses, clusterOptions(config, retryStrategy));
  }
}

/** Clients that their owner has closed. */
const closed = new WeakSet<RedisClient>();

export function closeRedis(client: RedisClient): void {
  closed.add(client);
  client.disconnect();
}

/**
 * Connects a client again that has ended by itself: ioredis gives up for good where a Sentinel
 * announces a failover while the client connects (`FailoverDetector` closes the connector).
 */
function connectAgain(client: Redis, delayMs: () => number): void {
  client.on('end', () => {
    const connect = () => {
      if (!closed.has(client)) {
        // A failure is an `error` or another `end`.
        client.connect().catch(() => {});
      }
    };
    setTimeout(connect, delayMs()).unref();
  });
}

/** Returns a time between half of the doubled one and all of it. */
function retryDelayMs(attempt: number, random: number): number {
  const mostMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempt, 16));
  return Math.round(mostMs * (0.5 + random / 2));
}

function addressOf(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

function connectionOptions({ username, password, database, tls }: SharedStoreConfig) {
  return {
    lazyConnect: true,
    // The answers are numbers. RESP 3 needs HELLO, which some proxies do not know.
    protocol: 2,
    // The parser would round the largest numbers.
    stringNumbers: true,
    connectionName: 'tallygate',
    disableClientInfo: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENT_MS,
    keepAlive: KEEP_ALIVE_MS,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // After a failover, an address may lead to the new primary.
    reconnectOnError: ({ message }: Error) => message.startsWith('READONLY'),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(database !== undefined && { db: database }),
    ...(tls !== undefined && { tls: tlsOptions(tls) }),
  } satisfies RedisOptions;
}

function tlsOptions({ caPem, serverName }: NonNullable<SharedStoreConfig['tls']>): ConnectionOptions {
  return {
    minVersion: 'TLSv1.2',
    ...(caPem !== undefined && { ca: caPem }),
    ...(serverName !== undefined && { servername: serverName }),
  };
}

function sentinelOptions(
  { sentinelMaster, sentinelPassword, tls }: SharedStoreConfig,
  retryStrategy: (attempt: number) => number,
) {
  return {
    name: sentinelMaster!,
    role: 'master' as const,
    sentinelRetryStrategy: retryStrategy,
    // Sentinels tell at once when they have chosen another primary.
    failoverDetector: true,
    sentinelCommandTimeout: CONNECT_TIMEOUT_MS,
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    ...(tls !== undefined && { enableTLSForSentinelMode: true, sentinelTLS: tlsOptions(tls) }),
  } satisfies RedisOptions;
}

function clusterOptions(config: SharedStoreConfig, retryStrategy: (attempt: number) => number) {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    redisOptions: connectionOptions(config),
    clusterRetryStrategy: retryStrategy,
    clusterNodeRetryStrategy: retryStrategy,
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
    slotsRefreshInterval: 5_000,
    maxRedirections: MAX_REDIRECTIONS,
    // A certificate names hosts, so they are resolved only when connecting.
    ...(config.tls !== undefined && { dnsLookup: keepHost }),
  } satisfies ClusterOptions;
}

const keepHost: DNSLookupFunction = (host, done) => done(null, host);
