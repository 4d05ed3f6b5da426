/** Reads the files with the resources. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Environment } from '../runtime/environment.ts';
import type { SourceFile } from '../translate/read/read.ts';
import type { Lookup } from '../translate/read/variables.ts';

const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_FILES = 10_000;

export interface SourceFiles {
  readonly files: readonly SourceFile[];
  readonly unreadable: readonly Unreadable[];
  /** The absolute paths to watch: files, and folders for new files in them. */
  readonly paths: readonly string[];
}

export interface Unreadable {
  readonly path: string;
  /** The line for the user. */
  readonly text: string;
}

/**
 * Reads files, and the `.yaml`, `.yml` and `.json` files in folders and their subfolders, except
 * hidden ones.
 */
export function readSources(paths: readonly string[]): SourceFiles {
  const files = new Map<string, SourceFile>();
  const unreadable: Unreadable[] = [];
  const refuse = (path: string, problem: string) => {
    unreadable.push({ path, text: `${path}: ${problem}` });
  };
  const visited: string[] = [];
  const visit = (path: string, named: boolean, argument: number): void => {
    try {
      const stat = statSync(path);
      if (stat.isDirectory()) {
        visited.push(resolve(path));
        for (const name of readdirSync(path).sort()) {
          if (!name.startsWith('.')) {
            visit(join(path, name), false, argument);
          }
        }
      } else if (named || /\.(ya?ml|json)$/.test(path)) {
        visited.push(resolve(path));
        if (stat.size > MAX_FILE_BYTES) {
          refuse(path, `is larger than ${MAX_FILE_BYTES} bytes; fix: split it`);
        } else if (files.size >= MAX_FILES) {
          refuse(path, `exceeds the maximum of ${MAX_FILES} files; fix: use fewer files`);
        } else {
          files.set(path, { name: path, text: readFileSync(path, 'utf8'), argument });
        }
      }
    } catch (error) {
      visited.push(resolve(path));
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'ENOENT') {
        refuse(path, 'does not exist; fix: correct the path');
      } else {
        refuse(path, `cannot be read (${code}); fix: check its permissions`);
      }
    }
  };
  for (const [argument, path] of paths.entries()) {
    visit(path, true, argument);
  }
  return { files: [...files.values()], unreadable, paths: visited };
}

export interface WatchedLookup extends Lookup {
  /** Files that Secrets refer to, for the watch. */
  readonly paths: readonly string[];
}

/** Resolves `\${…}` in Secrets from the environment and files of this machine. */
export function secretLookup(environment: Environment): WatchedLookup {
  const paths: string[] = [];
  return {
    paths,
    environment: (name) => environment[name],
    file(path, from) {
      const absolute = resolve(dirname(from), path);
      paths.push(absolute);
      try {
        return statSync(absolute).size > MAX_FILE_BYTES ? undefined : readFileSync(absolute, 'utf8');
      } catch {
        return undefined;
      }
    },
  };
}
