/** The public keys of issuers on one machine: fetched for the plan, and kept in the state folder. */
import { readFileSync } from 'node:fs';
import { type KeptKeys, KeyFetcher, type KeyStore } from '../jwks/key-fetcher.ts';
import { writeAtomicallySync } from '../runtime/files.ts';
import type { Log } from '../runtime/log.ts';
import { fetchGuard } from '../translate/link/fetch-guard.ts';

export interface IssuerKeysOptions {
  /** The file of the last keys, for a start while an issuer is away. */
  readonly path: string;
  readonly changed: () => void;
  readonly log: Log;
}

export function newIssuerKeys({ path, changed, log }: IssuerKeysOptions): KeyFetcher {
  return new KeyFetcher({ guard: fetchGuard(undefined), changed, store: fileStore(path, log), log });
}

function fileStore(path: string, log: Log): KeyStore {
  return {
    read() {
      try {
        return JSON.parse(readFileSync(path, 'utf8')) as readonly KeptKeys[];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
          log.warn({ err: error }, 'kept keys of issuers not readable');
        }
        return [];
      }
    },
    write: (kept) => writeAtomicallySync(path, JSON.stringify(kept), 0o600),
  };
}

/** Returns the URL of a request for keys, which extproc sends over its channel. */
export function requestedKeysUrl(message: unknown): string | undefined {
  const url: unknown =
    typeof message === 'object' && message !== null && 'refetchKeys' in message ? message.refetchKeys : undefined;
  return typeof url === 'string' ? url : undefined;
}
