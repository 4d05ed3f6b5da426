/** The last good policy on the disk that the containers of a pod share, so that a sidecar that comes back is ready while the controller is away. */
import { readFileSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GatewayPolicy } from '../../contract/policy.ts';
import type { Log } from '../../runtime/log.ts';
import type { PolicyReader } from './read.ts';
import type { PolicyVersion } from './version.ts';

const CONTENT = 'policy.jsonl';
const VERSION = 'policy-version.json';

export interface LastGoodPolicy {
  readonly version: PolicyVersion;
  readonly policy: GatewayPolicy;
}

/** Undefined where nothing is there; throws where what is there cannot be used. */
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
  return { policy, version: readVersion(folder, policy.version) ?? { epoch: 0, counter: 0, version: policy.version } };
}

/** The two files are written one after the other: between them the content may be newer. */
function readVersion(folder: string, version: string): PolicyVersion | undefined {
  try {
    const { epoch, counter, version: written } = JSON.parse(readFileSync(join(folder, VERSION), 'utf8'));
    const whole = Number.isSafeInteger(epoch) && Number.isSafeInteger(counter);
    return whole && written === version ? { epoch, counter, version } : undefined;
  } catch {
    return undefined;
  }
}

export interface PolicyCache {
  /** `content` undefined: the one that is there. Of several calls while one is being written the last counts. */
  keep(version: PolicyVersion, content: Uint8Array | undefined): void;
  /** When all is written. */
  settled(): Promise<void>;
}

export function openPolicyCache(folder: string, log: Pick<Log, 'info' | 'warn' | 'error'>): PolicyCache {
  let next: { readonly version: PolicyVersion; readonly content: Uint8Array | undefined } | undefined;
  let writing: Promise<void> | undefined;
  const write = async () => {
    while (next !== undefined) {
      const { version, content } = next;
      next = undefined;
      try {
        if (content !== undefined) {
          await replace(join(folder, CONTENT), content);
        }
        await replace(join(folder, VERSION), JSON.stringify(version));
      } catch (error) {
        log.warn({ error }, 'the policy cannot be kept on disk; a restart of this container waits for the controller');
      }
    }
    writing = undefined;
  };
  return {
    keep(version, content) {
      next = { version, content: content ?? next?.content };
      writing ??= write();
    },
    settled: async () => writing,
  };
}

async function replace(path: string, data: Uint8Array | string): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await writeFile(temporary, data, { mode: 0o600 });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
