/**
 * Applies edits of the files, one after another. A wrong file keeps its last good state, and the
 * log names the errors.
 */
import { errorMessage } from '../runtime/error-message.ts';
import { watchPaths } from '../runtime/files.ts';
import type { Log } from '../runtime/log.ts';
import { envoyFiles } from '../translate/envoy/files.ts';
import type { Plan } from '../translate/plan.ts';
import { type Loaded, type Loader, logResources } from './load.ts';

export interface ConfigReloadOptions {
  readonly loader: Loader;
  /** The plan in force at the start. */
  readonly plan: Plan;
  readonly paths: readonly string[];
  /** Rejects if `after` cannot be applied; `before` then stays in force. */
  readonly apply: (after: Plan, before: Plan) => Promise<void>;
  readonly log: Log;
  readonly remindMs?: number;
}

export interface ConfigReload {
  /** Loads again, because an input that is not a file has changed. */
  reload(): void;
  /** Waits for the edit in progress. */
  close(): Promise<void>;
}

/**
 * A correct edit is retried, because its obstacle (a port in use, a restarting Envoy) may be
 * temporary.
 */
const RETRY_MS = 3000;
/** How often the log repeats the errors of a wrong file. */
const REMIND_MS = 60_000;

export function followConfig(options: ConfigReloadOptions): ConfigReload {
  return new ConfigFollower(options);
}

class ConfigFollower implements ConfigReload {
  readonly #options: ConfigReloadOptions;
  readonly #watch = watchPaths(() => this.#changed());
  #current: Plan;
  #dirty = false;
  #closed = false;
  #loggedDigest = '';
  /** Of the files as they were loaded last. */
  #digest = '';
  #retry: NodeJS.Timeout | undefined;
  #reminder: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ConfigReloadOptions) {
    this.#options = options;
    this.#current = options.plan;
    this.#watch.set(options.paths);
    // For changes between the first reading and the watch.
    this.#changed();
  }

  reload(): void {
    this.#changed();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watch.close();
    clearTimeout(this.#retry);
    clearInterval(this.#reminder);
    await this.#running;
  }

  #changed(): void {
    this.#dirty = true;
    this.#running ??= this.#work()
      .catch((error) => this.#options.log.error({ err: error }, 'edit not read'))
      .finally(() => {
        this.#running = undefined;
        if (this.#dirty && !this.#closed) {
          this.#changed();
        }
      });
  }

  async #work(): Promise<void> {
    while (this.#dirty && !this.#closed) {
      this.#dirty = false;
      const loaded = await this.#options.loader.load();
      this.#watch.set(loaded.paths);
      if (loaded.errors.length > 0) {
        this.#logErrors(loaded);
      } else {
        this.#loggedDigest = '';
        clearInterval(this.#reminder);
      }
      if (loaded.plan !== undefined && !samePlan(loaded.plan, this.#current)) {
        const what = loaded.digest === this.#digest ? 'keys' : 'edit';
        await this.#apply(loaded.plan, loaded, `${what} applied`);
      }
      this.#digest = loaded.digest;
    }
  }

  async #apply(plan: Plan, loaded: Loaded, message: string): Promise<void> {
    const { apply, log } = this.#options;
    try {
      await apply(plan, this.#current);
      this.#current = plan;
      logResources(log, loaded);
      log.info({ version: plan.policy.version }, message);
    } catch (error) {
      log.error(
        { problem: errorMessage(error), retryInMs: RETRY_MS },
        'edit not applied; the last good state stays in force',
      );
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.#changed(), RETRY_MS);
    }
  }

  /** Logs once per state of the files, because the watch also calls back without a change. */
  #logErrors({ plan, errors, held, digest }: Loaded): void {
    if (digest === this.#loggedDigest) {
      return;
    }
    const { log, remindMs = REMIND_MS } = this.#options;
    this.#loggedDigest = digest;
    const logAll = () => {
      for (const problem of errors) {
        if (plan) {
          log.error({ problem, held }, 'invalid file; its last good state stays in force');
        } else {
          log.error({ problem }, 'invalid edit; the last good state of all files stays in force');
        }
      }
    };
    logAll();
    clearInterval(this.#reminder);
    this.#reminder = setInterval(logAll, remindMs).unref();
  }
}

function samePlan(left: Plan, right: Plan): boolean {
  return fingerprint(left) === fingerprint(right);
}

/** Includes the secrets: a new key is a change. */
function fingerprint(plan: Plan): string {
  const webhooks = plan.webhooks.map(({ policy, url, secret }) => [policy, url, secret.reveal()]);
  return JSON.stringify([plan.policy, envoyFiles(plan), webhooks]);
}
