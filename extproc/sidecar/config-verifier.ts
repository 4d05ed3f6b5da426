/**
 * Verifies that the Envoy of the same pod is configured as the policy in force expects, by reading
 * its admin interface, and reports each change of the result.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { ATTEMPT_CLUSTER_PREFIX } from '../../contract/headers.ts';
import type { PolicyVersion } from '../../contract/policy-version.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import type { Log } from '../../runtime/log.ts';
import { type AdminAddress, readAdmin } from './admin.ts';
import type { ConfigCheckTask } from './config-check-worker.ts';
import type { PendingConfig } from './pending-config.ts';
import type { ConfigCheckResult } from './verify-config-dump.ts';

const POLL_MS = 1000;
/** Changes that no version counter shows, such as endpoints, are seen within this time. */
const REPEAT_MS = 60_000;
/**
 * Back off in proportion to the cost of a check: wait this many times as long as the last one took.
 */
const PAUSE_FACTOR = 4;
const MAX_PAUSE_MS = 5000;
const VERSIONS = '/stats?type=TextReadouts&filter=(lds|rds%5C..*)%5C.version_text$';
const MAX_VERSIONS_BYTES = 4 * 1024 * 1024;
/** Has about 40 lines for each cluster. */
const CLUSTERS = `/clusters?filter=${encodeURIComponent(`^${ATTEMPT_CLUSTER_PREFIX}`)}`;
const MAX_CLUSTERS_BYTES = 16 * 1024 * 1024;
/**
 * Envoy starts after the sidecar and may be busy for a moment: report only this many failures in a
 * row.
 */
const FAILURES_BEFORE_REPORT = 3;
const CHECK_TIMEOUT_MS = 60_000;
const MAX_HEAP_MB = 256;
/**
 * A waiting policy may also carry a limit, so it waits this long at most; less than the time that
 * the controller waits before it removes the routes of the last policy.
 */
const WAIT_TIMEOUT_MS = 1500;
const WAIT_POLL_MS = 30;

export type ConfigCheckReport = ({ readonly unreadable: string } | ConfigCheckResult) & {
  readonly version: PolicyVersion;
};

export interface ConfigVerifierOptions {
  readonly admin: AdminAddress;
  /** The socket of this sidecar, where Envoy must send its requests. */
  readonly socketPath: string;
  readonly found: (report: ConfigCheckReport) => void;
  readonly log: Log;
}

interface ExpectedRoutes {
  readonly version: PolicyVersion;
  readonly routeNames: readonly string[];
}

export function startConfigVerifier(options: ConfigVerifierOptions): ConfigVerifier {
  const verifier = new ConfigVerifier(options);
  verifier.start();
  return verifier;
}

export class ConfigVerifier {
  readonly #options: ConfigVerifierOptions;
  readonly #workers = new Set<Worker>();
  #expected: ExpectedRoutes | undefined;
  #lastCheck: { readonly of: ExpectedRoutes; readonly versions: string; readonly atMs: number } | undefined;
  #lastReport = '';
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ConfigVerifierOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#round().then((pauseMs) => {
      if (!this.#closed) {
        this.#timer = setTimeout(() => this.start(), pauseMs);
      }
    });
  }

  /** Sets the routes that the policy in force names. */
  expect(version: PolicyVersion, routeNames: readonly string[]): void {
    this.#expected = { version, routeNames };
  }

  /** Waits until Envoy has all of it, for a bounded time. Never rejects. */
  async waitFor(pending: PendingConfig): Promise<void> {
    const timeout = sleep(WAIT_TIMEOUT_MS, 'timeout');
    const outcome = await Promise.race([this.#hasAll(pending).catch(String), timeout]);
    if (outcome !== 'ready' && !this.#closed) {
      const { routes, attemptRoutes, clusters } = pending;
      this.#options.log.warn(
        { reason: outcome, routes: routes.length + attemptRoutes.length, clusters: clusters.length },
        'envoy lacks routes of the policy; applying it anyway',
      );
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const worker of this.#workers) {
      void worker.terminate();
    }
  }

  /** Checks if something changed, and returns the pause before the next round. */
  async #round(): Promise<number> {
    const expected = this.#expected;
    if (expected === undefined) {
      return POLL_MS;
    }
    try {
      const versions = await this.#versions();
      if (this.#isUpToDate(expected, versions)) {
        return POLL_MS;
      }
      const atMs = performance.now();
      const result = await this.#check(expected.routeNames);
      this.#failures = 0;
      this.#lastCheck = { of: expected, versions, atMs };
      this.#report({ ...result, version: expected.version }, expected);
      return Math.min(MAX_PAUSE_MS, Math.max(POLL_MS, (performance.now() - atMs) * PAUSE_FACTOR));
    } catch (error) {
      this.#lastCheck = undefined;
      if (++this.#failures >= FAILURES_BEFORE_REPORT) {
        this.#report({ unreadable: errorMessage(error), version: expected.version }, expected);
      }
      return POLL_MS;
    }
  }

  #isUpToDate(expected: ExpectedRoutes, versions: string): boolean {
    const last = this.#lastCheck;
    return last?.of === expected && last.versions === versions && performance.now() - last.atMs < REPEAT_MS;
  }

  #report(report: ConfigCheckReport, of: ExpectedRoutes): void {
    const text = JSON.stringify(report);
    if (text === this.#lastReport || this.#closed || this.#expected !== of) {
      return;
    }
    this.#lastReport = text;
    this.#options.log.info(report, 'checked envoy configuration');
    this.#options.found(report);
  }

  async #hasAll({ routes, attemptRoutes, clusters }: PendingConfig): Promise<'ready' | 'timeout'> {
    const endMs = performance.now() + WAIT_TIMEOUT_MS;
    while (clusters.length > 0 && performance.now() < endMs && !(await this.#hasClusters(clusters))) {
      await sleep(WAIT_POLL_MS);
    }
    for (let seen = ''; performance.now() < endMs; await sleep(WAIT_POLL_MS)) {
      const versions = await this.#versions();
      if (versions === seen) {
        continue;
      }
      seen = versions;
      const { missing, failing } = await this.#check(routes, attemptRoutes);
      if (missing.total + failing.total === 0) {
        return 'ready';
      }
    }
    return 'timeout';
  }

  /** A cluster is listed once it is warm: a request before would fail. */
  async #hasClusters(clusters: readonly string[]): Promise<boolean> {
    const text = await readAdmin(this.#options.admin, CLUSTERS, MAX_CLUSTERS_BYTES);
    const present = new Set(text.split('\n').map((line) => line.slice(0, line.indexOf('::'))));
    return clusters.every((each) => present.has(each));
  }

  #versions(): Promise<string> {
    return readAdmin(this.#options.admin, VERSIONS, MAX_VERSIONS_BYTES);
  }

  #check(routeNames: readonly string[], attemptRoutes: readonly string[] = []): Promise<ConfigCheckResult> {
    const { admin, socketPath } = this.#options;
    const workerData: ConfigCheckTask = { admin, socketPath, routeNames, attemptRoutes };
    return new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./config-check-worker.ts', import.meta.url), {
        workerData,
        resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
      });
      this.#workers.add(worker);
      const timeout = setTimeout(() => {
        reject(new Error(`Envoy's configuration was not read within ${CHECK_TIMEOUT_MS} ms`));
        void worker.terminate();
      }, CHECK_TIMEOUT_MS);
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', () => {
        clearTimeout(timeout);
        this.#workers.delete(worker);
        reject(new Error("the check of Envoy's configuration was interrupted"));
      });
    });
  }
}
