/** Redis servers and stores for tests, closed after the tests of a file. */
import { after } from 'node:test';
import { Redis } from 'ioredis';
import type { SharedStoreConfig } from '../../../../contract/shared-store.ts';
import { type RedisServer, type RedisServerOptions, startRedis } from '../../../../fixtures/redis-server.ts';
import { memoryDefaults } from '../../memory-options.ts';
import type { AllowanceAnswer, AllowanceRequest, SharedWindow } from '../allowances.ts';
import { RedisAllowances } from './redis-allowances.ts';
import type { StoreCheck } from './redis-fault.ts';
import type { StoreHealthState } from './store-health.ts';

export const closing: (() => unknown)[] = [];
after(async () => {
  for (const close of closing.reverse()) {
    await close();
  }
});

export async function redis(more: RedisServerOptions = {}): Promise<RedisServer> {
  const server = await startRedis(more);
  closing.push(() => server.stop());
  return server;
}

export async function admin(port: number, more: { readonly password?: string } = {}): Promise<Redis> {
  const client = new Redis({ port, lazyConnect: true, ...more });
  client.on('error', () => {});
  await client.connect();
  closing.push(() => client.disconnect());
  return client;
}

export interface OpenedStore {
  readonly store: RedisAllowances;
  readonly states: StoreHealthState[];
  readonly checks: StoreCheck[];
  /** Waits until the last state has a fault of this kind; `any`: a fault; undefined: none. */
  until(kind: string | undefined): Promise<StoreHealthState>;
}

export function open(config: Partial<SharedStoreConfig>): OpenedStore {
  const states: StoreHealthState[] = [];
  const checks: StoreCheck[] = [];
  const waiting = new Set<() => void>();
  const store = new RedisAllowances({
    config: { type: 'Redis', mode: 'Standalone', addresses: [], keyPrefix: 'test', ...config },
    random: Math.random,
    steadyMs: () => performance.now(),
    schedule: memoryDefaults.schedule,
    onState: (state) => {
      states.push(state);
      for (const look of waiting) {
        look();
      }
    },
    onConnected: (check) => checks.push(check),
  });
  closing.push(() => store.close());
  return {
    store,
    states,
    checks,
    until: (kind) =>
      new Promise((resolve) => {
        const look = () => {
          const state = states.at(-1);
          const fault = state?.fault?.kind;
          if (state !== undefined && (kind === 'any' ? fault !== undefined : fault === kind)) {
            waiting.delete(look);
            resolve(state);
          }
        };
        waiting.add(look);
        look();
      }),
  };
}

export const at = (port: number) => ({ addresses: [`127.0.0.1:${port}`] });

let ids = 0;

export function request(more: Partial<AllowanceRequest> = {}): AllowanceRequest {
  const window: SharedWindow = {
    key: `window-${ids}@1`,
    bucket: `window-${ids++}`,
    type: 'fixed',
    limit: 1_000,
    limitEpoch: 1,
    limitCounter: 1,
    startMs: 0,
    endMs: Number.POSITIVE_INFINITY,
    slidingMs: 0,
    previousKey: '',
  };
  const none = { operation: 'none', operationId: '', operationUnits: 0 } as const;
  const allowance = `allowance-${ids}`;
  return { window, allowance, number: 1, spent: 0, want: 100, least: 0, ttlMs: 10_000, seenMs: 0, ...none, ...more };
}

export function ask({ store }: OpenedStore, asked = request()): Promise<AllowanceAnswer | undefined> {
  return new Promise((resolve) => store.exchange(asked, resolve));
}

/** Repeats a request until the store answers, as replicas do. */
export async function askUntilAnswered(opened: OpenedStore): Promise<void> {
  while ((await ask(opened)) === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
