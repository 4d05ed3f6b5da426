/** What the worker needs of a destination. */
import type { ContentEntry } from './entry.ts';

/** Why content was not exported: `refused` is not tried again, `failed` was, in vain. */
export type ExportDropReason = 'export_refused' | 'export_failed';

export interface SendFailure {
  readonly reason: ExportDropReason;
  /** What the destination says and, where known, what the operator does about it. */
  readonly text: string;
}

export interface SendOutcome {
  readonly accepted: number;
  /** Why the others were not accepted. */
  readonly failure: SendFailure | undefined;
}

export interface ContentSender {
  /** The most entries of one call. */
  readonly maxEntries: number;
  /** The most UTF-16 units in one call; an entry that has more is sent alone. */
  readonly maxUnits: number;
  /** The longest time that an entry waits for others, in milliseconds. */
  readonly delayMs: number;
  /** The most calls at the same time. */
  readonly maxOpen: number;
  /** Never rejects, and always ends: by timeouts of its own. */
  send(entries: readonly ContentEntry[]): Promise<SendOutcome>;
}

export const SEND_TIMEOUT_MS = 10_000;
