/**
 * An access record: one JSON line per request on stdout. Its field names are public API and are
 * listed here once.
 */

export interface AccessRecord {
  readonly route: string | undefined;
  readonly model: string | undefined;
  readonly status: number | undefined;
  readonly inputTokens: number | undefined;
  readonly outputTokens: number | undefined;
  readonly source: 'provider' | 'estimated' | 'mixed' | undefined;
  readonly decision: string | undefined;
  readonly shadowRefused: readonly string[];
  readonly keys: readonly string[];
  readonly overdrafts: readonly { readonly quota: string; readonly tokens: number; readonly cause: string }[];
  readonly startedAtMs: number;
  readonly line: string;
}

/** Returns undefined if the line is no access record. */
export function accessRecord(line: string): AccessRecord | undefined {
  if (!line.startsWith('{"time":') || !line.includes('"decision":')) {
    return undefined;
  }
  const fields = JSON.parse(line);
  return {
    route: fields.route,
    model: fields.model,
    status: fields.status,
    inputTokens: fields.tokens?.input,
    outputTokens: fields.tokens?.output,
    source: fields.source,
    decision: fields.decision,
    shadowRefused: fields.shadowRefused ?? [],
    keys: Object.values(fields.tenant ?? {}),
    overdrafts: fields.overdrafts ?? [],
    startedAtMs: Date.parse(fields.time) - fields.durationMs,
    line,
  };
}
