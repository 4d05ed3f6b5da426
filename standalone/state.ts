/** The state folder of one instance: its lock, sockets, Envoy's files and the journal. */
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
  /** The last public keys of issuers. */
  readonly keysPath: string;
  /** Alerts about budgets that no webhook has accepted yet. */
  readonly alertsPath: string;
  /** The secrets of the detectors of guardrails. */
  readonly detectorSecretsPath: string;
  readonly extprocSocket: string;
  readonly extprocAdminSocket: string;
  readonly envoyAdminSocket: string;
  /** The socket for `tallygate quota`. */
  readonly quotaSocket: string;
  /** Created at the first start of the instance; see `TranslateOptions`. */
  readonly routeSecret: string;
  pidPath(name: string): string;
  /** Call when no Envoy of an earlier run reads the folder any more. */
  emptyEnvoyFolder(): void;
  /** Also removes Envoy's files and the secrets of detectors, which contain keys. */
  close(): void;
}

export interface StateOptions {
  /** `$XDG_STATE_HOME` or its default. */
  readonly stateHome: string;
  /** `$XDG_RUNTIME_DIR`, for sockets whose path would be too long. */
  readonly runtimeHome: string | undefined;
  readonly name: string;
}

/** `sun_path` has 108 bytes on Linux and 104 elsewhere, including the terminating zero. */
const MAX_SOCKET_PATH_BYTES = 103;
const SOCKETS = ['extproc.sock', 'extproc-admin.sock', 'envoy-admin.sock', 'quota.sock'] as const;

/**
 * Throws an OperatorError if another process uses this instance, or if its folder cannot be
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

/** The paths of an instance that may run in another process. */
export type InstancePaths = Pick<State, 'folder' | 'extprocAdminSocket' | 'envoyAdminSocket' | 'quotaSocket'>;

/** Creates nothing. Throws an OperatorError if the paths of sockets would be too long. */
export function instancePathsOf(options: StateOptions): InstancePaths {
  const folder = stateFolder(options);
  const sockets = socketFolder(folder, options.runtimeHome);
  return {
    folder,
    extprocAdminSocket: join(sockets, 'extproc-admin.sock'),
    envoyAdminSocket: join(sockets, 'envoy-admin.sock'),
    quotaSocket: join(sockets, 'quota.sock'),
  };
}

/** Returns the quota socket of an instance that may run in another process. */
export function quotaSocketOf(options: StateOptions): string {
  return instancePathsOf(options).quotaSocket;
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
    `the state folder ${folder} cannot be used (${error.message}); make it writable, or set XDG_STATE_HOME to another folder`,
  );
}

function openedState(folder: string, { runtimeHome }: StateOptions, unlock: () => void): State {
  const envoyFolder = join(folder, 'envoy');
  // A separate folder, because it is watched: beside the journal, each journal write would wake the
  // watcher.
  const policyFolder = join(folder, 'policy');
  mkdirSync(policyFolder, { recursive: true, mode: 0o700 });
  const detectorSecretsPath = join(folder, 'detector-secrets.json');
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
    keysPath: join(folder, 'issuer-keys.json'),
    alertsPath: join(folder, 'budget-alerts.json'),
    detectorSecretsPath,
    extprocSocket: extprocSocket!,
    extprocAdminSocket: extprocAdminSocket!,
    envoyAdminSocket: envoyAdminSocket!,
    quotaSocket: quotaSocket!,
    routeSecret: persistentSecret(join(folder, 'route-secret')),
    pidPath: (process) => join(folder, `${process}.pid`),
    emptyEnvoyFolder() {
      removeEnvoyFolder();
      mkdirSync(envoyFolder, { recursive: true, mode: 0o700 });
    },
    close() {
      removeEnvoyFolder();
      rmSync(detectorSecretsPath, { force: true });
      unlock();
    },
  };
}

/**
 * Reads the secret of the file, or creates one of 256 bits. The caller must hold the folder's lock.
 */
function persistentSecret(path: string): string {
  const known = readText(path) ?? '';
  if (/^[\w-]{43}$/.test(known)) {
    return known;
  }
  const secret = randomBytes(32).toString('base64url');
  writeAtomicallySync(path, secret, 0o600);
  return secret;
}

/** Locks an SQLite file; the system releases the lock when the process ends in any way. */
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

/** Creates the folder. In a folder that all may write, another user may have created it first. */
function ownFolder(path: string, uid: number): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const stat = lstatSync(path);
  if (!stat.isDirectory() || (uid >= 0 && stat.uid !== uid)) {
    throw new OperatorError(
      `${path} belongs to another user; remove it, or set XDG_RUNTIME_DIR to a folder of your own`,
    );
  }
  chmodSync(path, 0o700);
}
