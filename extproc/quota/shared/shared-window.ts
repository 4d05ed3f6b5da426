/** The names by which all replicas know a window and those around it. */
import type { PolicyRevision } from '../../../contract/policy-version.ts';
import type { WindowState } from '../bucket.ts';
import type { WindowBounds } from '../window.ts';
import type { WindowNeighbors } from './allowance.ts';
import { KEPT_AFTER_END_MS, MAX_AHEAD_MS, type SharedWindow } from './allowances.ts';

/** The store knows two windows at once that are less than this apart. */
const KNOWN_TOGETHER_MS = KEPT_AFTER_END_MS + MAX_AHEAD_MS;

/** Returns the name and the limit of a window, as all replicas know it. */
export function sharedWindow(window: WindowState, { epoch, counter }: PolicyRevision): SharedWindow {
  const { bucket, kind, limit, granted, returnsHolds, startMs, endMs } = window;
  const { calendar, quota } = bucket.definition;
  const slidingMs = quota.window.type === 'Sliding' ? quota.window.durationMs : 0;
  const previous = calendar?.earlier(startMs, KNOWN_TOGETHER_MS)[0];
  return {
    key: windowKey(bucket.key, kind, slidingMs > 0 ? `${slidingMs}` : boundsText(startMs, endMs)),
    bucket: bucket.key,
    type: returnsHolds ? 'concurrent' : slidingMs > 0 ? 'sliding' : 'fixed',
    limit: limit - granted,
    limitEpoch: epoch,
    limitCounter: counter,
    startMs,
    endMs,
    slidingMs,
    previousKey: previous === undefined ? '' : keyIn(window, previous),
  };
}

/** Returns the names of the windows of a bucket around one of them, by its present calendar. */
export function neighborsOf(window: WindowState): WindowNeighbors {
  const { startMs, endMs } = window;
  const { calendar } = window.bucket.definition;
  const named = (bounds: readonly WindowBounds[] | undefined) => bounds?.map((of) => keyIn(window, of)) ?? [];
  // A window that owes units may ask many times a second.
  let later: readonly string[] | undefined;
  return {
    earlierKeys: () => named(calendar?.earlier(startMs, KNOWN_TOGETHER_MS).slice(1)),
    laterKeys: () => {
      later ??= named(calendar?.later(endMs, KNOWN_TOGETHER_MS));
      return later;
    },
  };
}

function keyIn({ bucket, kind }: WindowState, { startMs, endMs }: WindowBounds): string {
  return windowKey(bucket.key, kind, boundsText(startMs, endMs));
}

function windowKey(bucket: string, kind: string, bounds: string): string {
  return `${bucket}@${kind}@${bounds}`;
}

function boundsText(startMs: number, endMs: number): string {
  return Number.isFinite(endMs) ? `${startMs}-${endMs}` : '';
}
