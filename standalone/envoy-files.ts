/** Writes Envoy's files, and waits until Envoy has accepted them. */
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAtomicallySync } from '../runtime/files.ts';
import { clustersFile, listenersFile } from '../translate/envoy/bootstrap.ts';
import type { EnvoyFile } from '../translate/envoy/files.ts';
import type { EnvoyAdmin, Subscription } from './envoy-admin.ts';

const READ_DEADLINE_MS = 10_000;
const POLL_MS = 10;
/** The log line may arrive a little later than the rejection counter. */
const LINE_DELAY_MS = 200;

export interface EnvoyFiles {
  /**
   * Writes files that differ, and resolves when Envoy has accepted them. Rejects with Envoy's
   * reason if it refuses one.
   */
  write(files: readonly EnvoyFile[]): Promise<void>;
  /** Removes all other files. */
  keepOnly(names: ReadonlySet<string>): void;
  /** Reads a line of Envoy's log, the only place with the reason of a refusal. */
  noteLine(line: string): void;
}

export class EnvoyRefusal extends Error {
  override readonly name = 'EnvoyRefusal';
}

/** `admin` returns undefined while Envoy does not run; it then reads the files at its start. */
export function openEnvoyFiles(folder: string, admin: () => EnvoyAdmin | undefined): EnvoyFiles {
  const written = new Map<string, string>();
  let lastRefusal = '';

  const accepted = async (expected: ReadonlyMap<string, string>, before: ReadonlyMap<string, Subscription>) => {
    const until = performance.now() + READ_DEADLINE_MS;
    for (;;) {
      const now = await admin()
        ?.subscriptions()
        .catch(() => undefined);
      // Envoy died in the meantime: it reads the files at its next start.
      if (now === undefined) {
        return;
      }
      for (const [name, { rejected }] of now) {
        if (expected.has(name) && rejected > (before.get(name)?.rejected ?? 0)) {
          if (lastRefusal === '') {
            await sleep(LINE_DELAY_MS);
          }
          throw new EnvoyRefusal(`Envoy refused ${name}: ${lastRefusal || 'see its log'}`);
        }
      }
      if ([...expected].every(([name, version]) => now.get(name)?.version === version)) {
        return;
      }
      if (performance.now() > until) {
        throw new EnvoyRefusal('Envoy did not read its files in time');
      }
      await sleep(POLL_MS);
    }
  };

  return {
    async write(files) {
      const changed = files.filter(({ name, text }) => written.get(name) !== text);
      if (changed.length === 0) {
        return;
      }
      lastRefusal = '';
      const before =
        (await admin()
          ?.subscriptions()
          .catch(() => undefined)) ?? new Map<string, Subscription>();
      const expected = new Map<string, string>();
      for (const { name, text, mode } of changed) {
        const version = createHash('sha256').update(text).digest('hex').slice(0, 16);
        const subscription = subscriptionOf(name, before);
        if (subscription !== undefined) {
          expected.set(subscription, version);
        }
        writeAtomicallySync(join(folder, name), text.replace('{', `{\n "version_info": "${version}",`), mode);
        written.set(name, text);
      }
      if (expected.size > 0) {
        await accepted(expected, before);
      }
    },
    keepOnly(names) {
      for (const name of written.keys()) {
        if (names.has(name)) {
          continue;
        }
        rmSync(join(folder, name), { force: true });
        written.delete(name);
      }
    },
    noteLine(line) {
      const reason = /config update rejected: (.*)$/.exec(line)?.[1];
      if (reason !== undefined) {
        lastRefusal = reason;
      }
    },
  };
}

/** Returns undefined if Envoy does not watch the file yet; it reads it when a resource names it. */
function subscriptionOf(file: string, known: ReadonlyMap<string, Subscription>): string | undefined {
  if (file === clustersFile) {
    return known.has('cluster_manager.cds') ? 'cluster_manager.cds' : undefined;
  }
  if (file === listenersFile) {
    return known.has('listener_manager.lds') ? 'listener_manager.lds' : undefined;
  }
  const [, kind, escaped] = /^(route|secret|extension)-(.*)\.json$/.exec(file) ?? [];
  if (kind === undefined || escaped === undefined) {
    return undefined;
  }
  const name = escaped.replaceAll('_', '/').replaceAll('+', '*');
  const statistic = {
    route: `http.tallygate.rds.${name}`,
    secret: `sds.${name}`,
    extension: `extension_config_discovery.http_filter.${name}`,
  }[kind as 'route' | 'secret' | 'extension'];
  return known.has(statistic) ? statistic : undefined;
}
