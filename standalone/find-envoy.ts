/** Finds the Envoy to run, and checks its version. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from './operator-error.ts';

/**
 * The first version that chooses the cluster of each attempt by dynamic metadata, for failover. It
 * refuses all routes of a configuration in which it does not know a part.
 */
const MIN_VERSION = [1, 40] as const;
const VERSION_DEADLINE_MS = 10_000;

export interface EnvoyPaths {
  /** The value of `--envoy` or TALLYGATE_ENVOY. */
  readonly named: string | undefined;
  /** The folder where `make setup` installs Envoy. */
  readonly toolsFolder: string;
  /** `PATH`. */
  readonly searchPath: string;
}

export interface FoundEnvoy {
  readonly path: string;
  readonly version: string;
}

export async function findEnvoy({ named, toolsFolder, searchPath }: EnvoyPaths): Promise<FoundEnvoy> {
  const folders = [toolsFolder, ...searchPath.split(delimiter).filter(Boolean)];
  const path = named ?? folders.map((folder) => join(folder, 'envoy')).find(isExecutable);
  if (path === undefined) {
    throw new OperatorError(
      'Envoy not found; run `make setup` in the checkout, install `envoy` on the PATH, or set --envoy PATH or TALLYGATE_ENVOY',
    );
  }
  if (!isExecutable(path)) {
    throw new OperatorError(`${path} is not executable; correct --envoy or TALLYGATE_ENVOY`);
  }
  const version = await versionOf(path);
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < MIN_VERSION[0] || (major === MIN_VERSION[0] && minor < MIN_VERSION[1])) {
    throw new OperatorError(
      `${path} is Envoy ${version}, but ${MIN_VERSION.join('.')} or newer is required; run \`make setup\`, or set --envoy to another one`,
    );
  }
  return { path, version };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function versionOf(path: string): Promise<string> {
  const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: VERSION_DEADLINE_MS }).catch((error) => {
    throw new OperatorError(
      `${path} --version failed (${String(error.code ?? error.signal)}); set --envoy to another Envoy`,
    );
  });
  // "envoy  version: HASH/1.40.0/Clean/RELEASE/BoringSSL"
  const version = /version: [^/]*\/(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  if (version === undefined) {
    throw new OperatorError(`${path} is not Envoy: its --version shows no version; set --envoy to another one`);
  }
  return version;
}
