/** What the comparison of budgets runs its load against. */
import path from 'node:path';
import { startRedis } from '../../fixtures/redis-server.ts';
import { type MeasuredGateway, startGateway } from '../gateway.ts';
import { budgetResources } from '../resources.ts';
import { sum } from '../statistics.ts';

export interface Side {
  /** One for each replica. */
  readonly ports: readonly number[];
  /** Returns the tokens that were charged so far. */
  charged(): Promise<number>;
  stop(): Promise<void>;
}

export interface SideOptions {
  readonly envoy: string;
  readonly folder: string;
  readonly providerPort: number;
  /** Worker threads of each Envoy. */
  readonly workers: number;
  /** The budget. */
  readonly tokens: number;
  readonly replicas: number;
}

/** Starts one gateway, which keeps the budget itself. */
export async function startEmbedded(options: SideOptions): Promise<Side> {
  return tallygate([await replica(options, 0, {})], async () => {});
}

/** Starts replicas that share the budget in Redis. */
export async function startShared(options: SideOptions): Promise<Side> {
  const redis = await startRedis();
  const environment = { TALLYGATE_QUOTA_STORE_URL: `redis://127.0.0.1:${redis.port}` };
  const gateways: MeasuredGateway[] = [];
  for (let index = 0; index < options.replicas; index += 1) {
    gateways.push(await replica(options, index, environment));
  }
  return tallygate(gateways, () => redis.stop());
}

function replica(options: SideOptions, index: number, environment: NodeJS.ProcessEnv): Promise<MeasuredGateway> {
  const { folder, providerPort, tokens } = options;
  return startGateway({
    folder: path.join(folder, `replica-${index}`),
    yaml: (port) => budgetResources(port, providerPort, tokens),
    nodeOptions: [],
    environment,
  });
}

function tallygate(gateways: readonly MeasuredGateway[], stopStore: () => Promise<void>): Side {
  let charged = 0;
  return {
    ports: gateways.map(({ port }) => port),
    charged: async () => {
      for (const line of gateways.flatMap((gateway) => gateway.accessLines())) {
        const tokens = (line['tokens'] ?? {}) as Readonly<Record<string, number>>;
        charged += sum([tokens['input'] ?? 0, tokens['output'] ?? 0]);
      }
      return charged;
    },
    async stop() {
      await Promise.all(gateways.map((gateway) => gateway.stop()));
      await stopStore();
    },
  };
}
