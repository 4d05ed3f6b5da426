/**
 * The public keys of issuers on one machine: fetched for the plan, and kept in the state folder.
 */
import { readFileSync } from 'node:fs';
import { type KeptKeys, type KeyCounts, KeyFetcher } from '../jwks/key-fetcher.ts';
import { writeAtomicallySync } from '../runtime/files.ts';
import type { Log } from '../runtime/log.ts';
import { standaloneFetchGuard } from '../translate/link/fetch-guard.ts';

export interface IssuerKeysOptions {
  /** The file of the last keys, for a start while an issuer is away. */
  readonly path: string;
  readonly changed: () => void;
  readonly log: Log;
}

export function newIssuerKeys({ path, changed, log }: IssuerKeysOptions): KeyFetcher {
  const keep = (kept: readonly KeptKeys[]) => {
    try {
      writeAtomicallySync(path, JSON.stringify(kept), 0o600);
    } catch (error) {
      log.warn({ err: error }, 'keys of issuers not kept on disk');
    }
  };
  const fetcher = new KeyFetcher({ guard: standaloneFetchGuard, changed, keep, log });
  fetcher.restore(readKept(path, log));
  return fetcher;
}

function readKept(path: string, log: Log): readonly KeptKeys[] {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as readonly KeptKeys[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      log.warn({ err: error }, 'kept keys of issuers not readable');
    }
    return [];
  }
}

/** Returns the URL of a request for keys, which extproc sends over its channel. */
export function requestedKeysUrl(message: unknown): string | undefined {
  const url: unknown =
    typeof message === 'object' && message !== null && 'refetchKeys' in message ? message.refetchKeys : undefined;
  return typeof url === 'string' ? url : undefined;
}

/** Returns metrics in the Prometheus format, with the names that the controller has. */
export function issuerMetrics({ sources, failing }: KeyCounts): string {
  if (sources === 0) {
    return '';
  }
  return (
    gaugeText('tallygate_issuers', 'Issuers whose keys are fetched.', sources) +
    gaugeText('tallygate_issuers_failing', 'Issuers whose keys could not be fetched.', failing)
  );
}

export function gaugeText(name: string, help: string, value: number): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name} ${value}\n`;
}
