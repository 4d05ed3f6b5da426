/** Reads what a measurement costs the Redis that it uses. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { RedisServer } from '../../fixtures/redis-server.ts';
import { cpuMs } from '../processes.ts';

export interface RedisReading {
  /** Script calls since the start. */
  readonly scripts: number;
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** Runs a command and returns the lines of its response. */
export async function redisCommand({ port }: RedisServer, ...words: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)('redis-cli', ['-p', String(port), ...words]);
  return stdout.trim().split(/\r?\n/);
}

export async function readRedis(redis: RedisServer): Promise<RedisReading> {
  const lines = await redisCommand(redis, 'info', 'all');
  const field = (pattern: RegExp) => Number(lines.map((line) => pattern.exec(line)?.[1]).find(Boolean) ?? 0);
  return {
    scripts: field(/^cmdstat_evalsha:calls=(\d+)/),
    memoryBytes: field(/^used_memory:(\d+)/),
    cpuMs: cpuMs(redis.process.pid!),
  };
}
