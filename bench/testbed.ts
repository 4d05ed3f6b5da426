/**
 * Starts what the parts of the benchmark share: a provider, Envoy alone and the gateway, at the
 * same time.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { freePorts } from '../fixtures/free-ports.ts';
import { startEnvoyAlone } from './envoy-alone.ts';
import { type MeasuredGateway, startGateway } from './gateway.ts';
import { buildLoad, type LoadOptions, type LoadProvider, type LoadReport, runLoad, startProvider } from './load.ts';
import { envoyWorkers, type Running } from './processes.ts';
import { resources } from './resources.ts';
import type { Machine } from './results.ts';

const repository = path.resolve(import.meta.dirname, '..');
const envoy = process.env['ENVOY'] ?? path.join(repository, '.tools/bin/envoy');

export interface Testbed {
  readonly provider: LoadProvider;
  readonly alone: Running & { readonly port: number };
  readonly gateway: MeasuredGateway;
  readonly machine: Machine;
  /** The program. */
  readonly envoy: string;
  runLoad(options: LoadOptions): Promise<LoadReport>;
  /** Runs `work` with a separate gateway, and stops the gateway afterwards. */
  withGateway<T>(
    yaml: (port: number) => string,
    work: (gateway: MeasuredGateway) => Promise<T>,
    nodeOptions?: readonly string[],
    environment?: NodeJS.ProcessEnv,
  ): Promise<T>;
}

export interface TestbedOptions {
  /** The folder for the processor's CPU profile. */
  readonly profileFolder?: string | undefined;
  readonly startProvider?: (port: number) => Promise<LoadProvider>;
}

/** Starts everything, and stops everything when `work` succeeds or fails. */
export async function withTestbed<T>(options: TestbedOptions, work: (testbed: Testbed) => Promise<T>): Promise<T> {
  const { profileFolder } = options;
  buildLoad();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-bench-'));
  const started: { stop(): Promise<void>; trouble?(): string }[] = [];
  const keep = <R extends { stop(): Promise<void>; trouble?(): string }>(running: R): R => {
    started.push(running);
    return running;
  };
  let gateways = 0;
  const newGateway = (
    yaml: (port: number) => string,
    nodeOptions: readonly string[] = [],
    environment: NodeJS.ProcessEnv = {},
  ) => {
    gateways += 1;
    const all = [...profiling(profileFolder), ...nodeOptions];
    return startGateway({ folder: path.join(folder, `gateway-${gateways}`), yaml, nodeOptions: all, environment });
  };
  try {
    const [providerPort = 0, alonePort = 0, adminPort = 0] = await freePorts(3);
    if (profileFolder !== undefined) {
      mkdirSync(profileFolder, { recursive: true });
    }
    const provider = keep(await (options.startProvider ?? startProvider)(providerPort));
    const gateway = keep(await newGateway((port) => resources(port, providerPort)));
    const workers = envoyWorkers(gateway.envoyPid);
    const ports = { listen: alonePort, admin: adminPort, provider: providerPort };
    const alone = keep(await startEnvoyAlone(envoy, folder, ports, workers));
    return await work({
      provider,
      gateway,
      envoy,
      runLoad,
      alone: { ...alone, port: alonePort },
      machine: machine(workers),
      async withGateway(yaml, own, nodeOptions, environment) {
        const extra = await newGateway(yaml, nodeOptions, environment);
        try {
          return await own(extra);
        } finally {
          await extra.stop();
        }
      },
    });
  } catch (error) {
    for (const running of started) {
      if (running.trouble !== undefined) {
        console.error(running.trouble());
      }
    }
    throw error;
  } finally {
    await Promise.all(started.map((running) => running.stop()));
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns Node options that load the profiler. */
function profiling(folder: string | undefined): readonly string[] {
  return folder === undefined
    ? []
    : [`--import=${pathToFileURL(path.join(import.meta.dirname, 'profiler.ts'))}?folder=${folder}`];
}

function machine(workers: number): Machine {
  const run = (command: string, ...args: string[]) =>
    execFileSync(command, args, { cwd: repository }).toString().trim();
  const changed = run('git', 'status', '--porcelain', '--', ':!bench/results') !== '';
  return {
    commit: run('git', 'rev-parse', '--short', 'HEAD') + (changed ? ' and changes' : ''),
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cores: os.cpus().length,
    memoryGb: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    node: process.version,
    envoy: /\/(\d+\.\d+\.\d+)\//.exec(run(envoy, '--version'))?.[1] ?? 'unknown',
    envoyWorkers: workers,
    loadAverage: os.loadavg()[0] ?? 0,
  };
}
