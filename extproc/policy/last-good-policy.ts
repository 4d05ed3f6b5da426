/**
 * Keeps the last good policy on the volume that the containers of a pod share, so that a restarted
 * sidecar is ready while the controller is away.
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { PolicyVersion } from '../../contract/policy-version.ts';
import { writeAtomically } from '../../runtime/files.ts';
import type { Log } from '../../runtime/log.ts';
import type { PolicyReader } from './read.ts';

const CONTENT = 'policy.jsonl';
const VERSION = 'policy-version.json';

export interface LastGoodPolicy {
  readonly version: PolicyVersion;
  readonly policy: GatewayPolicy;
  readonly content: Buffer;
}

/** Returns undefined if no policy was kept. Throws if the kept policy cannot be used. */
export async function readLastGoodPolicy(folder: string, reader: PolicyReader): Promise<LastGoodPolicy | undefined> {
  let content: Buffer;
  try {
    content = await readFile(join(folder, CONTENT));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return undefined;
    }
    throw error;
  }
  const policy = await reader.read(content);
  return {
    policy,
    content,
    version: readVersion(folder, policy.version) ?? { epoch: 0, counter: 0, version: policy.version },
  };
}

/**
 * The two files are written one after the other, so the content may be newer than the version file.
 */
function readVersion(folder: string, version: string): PolicyVersion | undefined {
  try {
    const { epoch, counter, version: written } = JSON.parse(readFileSync(join(folder, VERSION), 'utf8'));
    const isWhole = Number.isSafeInteger(epoch) && Number.isSafeInteger(counter);
    return isWhole && written === version ? { epoch, counter, version } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Writes policies to the folder, one at a time; of several that arrive during a write, only the
 * last is written.
 */
export class PolicyCache {
  readonly #folder: string;
  readonly #log: Log;
  #next: { readonly version: PolicyVersion; readonly content: Uint8Array | undefined } | undefined;
  #writing: Promise<void> | undefined;

  constructor(folder: string, log: Log) {
    this.#folder = folder;
    this.#log = log;
  }

  /** `content` undefined: the content on disk stays, only its version changes. */
  keep(version: PolicyVersion, content: Uint8Array | undefined): void {
    this.#next = { version, content: content ?? this.#next?.content };
    this.#writing ??= this.#write();
  }

  /** Resolves when everything is written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#next !== undefined) {
      const { version, content } = this.#next;
      this.#next = undefined;
      try {
        if (content !== undefined) {
          await writeAtomically(join(this.#folder, CONTENT), content, 0o600);
        }
        await writeAtomically(join(this.#folder, VERSION), JSON.stringify(version), 0o600);
      } catch (error) {
        this.#log.warn({ err: error }, 'policy not kept on disk; a restarted container will wait for the controller');
      }
    }
    this.#writing = undefined;
  }
}
