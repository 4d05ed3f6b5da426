/**
 * Applies edits of the files, one after another. A wrong file keeps its last good state, and the
 * log names the errors.
 */
import { errorMessage } from '../runtime/error-message.ts';
import { watchPaths } from '../runtime/files.ts';
import type { Log } from '../runtime/log.ts';
import { envoyFiles } from '../translate/envoy/files.ts';
import type { Plan } from '../translate/plan.ts';
import type { Loaded, Loader } from './load.ts';

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

export function followConfig({
  loader,
  plan,
  paths,
  apply,
  log,
  remindMs = REMIND_MS,
}: ConfigReloadOptions): ConfigReload {
  let current = plan;
  let dirty = false;
  let closed = false;
  let loggedDigest = '';
  let retry: NodeJS.Timeout | undefined;
  let reminder: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;

  /** Logs once per state of the files, because the watch also calls back without a change. */
  const logErrors = ({ plan: taken, errors, held, digest }: Loaded) => {
    if (digest === loggedDigest) {
      return;
    }
    loggedDigest = digest;
    const say = () => {
      for (const problem of errors) {
        if (taken) {
          log.error({ problem, held }, 'invalid file; its last good state stays in force');
        } else {
          log.error({ problem }, 'invalid edit; the last good state of all files stays in force');
        }
      }
    };
    say();
    clearInterval(reminder);
    reminder = setInterval(say, remindMs);
    reminder.unref();
  };

  const work = async () => {
    while (dirty && !closed) {
      dirty = false;
      const loaded = await loader.load();
      watch.set(loaded.paths);
      if (loaded.errors.length > 0) {
        logErrors(loaded);
      } else {
        loggedDigest = '';
        clearInterval(reminder);
      }
      if (loaded.plan === undefined) {
        continue;
      }
      if (samePlan(loaded.plan, current)) {
        continue;
      }
      try {
        await apply(loaded.plan, current);
        current = loaded.plan;
        for (const warning of loaded.warnings) {
          log.warn({ problem: warning }, 'invalid resources');
        }
        log.info({ version: current.policy.version }, 'edit applied');
      } catch (error) {
        log.error(
          { problem: errorMessage(error), retryInMs: RETRY_MS },
          'edit not applied; the last good state stays in force',
        );
        clearTimeout(retry);
        retry = setTimeout(changed, RETRY_MS);
      }
    }
  };

  const changed = () => {
    dirty = true;
    running ??= work()
      .catch((error) => log.error({ err: error }, 'edit not read'))
      .finally(() => {
        running = undefined;
        if (dirty && !closed) {
          changed();
        }
      });
  };

  const watch = watchPaths(changed);
  watch.set(paths);
  // For changes between the first reading and the watch.
  changed();
  return {
    async close() {
      closed = true;
      watch.close();
      clearTimeout(retry);
      clearInterval(reminder);
      await running;
    },
  };
}

function samePlan(left: Plan, right: Plan): boolean {
  return fingerprint(left) === fingerprint(right);
}

/** Includes the files with secrets: a new key is a change. */
function fingerprint(plan: Plan): string {
  return JSON.stringify([plan.policy, envoyFiles(plan)]);
}
