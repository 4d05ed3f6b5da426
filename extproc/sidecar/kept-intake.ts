/**
 * Puts something with secrets that the controller sends beside policies into force, and keeps it on
 * disk, so that a restarted sidecar has it while the controller is away.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { writeAtomically } from '../../runtime/files.ts';
import type { Log } from '../../runtime/log.ts';

export interface KeptIntakeOptions<Content> {
  /** What it is, for the log, such as `shared quota store`. */
  readonly name: string;
  /** Where it is kept, in the folder. */
  readonly file: string;
  /** On a volume that Envoy does not mount; undefined: it is kept nowhere. */
  readonly folder: string | undefined;
  readonly schema: z.ZodType<Content>;
  /** Puts the content into force without ending streams; undefined: there is none. */
  readonly use: (content: Content | undefined) => void;
  readonly log: Log;
}

/** What the controller has sent: JSON with the term of the leader. */
export interface SentContent {
  readonly epoch: bigint;
  /** Absent: there is none. */
  readonly content: Uint8Array | undefined;
}

interface KeptContent<Content> {
  readonly epoch: number;
  readonly config?: Content;
}

export class KeptIntake<Content> {
  readonly #options: KeptIntakeOptions<Content>;
  /** Undefined: no controller has sent a content, or the absence of one, yet. */
  #inForce: KeptContent<Content> | undefined;
  #refusal = '';

  constructor(options: KeptIntakeOptions<Content>) {
    this.#options = options;
  }

  /** Why the last content was refused, or empty. */
  get refusal(): string {
    return this.#refusal;
  }

  /** Puts the content that was kept on disk into force, if there is one. Never rejects. */
  async restore(): Promise<void> {
    const { folder, file, schema, log } = this.#options;
    if (folder === undefined) {
      return;
    }
    try {
      const { epoch, config } = JSON.parse(await readFile(join(folder, file), 'utf8'));
      this.#use({ epoch: Number(epoch), ...(config !== undefined && { config: schema.parse(config) }) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        log.warn({ file }, 'file from the controller on disk cannot be used');
      }
    }
  }

  /** Never rejects: a content that cannot be used leaves the last good one in force. */
  async take({ epoch: wireEpoch, content }: SentContent): Promise<void> {
    const { name, folder, file, log } = this.#options;
    const epoch = Number(wireEpoch);
    if (this.#inForce !== undefined && epoch < this.#inForce.epoch) {
      return;
    }
    const { config, refusal } = content === undefined ? { config: undefined } : this.#parsed(content);
    this.#refusal = refusal ?? '';
    if (refusal !== undefined) {
      log.error({ what: name, reason: refusal }, 'message of the controller refused; the last good one stays in force');
      return;
    }
    const next: KeptContent<Content> = { epoch, ...(config !== undefined && { config }) };
    if (isDeepStrictEqual(next, this.#inForce)) {
      return;
    }
    this.#use(next);
    try {
      if (folder !== undefined) {
        await writeAtomically(join(folder, file), JSON.stringify(next), 0o600);
      }
    } catch (error) {
      log.warn(
        { err: error, what: name },
        'message of the controller not kept on disk; a restarted container will wait for the controller',
      );
    }
  }

  #use(next: KeptContent<Content>): void {
    const before = this.#inForce;
    this.#inForce = next;
    if (!isDeepStrictEqual(before?.config, next.config)) {
      this.#options.use(next.config);
    }
  }

  /** Returns the reason if the content cannot be used. It never contains a value. */
  #parsed(content: Uint8Array): { readonly config?: Content; readonly refusal?: string } {
    let value: unknown;
    try {
      value = JSON.parse(Buffer.from(content).toString('utf8'));
    } catch {
      return { refusal: 'it is no JSON' };
    }
    const { data, error } = this.#options.schema.safeParse(value);
    const [issue] = error?.issues ?? [];
    return issue === undefined ? { config: data as Content } : { refusal: `${issue.path.join('.')}: ${issue.message}` };
  }
}
