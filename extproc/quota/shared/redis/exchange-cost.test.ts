/**
 * What an exchange costs Redis, with few and many keys and replicas. EXCHANGE_CALLS makes the run
 * long; the test prints the figures of docs/guides/shared-store.md.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { skipWithoutRedis, startRedis } from '../../../../fixtures/redis-server.ts';
import type { SharedWindow } from '../allowances.ts';
import { EXCHANGE_SCRIPT, exchangeArguments } from './exchange-script.ts';

const CALLS = Number(process.env['EXCHANGE_CALLS'] ?? 10_000);
const BATCH = 500;
const TICK_MS = 10;

test('time and memory of an exchange do not grow with keys and replicas', { skip: skipWithoutRedis }, async (t) => {
  const server = await startRedis();
  const client = new Redis(server.port, '127.0.0.1');
  try {
    const digest = (await client.script('LOAD', EXCHANGE_SCRIPT)) as string;
    const measured = async (keys: number, replicas: number) => {
      await client.flushall();
      const emptyBytes = await memoryBytes(client);
      const fromMs = cpuMs(server.process.pid!);
      await exchange(client, digest, keys, replicas);
      const us = ((cpuMs(server.process.pid!) - fromMs) * 1_000) / CALLS;
      const bytes = ((await memoryBytes(client)) - emptyBytes) / (keys * replicas);
      t.diagnostic(`${keys} keys of ${replicas} replicas: ${us.toFixed(1)} µs a call, ${bytes.toFixed(0)} bytes each`);
      return { us, bytes };
    };
    const few = await measured(100, 1);
    const manyKeys = await measured(CALLS, 1);
    const manyReplicas = await measured(1, CALLS / 2);
    assert.ok(manyKeys.us < 3 * few.us && manyReplicas.us < 3 * few.us);
    assert.ok(manyKeys.bytes < 1_000 && manyReplicas.bytes < 1_000);
  } finally {
    client.disconnect();
    await server.stop();
  }
});

async function exchange(client: Redis, digest: string, keys: number, replicas: number): Promise<void> {
  for (let done = 0; done < CALLS; done += BATCH) {
    const pipeline = client.pipeline();
    for (let call = done; call < done + BATCH; call++) {
      const key = String(call % keys).padStart(22, '0');
      const allowance = `${key}-${Math.floor(call / keys) % replicas}`;
      const number = Math.floor(call / (keys * replicas)) + 1;
      const request = { window: windowOf(key), allowance, number, spent: number * 500, want: 2_000, least: 0 };
      const args = exchangeArguments({ ...request, ttlMs: 60_000, seenMs: 0, ...noOperation });
      pipeline.evalsha(digest, 2, `cost:{${key}}:r`, `cost:{${key}}:e`, ...args);
    }
    const failed = (await pipeline.exec())?.find(([error]) => error !== null);
    assert.equal(failed?.[0], undefined);
  }
}

const noOperation = { operation: 'none', operationId: '', operationUnits: 0 } as const;

function windowOf(key: string): SharedWindow {
  const limits = { limit: 1e12, limitEpoch: 1, limitCounter: 1 };
  const bounds = { startMs: 0, endMs: Date.now() + 3_600_000, slidingMs: 0 };
  return { key, bucket: key, type: 'fixed', previousKey: '', ...limits, ...bounds };
}

async function memoryBytes(client: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1]);
}

/** Returns the processor time of a process, from Linux. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
