/** The script against the reference: the suite of the port, and the same requests to both. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Redis } from 'ioredis';
import { skipWithoutRedis, startRedis } from '../../../../fixtures/redis-server.ts';
import { fuzz } from '../../../../tools/fuzz/cases.ts';
import type { Random } from '../../../../tools/fuzz/random.ts';
import type { AllowanceAnswer, AllowanceRequest, AllowanceStore, SharedWindow } from '../allowances.ts';
import { MemoryAllowances } from '../memory-allowances.ts';
import { testAllowanceStore } from '../testing/allowance-store-suite.ts';
import { EXCHANGE_SCRIPT } from './exchange-script.ts';
import { RedisAllowances } from './redis-allowances.ts';

const CLOCK = /local time = .*\nlocal now = .*\n/;
assert.match(EXCHANGE_SCRIPT, CLOCK);
/** The script with a clock that the tests set, a day ahead: keys expire by the real one. */
const DAY_MS = 86_400_000;
const script = EXCHANGE_SCRIPT.replace(CLOCK, "local now = tonumber(redis.call('GET', 'clock'))\n");

if (skipWithoutRedis) {
  test('the script does the same as the store in memory', { skip: skipWithoutRedis }, () => {});
} else {
  const server = await startRedis();
  const clock = new Redis({ port: server.port, lazyConnect: true });
  await clock.connect();
  const store = new RedisAllowances({
    config: { type: 'Redis', mode: 'Standalone', addresses: [`127.0.0.1:${server.port}`], keyPrefix: 'test' },
    random: Math.random,
    steadyMs: () => performance.now(),
    schedule: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
    onState: () => {},
    onConnected: () => {},
    script,
  });
  await store.connect(5_000);
  let nowMs = 0;
  const set = async (ms: number) => {
    nowMs = ms;
    await clock.set('clock', `${ms}`);
  };
  after(async () => {
    store.close();
    clock.disconnect();
    await server.stop();
  });

  testAllowanceStore({
    name: 'on Redis',
    isSimulated: true,
    start: async () => {
      await set(Date.now() + DAY_MS);
      return { store, nowMs: async () => nowMs, pass: (ms) => set(nowMs + ms) };
    },
  });

  test('the script answers as the store in memory', async () => {
    await fuzz(200, (random) => compare(random, store, new MemoryAllowances(() => nowMs), set));
  });
}

async function compare(
  random: Random,
  store: AllowanceStore,
  reference: AllowanceStore,
  set: (ms: number) => Promise<void>,
): Promise<void> {
  let nowMs = Date.now() + DAY_MS;
  await set(nowMs);
  const prefix = `compare-${random.between(0, 2 ** 40)}`;
  const windows = newWindows(random, prefix, nowMs);
  const replicas = Array.from({ length: 4 }, (_, index) => ({ name: `${prefix}-${index}`, allowances: 0 }));
  const open = new Map<string, { id: string; number: number; spent: number; last: AllowanceRequest | undefined }>();
  let seenMs = 0;
  // The reference forgets a window at a moment that depends on others, so a clock that goes far
  // ahead must not come back.
  const goesBack = random.next() < 0.3;
  for (let step = 0; step < 60; step++) {
    if (random.next() < 0.3) {
      nowMs += goesBack
        ? random.between(random.next() < 0.1 ? -100_000 : 0, 1_500)
        : random.between(0, random.next() < 0.1 ? 400_000 : 1_500);
      await set(nowMs);
    }
    const replica = replicas[random.between(0, replicas.length - 1)]!;
    const at = random.between(0, windows.length - 1);
    const window = { ...windows[at]! };
    const name = `${replica.name}-${at}`;
    const known = open.get(name);
    const isNew = known === undefined || random.next() < 0.1;
    const allowance = isNew ? { id: `${name}-${replica.allowances++}`, number: 0, spent: 0, last: undefined } : known;
    open.set(name, allowance);
    if (random.next() < 0.1) {
      window.limit = random.between(0, 2_000);
      window.limitCounter = random.between(1, 5);
    }
    const request: AllowanceRequest =
      allowance.last !== undefined && random.next() < 0.15
        ? allowance.last
        : nextRequest(random, window, allowance, seenMs);
    allowance.last = request;
    const [actual, expected] = await Promise.all([ask(store, request), ask(reference, request)]);
    assert.deepEqual(actual, expected, `step ${step}: ${JSON.stringify(request)}`);
    seenMs = Math.max(seenMs, random.next() < 0.5 ? expected.nowMs : 0);
  }
}

function newWindows(random: Random, prefix: string, nowMs: number): SharedWindow[] {
  const limits = { limit: random.between(1, 1_000), limitEpoch: 1, limitCounter: 1 };
  const never = { startMs: 0, endMs: Number.POSITIVE_INFINITY, slidingMs: 0, previousKey: '' };
  const bounds = { startMs: nowMs - 1_000, endMs: nowMs + random.between(0, 300_000), slidingMs: 0 };
  const first = `${prefix}|fixed@1`;
  return [
    { key: first, bucket: `${prefix}|fixed`, type: 'fixed', ...limits, ...bounds, previousKey: '' },
    ...[2, 3, 4].map((number) => ({
      key: `${prefix}|fixed@${number}`,
      bucket: `${prefix}|fixed`,
      type: 'fixed' as const,
      ...limits,
      ...bounds,
      previousKey: `${prefix}|fixed@${number - 1}`,
    })),
    { key: `${prefix}|ever`, bucket: `${prefix}|ever`, type: 'fixed', ...limits, ...never },
    { key: `${prefix}|many`, bucket: `${prefix}|many`, type: 'concurrent', ...limits, ...never },
    { key: `${prefix}|sliding`, bucket: `${prefix}|sliding`, type: 'sliding', ...limits, ...never, slidingMs: 30_000 },
  ];
}

function nextRequest(
  random: Random,
  window: SharedWindow,
  allowance: { id: string; number: number; spent: number },
  seenMs: number,
): AllowanceRequest {
  allowance.number += random.next() < 0.05 ? 2 : 1;
  if (allowance.number > 1 && window.type !== 'concurrent') {
    allowance.spent += random.between(0, random.next() < 0.1 ? 500 : 30);
  }
  const operation = random.next() < 0.04 ? (random.next() < 0.5 ? 'reset' : 'grant') : 'none';
  return {
    window,
    allowance: allowance.id,
    number: allowance.number,
    spent: allowance.spent,
    want: random.between(0, 200),
    least: random.between(0, 100),
    ttlMs: 2_000,
    seenMs,
    ...neighborsOf(random, window),
    operation,
    operationId: operation === 'none' ? '' : `operation-${random.between(0, 3)}`,
    operationUnits: operation === 'grant' ? random.between(1, 300) : 0,
  };
}

/** Returns the other windows of a bucket with four. */
function neighborsOf(random: Random, { key, previousKey }: SharedWindow): Partial<AllowanceRequest> {
  const [name, number] = key.split('@');
  const keysOf = (from: number, step: 1 | -1, to: number) =>
    Array.from({ length: Math.max(0, (to - from) * step + 1) }, (_, index) => `${name}@${from + index * step}`);
  return number === undefined
    ? {}
    : {
        earlierKeys: previousKey !== '' && random.next() < 0.5 ? keysOf(Number(number) - 2, -1, 1) : undefined,
        laterKeys: random.next() < 0.5 ? keysOf(Number(number) + 1, 1, 4) : undefined,
      };
}

async function ask(store: AllowanceStore, request: AllowanceRequest): Promise<AllowanceAnswer> {
  const answer = await new Promise<AllowanceAnswer | undefined>((resolve) => store.exchange(request, resolve));
  assert.ok(answer !== undefined, 'the exchange failed');
  return answer;
}
