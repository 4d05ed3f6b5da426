/** Forecasts when a budget ends. */

export interface Pace {
  readonly spent: number;
  readonly limit: number;
  /** Since when the spent amount counts; undefined: unknown. */
  readonly startMs: number | undefined;
  /** When it no longer counts; undefined: never. */
  readonly endMs: number | undefined;
}

/** The first requests of a window say little about the rest of it. */
const LEAST_SHARE_OF_WINDOW = 0.01;

/**
 * Returns when the limit is spent if spending goes on at the average rate since the start of the
 * window. Undefined: not within the window, already, or too early to tell.
 */
export function exhaustedAtMs({ spent, limit, startMs, endMs }: Pace, nowMs: number): number | undefined {
  if (startMs === undefined || endMs === undefined || spent <= 0 || spent >= limit) {
    return undefined;
  }
  const elapsedMs = nowMs - startMs;
  if (elapsedMs < LEAST_SHARE_OF_WINDOW * (endMs - startMs)) {
    return undefined;
  }
  const atMs = nowMs + ((limit - spent) * elapsedMs) / spent;
  return atMs < endMs ? Math.round(atMs) : undefined;
}
