/**
 * Compares budgets in tokens under the same load: Envoy's global rate limit service, Tallygate with
 * its own store, and Tallygate's replicas that share a store. Needs redis-server on the PATH and
 * the program of the rate limit service in RATELIMIT.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { runLoad } from '../load.ts';
import { type Testbed, withTestbed } from '../testbed.ts';
import { contest, type SideResult } from './contest.ts';
import { startEnvoyRateLimit } from './envoy-rate-limit.ts';
import { rateLimitPage } from './page.ts';
import { type Side, type SideOptions, startEmbedded, startShared } from './sides.ts';

/** About eleven seconds of the load. */
const BUDGET_TOKENS = 200_000;
const REPLICAS = 2;
const LATENCY_REQUESTS = 400;

interface SideDefinition {
  readonly name: string;
  readonly replicas: number;
  start(options: SideOptions): Promise<Side>;
}

const definitions: readonly SideDefinition[] = [
  { name: `Envoy's rate limit service, ${REPLICAS} Envoys`, replicas: REPLICAS, start: startEnvoyRateLimit },
  { name: 'Tallygate, own store, 1 gateway', replicas: 1, start: startEmbedded },
  { name: `Tallygate, shared store, ${REPLICAS} gateways`, replicas: REPLICAS, start: startShared },
];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      'no-write': { type: 'boolean', default: false },
    },
  });
  const startedAt = new Date().toISOString();
  const sides = definitions.filter(({ name }) => name.includes(values.only));
  const results = new Map<string, SideResult[]>(sides.map(({ name }) => [name, []]));
  const machine = await withTestbed({}, async (testbed) => {
    for (let round = 0; round < Number(values.rounds); round += 1) {
      // The first side alternates, so that none always runs on a warmer machine.
      for (const side of sides.map((_, index) => sides[(index + round) % sides.length]!)) {
        console.error(`round ${round + 1}: ${side.name}`);
        const result = await measured(testbed, side);
        console.error(JSON.stringify(result));
        results.get(side.name)?.push(result);
      }
    }
    return testbed.machine;
  });
  const page = rateLimitPage({ startedAt, machine, budget: BUDGET_TOKENS, results });
  console.log(page);
  if (!values['no-write']) {
    writeFileSync(path.join(import.meta.dirname, '../results/rate-limit.md'), page);
  }
}

/** Runs one side with a budget of which nothing is spent. */
async function measured(testbed: Testbed, definition: SideDefinition): Promise<SideResult> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-rate-limit-'));
  const side = await definition.start({
    envoy: testbed.envoy,
    folder,
    providerPort: testbed.provider.port,
    workers: testbed.machine.envoyWorkers,
    tokens: BUDGET_TOKENS,
    replicas: definition.replicas,
  });
  try {
    const [port = 0] = side.ports;
    await latency(port, 'warm');
    const latencyAloneMs = await latency(testbed.alone.port, 'latency');
    const latencyMs = await latency(port, 'latency');
    return { ...(await contest(side, testbed.provider, BUDGET_TOKENS)), latencyMs, latencyAloneMs };
  } finally {
    await side.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns the median time of a JSON response. */
async function latency(port: number, team: string): Promise<number> {
  const report = await runLoad({ port, connections: 1, seconds: 30, count: LATENCY_REQUESTS, team });
  return report.latencyMs.p50;
}

await main();
