/**
 * The file that keeps tokens of gateways. Only its owner may read it, and one process at a time
 * changes it: a refresh token that rotates works once, so a lost one means a new sign-in.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { SignIn } from '../../contract/access-policy.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { writeAtomicallySync } from '../../runtime/files.ts';
import { OperatorError } from '../../standalone/operator-error.ts';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** The permissions of anybody but the owner. */
const OTHERS = 0o077;
/** Longer than another process needs for requests to the identity provider. */
const LOCK_TIMEOUT_MS = 60_000;
const FORMAT_VERSION = 1;

export interface GatewayCredentials {
  readonly signIn: SignIn;
  /** What the gateway accepts: an access token or an ID token. */
  readonly token: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  /** Absent if the identity provider issued none. */
  readonly refreshToken?: string | undefined;
}

export interface StoredCredentials {
  readonly version: typeof FORMAT_VERSION;
  /** The gateway of the last sign-in. */
  readonly current?: string | undefined;
  /** By URL. */
  readonly gateways: Readonly<Record<string, GatewayCredentials>>;
}

export class CredentialsFile {
  readonly path: string;
  readonly #folder: string;
  readonly #lockTimeoutMs: number;

  /** `configHome` is `$XDG_CONFIG_HOME`. */
  constructor(configHome: string, lockTimeoutMs = LOCK_TIMEOUT_MS) {
    this.#lockTimeoutMs = lockTimeoutMs;
    this.#folder = join(configHome, 'tallygate');
    this.path = join(this.#folder, 'credentials.json');
  }

  read(): StoredCredentials {
    if (!existsSync(this.path)) {
      return { version: FORMAT_VERSION, gateways: {} };
    }
    refuseOthers(this.#folder, '700');
    refuseOthers(this.path, '600');
    const stored = parsed(readFileSync(this.path, 'utf8'));
    if (stored?.version !== FORMAT_VERSION || typeof stored.gateways !== 'object') {
      throw new OperatorError(`${this.path} is damaged or of another version; remove it and sign in again`);
    }
    return stored;
  }

  /**
   * Runs `work` while no other process changes the file. `work` calls `write` as soon as it can.
   */
  async locked<T>(work: (stored: StoredCredentials, write: (changed: StoredCredentials) => void) => Promise<T>) {
    mkdirSync(this.#folder, { recursive: true, mode: FOLDER_MODE });
    refuseOthers(this.#folder, '700');
    const lock = openLock(join(this.#folder, 'credentials.lock'), this.#lockTimeoutMs);
    try {
      return await work(this.read(), (changed) =>
        writeAtomicallySync(this.path, `${JSON.stringify(changed, undefined, 2)}\n`, FILE_MODE),
      );
    } finally {
      lock.close();
    }
  }
}

/**
 * Waits for the exclusive lock of a SQLite database, which the operating system releases when its
 * process ends in any way.
 */
function openLock(path: string, timeoutMs: number): DatabaseSync {
  closeSync(openSync(path, 'a', FILE_MODE));
  chmodSync(path, FILE_MODE);
  const database = new DatabaseSync(path, { timeout: timeoutMs });
  try {
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database.close();
    throw new OperatorError(
      `cannot lock ${path} within ${timeoutMs / 1000} s: ${errorMessage(error)}; end other tallygate processes`,
    );
  }
}

function refuseOthers(path: string, mode: string): void {
  const actual = statSync(path).mode & 0o777;
  if ((actual & OTHERS) !== 0) {
    throw new OperatorError(
      `others may read ${path} (mode ${actual.toString(8)}); run chmod ${mode} ${path}, and sign in again if they did`,
    );
  }
}

function parsed(text: string): StoredCredentials | undefined {
  try {
    return JSON.parse(text) as StoredCredentials;
  } catch {
    return undefined;
  }
}
