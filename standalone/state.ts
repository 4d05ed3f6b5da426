/** The folder of one instance: its lock, its sockets, Envoy's files and the journal. */
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { writeAtomicallySync } from '../runtime/files.ts';
import { OperatorError } from './operator-error.ts';

export interface State {
  readonly folder: string;
  readonly envoyFolder: string;
  readonly journalPath: string;
  readonly policyPath: string;
  readonly extprocSocket: string;
  readonly extprocAdminSocket: string;
  readonly envoyAdminSocket: string;
  /** Where `tallygate quota` asks. */
  readonly quotaSocket: string;
  /** Of this instance, made at its first start: see `TranslateOptions`. */
  readonly routeSecret: string;
  pidPath(name: string): string;
  /** To be called when no Envoy of an earlier run reads it any more. */
  emptyEnvoyFolder(): void;
  /** Removes Envoy's files too: keys of providers must not stay. */
  close(): void;
}

export interface StateOptions {
  /** `$XDG_STATE_HOME` or what stands for it. */
  readonly stateHome: string;
  /** `$XDG_RUNTIME_DIR`, for sockets whose path would be too long. */
  readonly runtimeHome: string | undefined;
  readonly name: string;
}

/** `sun_path` has 108 bytes on Linux and 104 elsewhere, the final zero included. */
const MAX_SOCKET_PATH_BYTES = 103;
const SOCKETS = ['extproc.sock', 'extproc-admin.sock', 'envoy-admin.sock', 'quota.sock'] as const;

/**
 * Throws an OperatorError where another process has this instance, or where its folder cannot be
 * used.
 */
export function openState(options: StateOptions): State {
  const folder = stateFolder(options);
  let unlock = () => {};
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
    unlock = lock(folder, options.name);
    return openedState(folder, options, unlock);
  } catch (error) {
    unlock();
    throw unusable(folder, error);
  }
}

/** Of an instance that may run in another process. */
export function quotaSocketOf(options: StateOptions): string {
  return join(socketFolder(stateFolder(options), options.runtimeHome), 'quota.sock');
}

function stateFolder({ stateHome, name }: StateOptions): string {
  return resolve(stateHome, 'tallygate', name);
}

/** Converts errors of the system or SQLite into one line with the fix. */
function unusable(folder: string, error: unknown): unknown {
  const isOfSystem =
    error instanceof Error && 'code' in error && /^(E[A-Z]+|ERR_SQLITE_ERROR)$/.test(String(error.code));
  if (!isOfSystem) {
    return error;
  }
  return new OperatorError(
    `the state folder ${folder} cannot be used (${error.message}): make it a folder that you may write, or set XDG_STATE_HOME to another`,
  );
}

function openedState(folder: string, { runtimeHome }: StateOptions, unlock: () => void): State {
  const envoyFolder = join(folder, 'envoy');
  // Of its own, since it is watched: beside the journal, each request that is written down would
  // wake the watcher.
  const policyFolder = join(folder, 'policy');
  mkdirSync(policyFolder, { recursive: true, mode: 0o700 });
  const removeEnvoyFolder = () => rmSync(envoyFolder, { recursive: true, force: true });
  const sockets = socketFolder(folder, runtimeHome);
  if (sockets !== folder) {
    ownFolder(sockets, userInfo().uid);
  }
  const [extprocSocket, extprocAdminSocket, envoyAdminSocket, quotaSocket] = SOCKETS.map((socket) =>
    join(sockets, socket),
  );
  return {
    folder,
    envoyFolder,
    journalPath: join(folder, 'journal.db'),
    policyPath: join(policyFolder, 'policy.jsonl'),
    extprocSocket: extprocSocket!,
    extprocAdminSocket: extprocAdminSocket!,
    envoyAdminSocket: envoyAdminSocket!,
    quotaSocket: quotaSocket!,
    routeSecret: keptSecret(join(folder, 'route-secret')),
    pidPath: (process) => join(folder, `${process}.pid`),
    emptyEnvoyFolder() {
      removeEnvoyFolder();
      mkdirSync(envoyFolder, { recursive: true, mode: 0o700 });
    },
    close() {
      removeEnvoyFolder();
      unlock();
    },
  };
}

/**
 * Reads the secret of the file, or makes one: 256 bits. Whoever calls has the lock of the folder.
 */
function keptSecret(path: string): string {
  const known = readText(path) ?? '';
  if (/^[\w-]{43}$/.test(known)) {
    return known;
  }
  const made = randomBytes(32).toString('base64url');
  writeAtomicallySync(path, made, 0o600);
  return made;
}

/** A lock of the system's on an SQLite file: it ends with its process, however that ends. */
function lock(folder: string, name: string): () => void {
  const database = new DatabaseSync(join(folder, 'lock.db'));
  const pidPath = join(folder, 'tallygate.pid');
  try {
    database.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (!String(error).includes('locked')) {
      throw error;
    }
    throw new OperatorError(
      `another tallygate named ${name} is running (process ${readText(pidPath) ?? 'unknown'}); stop it, or start this one with --name OTHER`,
    );
  }
  writeFileSync(pidPath, `${process.pid}`);
  return () => database.close();
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function socketFolder(folder: string, runtimeHome: string | undefined): string {
  const digest = createHash('sha256').update(folder).digest('hex').slice(0, 12);
  const { uid } = userInfo();
  const candidates = [
    folder,
    ...(runtimeHome ? [join(runtimeHome, `tallygate-${digest}`)] : []),
    join(tmpdir(), `tallygate-${uid}-${digest}`),
    `/tmp/tallygate-${uid}-${digest}`,
  ];
  const longest = Math.max(...SOCKETS.map((socket) => socket.length));
  const found = candidates.find((each) => Buffer.byteLength(each) + 1 + longest <= MAX_SOCKET_PATH_BYTES);
  if (found === undefined) {
    throw new OperatorError(`the state folder ${folder} is too long; set XDG_STATE_HOME to a shorter path`);
  }
  return found;
}

/** In a folder that all may write, somebody else may have been there first. */
function ownFolder(path: string, uid: number): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const stat = lstatSync(path);
  if (!stat.isDirectory() || (uid >= 0 && stat.uid !== uid)) {
    throw new OperatorError(
      `${path} belongs to somebody else; remove it, or set XDG_RUNTIME_DIR to a folder of your own`,
    );
  }
  chmodSync(path, 0o700);
}
