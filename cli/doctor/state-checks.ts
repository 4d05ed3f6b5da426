/** Checks of the state folder and of the journal in it. */
import { constants } from 'node:fs';
import { access, open, readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type CheckOutcome, ok, problem, warning } from './check-result.ts';

export interface StateFolder {
  readonly path: string;
  /** Undefined: the folder does not exist yet. */
  readonly folder?: FolderFacts;
  /** Of the file system of the folder, or of its nearest parent that exists. */
  readonly freeBytes: number;
  /** Whether a missing folder could be created. */
  readonly canCreate: boolean;
}

export interface FolderFacts {
  readonly uid: number;
  readonly mode: number;
  readonly isAccessible: boolean;
  readonly journal: readonly JournalFile[];
}

export interface JournalFile {
  readonly name: string;
  readonly isAccessible: boolean;
  /** Whether it begins as an SQLite database; undefined: no database. */
  readonly isDatabase?: boolean;
}

const MIB = 1024 * 1024;
/** The journal's logs and the file of usage may need so much. */
const FEW_BYTES = 1024 * MIB;
const TOO_FEW_BYTES = 100 * MIB;
const SQLITE_HEADER = 'SQLite format 3\0';
const SECTION = 'the-state-folder';

export function stateOutcomes(state: StateFolder, uid: number): readonly CheckOutcome[] {
  return [folderOutcome(state, uid), diskOutcome(state)];
}

function folderOutcome({ path, folder, canCreate }: StateFolder, uid: number): CheckOutcome {
  if (folder === undefined) {
    return canCreate
      ? ok(`${path} does not exist yet; the first start creates it`)
      : problem(
          `${path} does not exist and cannot be created`,
          'make its parent writable, or set XDG_STATE_HOME to another folder',
          SECTION,
        );
  }
  if (uid !== 0 && folder.uid !== uid) {
    return problem(
      `${path} belongs to another user (${folder.uid})`,
      'run the command as the user of the gateway, or set XDG_STATE_HOME to another folder',
      SECTION,
    );
  }
  if (!folder.isAccessible) {
    return problem(`${path} is not writable`, `run \`chmod 700 ${path}\``, SECTION);
  }
  return (folder.mode & 0o077) === 0
    ? ok(path)
    : warning(`other users have access to ${path}, which contains keys`, `run \`chmod 700 ${path}\``, SECTION);
}

function diskOutcome({ path, freeBytes }: StateFolder): CheckOutcome {
  const text = `${Math.floor(freeBytes / MIB)} MiB are free on the disk of ${path}`;
  const fix = 'free space on this disk, or set XDG_STATE_HOME to a folder on another one';
  if (freeBytes < TOO_FEW_BYTES) {
    return problem(text, fix, SECTION);
  }
  return freeBytes < FEW_BYTES ? warning(text, fix, SECTION) : ok(text);
}

/** Does not open the journal as a database, which could create files. */
export function journalFileOutcomes({ path, folder }: StateFolder): readonly CheckOutcome[] {
  const files = folder?.journal ?? [];
  const outcomes = files.flatMap(({ name, isAccessible, isDatabase }): CheckOutcome[] => {
    const file = join(path, name);
    if (!isAccessible) {
      return [problem(`${file} cannot be read and written`, `give the gateway's user access to ${file}`, SECTION)];
    }
    return isDatabase === false
      ? [problem(`${file} is not a journal`, `stop the gateway, and restore or move away ${file}`, SECTION)]
      : [];
  });
  if (outcomes.length > 0) {
    return outcomes;
  }
  return [ok(files.length === 0 ? 'there is none yet' : `${join(path, 'journal.db')} can be read and written`)];
}

export async function readStateFolder(path: string): Promise<StateFolder> {
  const facts = await stat(path).catch(absent);
  const existing = facts === undefined ? await existingParent(path) : path;
  const { bavail, bsize } = await statfs(existing);
  return {
    path,
    freeBytes: bavail * bsize,
    canCreate: await isAccessible(existing),
    ...(facts !== undefined && {
      folder: {
        uid: facts.uid,
        mode: facts.mode,
        isAccessible: await isAccessible(path),
        journal: await journalFiles(path),
      },
    }),
  };
}

async function journalFiles(folder: string): Promise<readonly JournalFile[]> {
  const names = await readdir(folder).catch(() => []);
  return await Promise.all(
    names
      .filter((name) => name.startsWith('journal.db'))
      .map(async (name) => {
        const path = join(folder, name);
        const accessible = await isAccessible(path);
        return {
          name,
          isAccessible: accessible,
          ...(accessible && name === 'journal.db' && { isDatabase: await isDatabase(path) }),
        };
      }),
  );
}

/** An empty file is a new database. */
async function isDatabase(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(SQLITE_HEADER.length), 0, SQLITE_HEADER.length, 0);
    return bytesRead === 0 || buffer.toString('latin1') === SQLITE_HEADER;
  } finally {
    await file.close();
  }
}

async function existingParent(path: string): Promise<string> {
  const parent = dirname(path);
  return parent === path || (await stat(parent).catch(absent)) !== undefined ? parent : await existingParent(parent);
}

async function isAccessible(path: string): Promise<boolean> {
  return await access(path, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') {
    throw error;
  }
}
