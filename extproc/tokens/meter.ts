/** Signatures that the session builds on; filled in here. */
import type { TextSink } from '../providers/adapter.ts';

/**
 * Counts the text of one answer while it comes. Adding is cheap (bytes are copied, nothing is tokenized); `upperBound` is always at least the true count,
 * `count()` makes it exact at the cost of tokenizing what came since the last call. Memory is bounded: long pending text is counted and let go.
 */
export interface Meter extends TextSink {
  /** An upper bound of the tokens so far: what was counted + the bytes that were not. */
  readonly upperBound: number;
  /** Exact, as far as the encoding is the model's own. Joined text of a channel is counted as one text, not delta by delta. */
  count(): number;
}

/** Counts long input in slices: `step(budgetMs)` works that long at most and says whether it is done. */
export interface SlicedCount {
  readonly tokens: number;
  step(budgetMs: number): boolean;
}
