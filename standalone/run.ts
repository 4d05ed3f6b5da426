/**
 * The gateway on one machine: Envoy and extproc serve the resources of the files, and edits are
 * applied without dropping a stream. When the signal is aborted it shuts down in order: not ready,
 * drain, Envoy, extproc.
 */
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Address, Environment } from '../runtime/environment.ts';
import { writeAtomicallySync } from '../runtime/files.ts';
import { startHealthServer } from '../runtime/health.ts';
import type { Log } from '../runtime/log.ts';
import { aborted, runSteps, type ShutdownStep } from '../runtime/shutdown.ts';
import { BOOTSTRAP_FILE, bootstrapText } from '../translate/envoy/files.ts';
import type { EnvoyOptions, Plan } from '../translate/plan.ts';
import { applyPlan, extprocStatus } from './apply.ts';
import { findCaBundle } from './ca-bundle.ts';
import { followConfig } from './config-reload.ts';
import { openEnvoyFiles } from './envoy-files.ts';
import { type EnvoyPaths, findEnvoy } from './find-envoy.ts';
import { newLoader } from './load.ts';
import { OperatorError } from './operator-error.ts';
import { checkPorts, listenerPorts } from './ports.ts';
import { endLeftovers, newProcesses, type Processes, startProcesses } from './processes.ts';
import { openState, type State, type StateOptions } from './state.ts';
import { ask } from './unix-http.ts';

export interface RunOptions {
  /** Files and folders. */
  readonly paths: readonly string[];
  readonly state: StateOptions;
  readonly envoyPaths: EnvoyPaths;
  /** Envoy's worker threads. */
  readonly concurrency: number;
  readonly listenAddress: string;
  readonly metricsAddress: Address;
  /** How long open streams may continue after the signal. */
  readonly drainTimeoutMs: number;
  readonly tallygate: readonly [command: string, ...args: string[]];
  /** For `\${…}` in Secrets; the children get a few of its variables. */
  readonly environment: Environment;
  readonly caBundlePath: string | undefined;
  readonly log: Log;
  readonly onReady: (ready: Ready) => void;
}

export interface Ready {
  readonly addresses: readonly string[];
  readonly metricsPort: number;
}

const PROCESS_END_MS = 5_000;
const EXTPROC_END_MS = 15_000;
const METRICS_DEADLINE_MS = 5_000;

/**
 * Resolves after the shutdown, with whether all steps succeeded. Throws an OperatorError if a
 * person must fix something first.
 */
export async function runGateway(options: RunOptions, signal: AbortSignal): Promise<boolean> {
  const { log, listenAddress } = options;
  const { path: envoyPath, version } = await findEnvoy(options.envoyPaths);
  const state = openState(options.state);
  const ends: ShutdownStep[] = [];
  let clean = true;
  try {
    await endLeftovers(state, log);
    state.emptyEnvoyFolder();
    const envoy = envoyOptions(options, state);
    const loader = newLoader({
      paths: options.paths,
      environment: options.environment,
      envoy,
      routeSecret: state.routeSecret,
    });
    ends.unshift({ name: 'simulated model', deadlineMs: 1000, run: loader.close });
    const loaded = await loader.load();
    if (loaded.plan === undefined) {
      throw new OperatorError(loaded.errors.join('\n'));
    }
    for (const warning of loaded.warnings) {
      log.warn({ problem: warning }, 'invalid resources');
    }
    const { plan } = loaded;
    await checkPorts(listenAddress, listenerPorts(plan));

    const bootstrapPath = join(state.envoyFolder, BOOTSTRAP_FILE);
    writeAtomicallySync(bootstrapPath, bootstrapText(envoy), 0o600);
    const files = openEnvoyFiles(state.envoyFolder, () =>
      processes.envoy.pid === undefined ? undefined : processes.admin,
    );
    const { concurrency, tallygate, environment } = options;
    const processes: Processes = newProcesses({
      state,
      envoyPath,
      bootstrapPath,
      concurrency,
      tallygate,
      environment,
      log,
      onEnvoyLine: files.noteLine,
    });
    const deps = { files, policyPath: state.policyPath, extprocAdminSocket: state.extprocAdminSocket, log };
    await applyPlan(plan, undefined, deps);

    let stopping = false;
    const health = await startHealth(options, state, processes, () => stopping);
    ends.push({ name: 'health server', deadlineMs: 1000, run: health.close });
    ends.unshift(
      { name: 'Envoy', deadlineMs: PROCESS_END_MS + 1000, run: () => processes.envoy.stop(PROCESS_END_MS) },
      { name: 'extproc', deadlineMs: EXTPROC_END_MS + 1000, run: () => processes.extproc.stop(EXTPROC_END_MS) },
    );
    await startProcesses(processes, state, signal);
    const edits = followConfig({
      loader,
      plan,
      paths: loaded.paths,
      log,
      apply: async (after: Plan, before: Plan) => {
        const old = new Set(listenerPorts(before));
        await checkPorts(
          listenAddress,
          listenerPorts(after).filter((port) => !old.has(port)),
        );
        await applyPlan(after, before, deps);
      },
    });
    ends.unshift(
      {
        name: 'not ready',
        deadlineMs: 1000,
        run: () => {
          stopping = true;
        },
      },
      { name: 'edits', deadlineMs: 15_000, run: edits.close },
      {
        name: 'drain',
        deadlineMs: options.drainTimeoutMs + 5000,
        run: () => drain(processes, options.drainTimeoutMs, log),
      },
    );
    const addresses = listenerPorts(plan).map((port) => `${listenAddress}:${port}`);
    log.info({ envoy: version, addresses, state: state.folder }, 'ready');
    options.onReady({ addresses, metricsPort: health.port });
    await aborted(signal);
    log.info({ reason: String(signal.reason), drainTimeoutMs: options.drainTimeoutMs }, 'shutting down');
  } catch (error) {
    if (!signal.aborted) {
      throw error;
    }
  } finally {
    ends.push({ name: 'state', deadlineMs: 1000, run: state.close });
    clean = await runSteps(ends, log);
  }
  return clean;
}

function envoyOptions({ listenAddress, caBundlePath }: RunOptions, state: State): EnvoyOptions {
  return {
    directory: state.envoyFolder,
    extproc: { type: 'Unix', path: state.extprocSocket },
    admin: { type: 'Unix', path: state.envoyAdminSocket },
    listenAddress,
    caBundle: findCaBundle(caBundlePath, state.folder),
    heapBytes: envoyHeapBytes(),
  };
}

/** Half of the memory of the machine or container; the other half is for extproc and the system. */
function envoyHeapBytes(): number {
  const limit = process.constrainedMemory();
  return Math.floor((limit > 0 ? Math.min(limit, totalmem()) : totalmem()) / 2);
}

async function startHealth(
  { metricsAddress }: RunOptions,
  state: State,
  processes: Processes,
  stopping: () => boolean,
) {
  const server = startHealthServer({
    address: metricsAddress,
    async readiness() {
      const [extproc, envoy] = await Promise.all([extprocStatus(state.extprocAdminSocket), processes.admin.isLive()]);
      const ready = !stopping() && envoy && extproc?.ready === true;
      return {
        ready,
        details: {
          envoy,
          extproc: extproc?.ready === true,
          policy: extproc?.policy ?? '',
          journal: extproc?.journal ?? '',
          stopping: stopping(),
        },
      };
    },
    metrics: async () => (await ask(state.extprocAdminSocket, 'GET', '/metrics', METRICS_DEADLINE_MS)).body,
  });
  return server.catch((error: NodeJS.ErrnoException) => {
    const where = metricsAddress.type === 'tcp' ? `${metricsAddress.host}:${metricsAddress.port}` : metricsAddress.path;
    throw new OperatorError(
      `the metrics address ${where} cannot be bound (${error.code}); choose another by --metrics or TALLYGATE_METRICS_ADDRESS`,
    );
  });
}

/**
 * Tells clients to disconnect after their next response, stops listening, and waits for open
 * streams.
 */
async function drain({ envoy, admin }: Processes, timeoutMs: number, log: Log): Promise<void> {
  if (envoy.pid === undefined) {
    return;
  }
  await admin.startDrain();
  await admin.stopListening();
  const until = performance.now() + timeoutMs;
  let open = await admin.openRequests();
  while (open > 0 && performance.now() < until) {
    await sleep(50);
    open = await admin.openRequests();
  }
  if (open > 0) {
    log.warn({ streams: open }, 'closing open streams');
  }
}
