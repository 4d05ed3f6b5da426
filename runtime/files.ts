/** Files that others read while they are written. */
import { randomBytes } from 'node:crypto';
import { type FSWatcher, renameSync, rmSync, statSync, watch, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** A reader sees the old text or the new one, never half of it. */
export function writeAtomically(path: string, text: string | Uint8Array, mode: number): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  try {
    writeFileSync(temporary, text, { mode, flag: 'wx' });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Editors write in several steps: rename, truncate, write. */
const DEBOUNCE_MS = 60;
/** The system's notices are missing on some network and container mounts. */
const POLL_MS = 2000;

export interface Watch {
  /** Watches these from now on: files and folders. Missing ones are watched for their appearance. */
  set(paths: readonly string[]): void;
  close(): void;
}

/** `debounceMs`: 0 for files that are exchanged whole. Calls `onChange` some time after anything changed; also sometimes when nothing did: compare what is read. */
export function watchPaths(onChange: () => void, debounceMs = DEBOUNCE_MS): Watch {
  let watchers: FSWatcher[] = [];
  let paths: readonly string[] = [];
  let seen = '';
  let debounce: NodeJS.Timeout | undefined;
  const changed = () => {
    debounce ??= setTimeout(() => {
      debounce = undefined;
      seen = signature(paths);
      onChange();
    }, debounceMs);
  };
  const poll = setInterval(() => {
    if (signature(paths) !== seen) {
      changed();
    }
  }, POLL_MS);
  poll.unref();
  const stop = () => {
    for (const watcher of watchers) {
      watcher.close();
    }
    watchers = [];
  };
  return {
    set(next) {
      if (next.length === paths.length && next.every((path, i) => path === paths[i])) {
        return;
      }
      stop();
      paths = [...next];
      seen = signature(paths);
      // A file is watched by its folder: an editor that renames replaces the file that a watch on itself would hold.
      const folders = Map.groupBy(paths, (path) => (isFolder(path) ? path : dirname(path)));
      for (const [folder, own] of folders) {
        const names = new Set(own.includes(folder) ? [] : own.map((path) => basename(path)));
        try {
          const watcher = watch(folder, { persistent: false }, (_, name) => {
            // `..data` is how Kubernetes exchanges the files of a mounted volume.
            if (names.size === 0 || name === null || names.has(name) || name.startsWith('..')) {
              changed();
            }
          });
          watcher.on('error', () => watcher.close());
          watchers.push(watcher);
        } catch {
          // The folder is not there; the poll sees it come.
        }
      }
    },
    close() {
      stop();
      clearInterval(poll);
      clearTimeout(debounce);
    },
  };
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function signature(paths: readonly string[]): string {
  return paths
    .map((path) => {
      try {
        const { mtimeMs, size, ino } = statSync(path);
        return `${path}:${mtimeMs}:${size}:${ino}`;
      } catch {
        return path;
      }
    })
    .join('\n');
}
