/** Brings edits of the files into force, one after another. A wrong file keeps its last good state, and the log says why and what waits for it. */
import { watchPaths } from '../runtime/files.ts';
import type { Log } from '../runtime/log.ts';
import { envoyFiles } from '../translate/envoy/files.ts';
import type { Plan } from '../translate/plan.ts';
import type { Loaded, Loader } from './load.ts';

export interface ConfigReloadOptions {
  readonly loader: Loader;
  /** What is in force at the beginning. */
  readonly plan: Plan;
  readonly paths: readonly string[];
  /** Rejects with the reason where it cannot be brought into force: then `before` still is. */
  readonly apply: (after: Plan, before: Plan) => Promise<void>;
  readonly log: Log;
  readonly remindMs?: number;
}

export interface ConfigReload {
  /** Waits for the edit that is under way. */
  close(): Promise<void>;
}

/** The world's trouble (a port that is still taken, Envoy that just restarts) may pass: an edit that is right is tried again. */
const RETRY_MS = 3000;
/** While a file is wrong, the log says so again. */
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
  let said = '';
  let retry: NodeJS.Timeout | undefined;
  let reminder: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;

  /** Once for each state of the files: the watch also wakes where nothing changed. */
  const sayWrong = ({ plan: taken, errors, held, digest }: Loaded) => {
    if (digest === said) {
      return;
    }
    said = digest;
    const say = () => {
      for (const problem of errors) {
        if (taken) {
          log.error({ problem, held }, 'a file is wrong; its last good state stays in force, other files are applied');
        } else {
          log.error({ problem }, 'the edit is wrong; the last good state of all files stays in force');
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
        sayWrong(loaded);
      } else {
        said = '';
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
          log.warn({ problem: warning }, 'the resources have a flaw');
        }
        log.info({ version: current.policy.version }, 'edit applied');
      } catch (error) {
        log.error(
          { problem: error instanceof Error ? error.message : String(error), retryInMs: RETRY_MS },
          'the edit could not be applied; the last good state stays in force',
        );
        clearTimeout(retry);
        retry = setTimeout(changed, RETRY_MS);
      }
    }
  };

  const changed = () => {
    dirty = true;
    running ??= work()
      .catch((error) => log.error({ error: String(error?.stack ?? error) }, 'an edit could not be read'))
      .finally(() => {
        running = undefined;
        if (dirty && !closed) {
          changed();
        }
      });
  };

  const watch = watchPaths(changed);
  watch.set(paths);
  // What changed between the first reading and the watch.
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

/** The files hold the secrets too: a new key is a change. */
function fingerprint(plan: Plan): string {
  return JSON.stringify([plan.policy, envoyFiles(plan)]);
}
