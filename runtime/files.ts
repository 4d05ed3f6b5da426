/** Writes files atomically, and watches files for changes. */
import { randomBytes } from 'node:crypto';
import { type FSWatcher, renameSync, rmSync, statSync, watch, writeFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Replaces the file: a reader sees either the old content or the new, never a part. */
export async function writeAtomically(path: string, data: string | Uint8Array, mode: number): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    await writeFile(temporary, data, { mode, flag: 'wx' });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Replaces the file like `writeAtomically`, but blocks the event loop. */
export function writeAtomicallySync(path: string, data: string | Uint8Array, mode: number): void {
  const temporary = temporaryPath(path);
  try {
    writeFileSync(temporary, data, { mode, flag: 'wx' });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function temporaryPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`);
}

/** Collects the changes of editors, which write in several steps (rename, truncate, write). */
const DEBOUNCE_MS = 60;
/** Some network and container mounts deliver no change notifications. */
const POLL_MS = 2000;

export interface Watch {
  /**
   * Replaces the watched files and folders. A path that does not exist is watched until it appears.
   */
  set(paths: readonly string[]): void;
  close(): void;
}

/**
 * Calls `onChange` after a change, and sometimes without one, so compare the content. `debounceMs`
 * is 0 for files that are replaced whole.
 */
export function watchPaths(onChange: () => void, debounceMs = DEBOUNCE_MS): Watch {
  return new PathWatch(onChange, debounceMs);
}

class PathWatch implements Watch {
  readonly #onChange: () => void;
  readonly #debounceMs: number;
  readonly #poll: NodeJS.Timeout;
  #watchers: FSWatcher[] = [];
  #paths: readonly string[] = [];
  #seen = '';
  #debounce: NodeJS.Timeout | undefined;

  constructor(onChange: () => void, debounceMs: number) {
    this.#onChange = onChange;
    this.#debounceMs = debounceMs;
    this.#poll = setInterval(() => {
      if (signature(this.#paths) !== this.#seen) {
        this.#changed();
      }
    }, POLL_MS);
    this.#poll.unref();
  }

  set(paths: readonly string[]): void {
    if (paths.length === this.#paths.length && paths.every((path, index) => path === this.#paths[index])) {
      return;
    }
    this.#stop();
    this.#paths = [...paths];
    this.#seen = signature(paths);
    // Watch the folder: after a rename by an editor, a watch on the file would follow the old file.
    for (const [folder, members] of Map.groupBy(paths, (path) => (isFolder(path) ? path : dirname(path)))) {
      const names = members.includes(folder) ? undefined : new Set(members.map((path) => basename(path)));
      this.#watchFolder(folder, names);
    }
  }

  close(): void {
    this.#stop();
    clearInterval(this.#poll);
    clearTimeout(this.#debounce);
  }

  /** `names` undefined: all files of the folder. */
  #watchFolder(folder: string, names: ReadonlySet<string> | undefined): void {
    try {
      const watcher = watch(folder, { persistent: false }, (_, name) => {
        // Kubernetes replaces the files of a mounted volume by a link named `..data`.
        if (names === undefined || name === null || names.has(name) || name.startsWith('..')) {
          this.#changed();
        }
      });
      watcher.on('error', () => watcher.close());
      this.#watchers.push(watcher);
    } catch {
      // The folder does not exist; polling notices when it appears.
    }
  }

  #changed(): void {
    this.#debounce ??= setTimeout(() => {
      this.#debounce = undefined;
      this.#seen = signature(this.#paths);
      this.#onChange();
    }, this.#debounceMs);
  }

  #stop(): void {
    for (const watcher of this.#watchers) {
      watcher.close();
    }
    this.#watchers = [];
  }
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
