/**
 * Puts the shared quota store that the controller names into force, and keeps its configuration on
 * disk, so that a restarted sidecar counts with the others while the controller is away.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type SharedStoreConfig, sharedStoreSchema } from '../../contract/shared-store.ts';
import type { SharedStore } from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import { writeAtomically } from '../../runtime/files.ts';
import type { Log } from '../../runtime/log.ts';

const FILE = 'shared-store.json';

export interface SharedStoreIntakeOptions {
  /** Where the configuration is kept, with its password; undefined: nowhere. */
  readonly storeFolder: string | undefined;
  /** Puts a configuration into force without ending streams; undefined: no store is shared. */
  readonly useSharedStore: (config: SharedStoreConfig | undefined) => void;
  readonly log: Log;
}

interface KeptStore {
  readonly epoch: number;
  readonly config?: SharedStoreConfig;
}

export class SharedStoreIntake {
  readonly #options: SharedStoreIntakeOptions;
  /** Undefined: no controller has named a store, or the absence of one, yet. */
  #inForce: KeptStore | undefined;
  #refusal = '';

  constructor(options: SharedStoreIntakeOptions) {
    this.#options = options;
  }

  /** Why the last configuration was refused, or empty. */
  get refusal(): string {
    return this.#refusal;
  }

  /** Puts the configuration that was kept on disk into force, if there is one. Never rejects. */
  async restore(): Promise<void> {
    const { storeFolder, log } = this.#options;
    if (storeFolder === undefined) {
      return;
    }
    try {
      const { epoch, config } = JSON.parse(await readFile(join(storeFolder, FILE), 'utf8'));
      this.#use({ epoch: Number(epoch), ...(config !== undefined && { config: sharedStoreSchema.parse(config) }) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        log.warn({ file: FILE }, 'shared quota store on disk cannot be used');
      }
    }
  }

  /** Never rejects: a configuration that cannot be used leaves the last good one in force. */
  async take({ epoch: wireEpoch, config: content }: SharedStore): Promise<void> {
    const { storeFolder, log } = this.#options;
    const epoch = Number(wireEpoch);
    if (this.#inForce !== undefined && epoch < this.#inForce.epoch) {
      return;
    }
    const config = content === undefined ? undefined : parsed(content);
    if (typeof config === 'string') {
      this.#refusal = config;
      log.error({ reason: config }, 'shared quota store refused; the last good one stays in force');
      return;
    }
    this.#refusal = '';
    const next: KeptStore = { epoch, ...(config && { config }) };
    if (isDeepStrictEqual(next, this.#inForce)) {
      return;
    }
    this.#use(next);
    try {
      if (storeFolder !== undefined) {
        await writeAtomically(join(storeFolder, FILE), JSON.stringify(next), 0o600);
      }
    } catch (error) {
      log.warn(
        { err: error },
        'shared quota store not kept on disk; a restarted container will wait for the controller',
      );
    }
  }

  #use(next: KeptStore): void {
    const before = this.#inForce;
    this.#inForce = next;
    if (!isDeepStrictEqual(before?.config, next.config)) {
      this.#options.useSharedStore(next.config);
    }
  }
}

/** Returns the reason if the content cannot be used. It never contains a value. */
function parsed(content: Uint8Array): SharedStoreConfig | string {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(content).toString('utf8'));
  } catch {
    return 'it is no JSON';
  }
  const { data, error } = sharedStoreSchema.safeParse(value);
  const [issue] = error?.issues ?? [];
  return data ?? `${issue?.path.join('.')}: ${issue?.message}`;
}
