/**
 * The secrets of detectors on one machine: a file beside the policy that only its user can read.
 * Looked at when it is needed, so that a policy and its secrets come into force together.
 */
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import type { Log } from '../../../runtime/log.ts';

/** Between two looks whether the file has changed. */
const LOOK_MS = 1_000;

const content = z.record(z.string(), z.string());

export interface SecretsFileOptions {
  readonly path: string;
  /** Milliseconds. */
  readonly now: () => number;
  readonly log: Log;
}

export class SecretsFile {
  readonly #options: SecretsFileOptions;
  #secrets: ReadonlyMap<string, string> = new Map();
  /** Identifies the content that was read. */
  #seen = '';
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(options: SecretsFileOptions) {
    this.#options = options;
  }

  /** Returns the value of a secret; undefined: the file does not have it. */
  value(id: string): string | undefined {
    const nowMs = this.#options.now();
    if (!this.#secrets.has(id) || nowMs - this.#lookedMs >= LOOK_MS) {
      this.#lookedMs = nowMs;
      this.#look();
    }
    return this.#secrets.get(id);
  }

  /** A file that cannot be read leaves the last secrets in force. */
  #look(): void {
    const { path, log } = this.#options;
    try {
      // The file is replaced whole, so each content has an inode of its own.
      const { ino, mtimeMs } = statSync(path);
      const seen = `${ino} ${mtimeMs}`;
      if (seen !== this.#seen) {
        this.#secrets = new Map(Object.entries(content.parse(JSON.parse(readFileSync(path, 'utf8')))));
        this.#seen = seen;
      }
    } catch {
      // An error of the parser would contain a part of the file.
      log.error({ path }, 'secrets of detectors not readable; the last ones stay in force');
    }
  }
}
