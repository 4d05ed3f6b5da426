/** What an exporter needs of a protocol. */
import type { ExplainedRequest } from '../usage-explain.ts';

/** A record with an id that no other record of any gateway has. */
export interface ExportedUsage {
  readonly id: string;
  readonly request: ExplainedRequest;
}

/**
 * - `rejected`: the collector will never accept this batch as it is.
 * - `failed`: a later attempt may succeed.
 */
export type SendResult =
  | { readonly type: 'accepted' }
  | { readonly type: 'rejected'; readonly reason: string }
  | { readonly type: 'failed'; readonly reason: string };

export interface UsageSender {
  /** Sends a batch, within `SEND_TIMEOUT_MS`. Never rejects. */
  send(records: readonly ExportedUsage[], signal: AbortSignal): Promise<SendResult>;
}

export const SEND_TIMEOUT_MS = 10_000;

/** Statuses that blame the batch; others blame the address, the credential or the moment. */
const rejections: ReadonlySet<number> = new Set([400, 413, 415, 422]);

/** Returns what an HTTP status other than 2xx means. */
export function resultOf(status: number): SendResult {
  const reason = `the collector answered ${status}`;
  return rejections.has(status) ? { type: 'rejected', reason } : { type: 'failed', reason };
}
