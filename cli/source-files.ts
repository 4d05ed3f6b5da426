/** Files and folders as the user names them on the command line → texts, in a fixed order. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { SourceFile } from '../translate/read/read.ts';

export interface SourceFiles {
  readonly files: readonly SourceFile[];
  /** Lines for the user about what cannot be read. */
  readonly unreadable: readonly string[];
}

/** A folder stands for its `.yaml`, `.yml` and `.json` files and those of its folders, without hidden ones. */
export function readSourceFiles(paths: readonly string[]): SourceFiles {
  const files = new Map<string, SourceFile>();
  const unreadable: string[] = [];
  const visit = (path: string, named: boolean): void => {
    try {
      if (statSync(path).isDirectory()) {
        for (const name of readdirSync(path).sort()) if (!name.startsWith('.')) visit(join(path, name), false);
      } else if (named || /\.(ya?ml|json)$/.test(path)) {
        files.set(path, { name: path, text: readFileSync(path, 'utf8') });
      }
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      const what =
        code === 'ENOENT'
          ? 'there is no such file or folder; fix: correct the path'
          : `cannot be read (${code}); fix: check its permissions`;
      unreadable.push(`${path}: ${what}`);
    }
  };
  for (const path of paths) visit(path, true);
  return { files: [...files.values()], unreadable };
}
