/** Finds an Envoy that is new enough. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from './operator-error.ts';

/**
 * The first whose ext_proc keeps to `FULL_DUPLEX_STREAMED` and closes gracefully in the way that is
 * relied on.
 */
const LEAST_VERSION = [1, 38] as const;
const VERSION_DEADLINE_MS = 10_000;

export interface EnvoyPaths {
  /** By `--envoy` or TALLYGATE_ENVOY. */
  readonly named: string | undefined;
  /** The project's own tools. */
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
      'Envoy was not found; run `make setup` in the checkout, put `envoy` on the PATH, or name it by --envoy PATH or TALLYGATE_ENVOY',
    );
  }
  if (!isExecutable(path)) {
    throw new OperatorError(`${path} is not a program that can be run; correct --envoy or TALLYGATE_ENVOY`);
  }
  const version = await versionOf(path);
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < LEAST_VERSION[0] || (major === LEAST_VERSION[0] && minor < LEAST_VERSION[1])) {
    throw new OperatorError(
      `${path} is Envoy ${version}, and ${LEAST_VERSION.join('.')} or newer is needed; run \`make setup\` or name another`,
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
      `${path} --version failed (${String(error.code ?? error.signal)}); name another Envoy by --envoy PATH`,
    );
  });
  // "envoy  version: HASH/1.40.0/Clean/RELEASE/BoringSSL"
  const version = /version: [^/]*\/(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  if (version === undefined) {
    throw new OperatorError(
      `${path} does not look like Envoy: its --version has no version; name another by --envoy PATH`,
    );
  }
  return version;
}
