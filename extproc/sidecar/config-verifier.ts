/** Watches whether the Envoy beside is configured as the policy in force expects, by Envoy's own words, and tells each time that the answer has changed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Log } from '../../runtime/log.ts';
import type { PolicyVersion } from '../policy/version.ts';
import { type AdminAddress, readAdmin } from './admin.ts';
import type { ConfigCheckTask } from './config-check-worker.ts';
import type { ConfigCheckResult } from './verify-config-dump.ts';

const POLL_MS = 1000;
/** What no counter tells, such as endpoints, is seen by then. */
const REPEAT_MS = 60_000;
/** While routes come by the hundred, Envoy is not asked without end: of the time that a look takes, so many times pass before the next. */
const PAUSE_FACTOR = 4;
const PAUSE_MOST_MS = 5000;
const VERSIONS = '/stats?type=TextReadouts&filter=(lds|rds%5C..*)%5C.version_text$';
const MAX_VERSIONS_BYTES = 4 * 1024 * 1024;
/** Envoy starts after the sidecar, and may be busy for a moment: only what fails so often in a row is told. */
const FAILURES_BEFORE_TOLD = 3;
/** A look that takes longer is broken off. */
const LOOK_TIMEOUT_MS = 60_000;
const MAX_HEAP_MB = 256;
/** A policy that waits may also bring a limit; and this is less than the controller waits before it takes away what the last policy led to. */
const ROUTED_WITHIN_MS = 1500;
const ROUTED_POLL_MS = 30;

export type ConfigCheckReport = ({ readonly unreadable: string } | ConfigCheckResult) & {
  readonly version: PolicyVersion;
};

export interface ConfigVerifier {
  /** What the policy in force names from now on. */
  expect(version: PolicyVersion, routeNames: readonly string[]): void;
  /** Waits until Envoy can carry out all these routes; not for long, whatever Envoy says. Never rejects. */
  routed(routeNames: readonly string[]): Promise<void>;
  close(): void;
}

export interface ConfigVerifierOptions {
  readonly admin: AdminAddress;
  /** Where Envoy must send: our own. */
  readonly socketPath: string;
  readonly found: (configCheck: ConfigCheckReport) => void;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
}

export function startConfigVerifier({ admin, socketPath, found, log }: ConfigVerifierOptions): ConfigVerifier {
  let wanted: { readonly version: PolicyVersion; readonly routeNames: readonly string[] } | undefined;
  let looked: { readonly for: object; readonly configuration: string; readonly atMs: number } | undefined;
  let told = '';
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const workers = new Set<Worker>();

  const look = (task: ConfigCheckTask): Promise<ConfigCheckResult> =>
    new Promise((resolve, reject) => {
      const started = new Worker(new URL('./config-check-worker.ts', import.meta.url), {
        workerData: task,
        resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
      });
      workers.add(started);
      const late = setTimeout(() => {
        reject(new Error(`Envoy's configuration was not read within ${LOOK_TIMEOUT_MS} ms`));
        void started.terminate();
      }, LOOK_TIMEOUT_MS);
      started.once('message', resolve);
      started.once('error', reject);
      started.once('exit', () => {
        clearTimeout(late);
        workers.delete(started);
        reject(new Error('the look at Envoy’s configuration was broken off'));
      });
    });

  const round = async () => {
    const task = wanted;
    let pauseMs = POLL_MS;
    if (task !== undefined) {
      let configCheck: ConfigCheckReport;
      try {
        const configuration = await readAdmin(admin, VERSIONS, MAX_VERSIONS_BYTES);
        const nowMs = performance.now();
        const same = looked?.for === task && looked.configuration === configuration && nowMs - looked.atMs < REPEAT_MS;
        if (same) {
          return pauseMs;
        }
        const evaluation = await look({ admin, socketPath, routeNames: task.routeNames });
        failures = 0;
        looked = { for: task, configuration, atMs: nowMs };
        configCheck = { ...evaluation, version: task.version };
        pauseMs = Math.min(PAUSE_MOST_MS, Math.max(POLL_MS, (performance.now() - nowMs) * PAUSE_FACTOR));
      } catch (error) {
        looked = undefined;
        if (++failures < FAILURES_BEFORE_TOLD) {
          return pauseMs;
        }
        configCheck = { unreadable: error instanceof Error ? error.message : String(error), version: task.version };
      }
      const text = JSON.stringify(configCheck);
      if (text !== told && !closed && wanted === task) {
        told = text;
        log.info(configCheck, 'Envoy’s configuration looked at');
        found(configCheck);
      }
    }
    return pauseMs;
  };
  /** False: it has taken too long. */
  const carriesOut = async (routeNames: readonly string[]): Promise<boolean> => {
    const endMs = performance.now() + ROUTED_WITHIN_MS;
    for (let seen = ''; performance.now() < endMs; await sleep(ROUTED_POLL_MS)) {
      const configuration = await readAdmin(admin, VERSIONS, MAX_VERSIONS_BYTES);
      if (configuration === seen) {
        continue;
      }
      seen = configuration;
      const { missing, failing } = await look({ admin, socketPath, routeNames });
      if (missing.total + failing.total === 0) {
        return true;
      }
    }
    return false;
  };
  const run = () => {
    timer = undefined;
    void round().then((pauseMs) => {
      if (!closed) {
        timer = setTimeout(run, pauseMs);
      }
    });
  };
  run();
  return {
    expect(version, routeNames) {
      wanted = { version, routeNames };
    },
    async routed(routeNames) {
      const reason = await Promise.race([carriesOut(routeNames).catch(String), sleep(ROUTED_WITHIN_MS, false)]);
      if (reason === true || closed) {
        return;
      }
      log.warn(
        { reason, routes: routeNames.length },
        'Envoy does not have all routes of the policy yet; it comes into force',
      );
    },
    close() {
      closed = true;
      clearTimeout(timer);
      for (const worker of workers) {
        void worker.terminate();
      }
    },
  };
}
