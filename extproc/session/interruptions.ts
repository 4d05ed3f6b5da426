/**
 * Interruptions that Envoy reported in its access log, kept until the ext_proc stream of their
 * exchange ends.
 */
import type { Interruption } from '../interruption.ts';

/** The stream's end comes in the same read of the socket or in the next one. */
const KEPT_MS = 1_000;
/**
 * A provider may reset thousands of streams at once; beyond it the oldest entry is dropped, and its
 * exchange counts as abandoned.
 */
const MAX_KEPT = 4_096;

export class Interruptions {
  readonly #now: () => number;
  readonly #kept = new Map<string, { readonly broken: Interruption; readonly atMs: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  add(requestId: string, broken: Interruption): void {
    if (this.#kept.size >= MAX_KEPT) {
      this.#kept.delete(this.#kept.keys().next().value!);
    }
    this.#kept.set(requestId, { broken, atMs: this.#now() });
  }

  take(requestId: string | undefined): Interruption | undefined {
    if (requestId === undefined || this.#kept.size === 0) {
      return undefined;
    }
    const found = this.#kept.get(requestId);
    this.#kept.delete(requestId);
    return found !== undefined && this.#now() - found.atMs <= KEPT_MS ? found.broken : undefined;
  }
}
