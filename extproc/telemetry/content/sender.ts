/** What the worker needs of a destination. */
import type { ContentEntry } from './entry.ts';

export interface SendOutcome {
  readonly accepted: number;
  /** Why the others were not accepted. */
  readonly failure: string | undefined;
}

export interface ContentSender {
  /** The most entries of one call. */
  readonly maxEntries: number;
  /** Never rejects, and always ends: by timeouts of its own. */
  send(entries: readonly ContentEntry[]): Promise<SendOutcome>;
}

export const SEND_TIMEOUT_MS = 10_000;
