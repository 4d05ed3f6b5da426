/** A Redis that keeps nothing on disk, for the time of a measurement. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { cpuMs, type Running, start, until } from '../processes.ts';

export interface RedisServer extends Running {
  readonly port: number;
  /** Runs a command and returns the lines of its response. */
  command(...words: readonly string[]): Promise<readonly string[]>;
}

export interface RedisReading {
  /** Script calls since the start. */
  readonly scripts: number;
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

export async function startRedis(port: number): Promise<RedisServer> {
  const running = start('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', ''], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const command = async (...words: readonly string[]) => {
    const { stdout } = await promisify(execFile)('redis-cli', ['-p', String(port), ...words]);
    return stdout.trim().split(/\r?\n/);
  };
  await until('start of Redis', 10_000, async () => {
    try {
      return (await command('ping'))[0] === 'PONG';
    } catch {
      return false;
    }
  });
  return { ...running, port, command };
}

export async function readRedis({ command, pid }: RedisServer): Promise<RedisReading> {
  const lines = await command('info', 'all');
  const field = (pattern: RegExp) => Number(lines.map((line) => pattern.exec(line)?.[1]).find(Boolean) ?? 0);
  return {
    scripts: field(/^cmdstat_evalsha:calls=(\d+)/),
    memoryBytes: field(/^used_memory:(\d+)/),
    cpuMs: cpuMs(pid),
  };
}
