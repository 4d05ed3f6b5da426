/** A value that a detector found; the offsets count UTF-16 units of the text. */
export interface Finding {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  /** How sure the detector is, from 0 to 1. */
  readonly score: number;
}

/**
 * Finds values in text: synchronous, pure, in linear time, and with a bounded longest match. A
 * stream keeps CONTEXT_LENGTH units before its window, calls `openFrom`, and then `find` up to
 * that index: this yields the findings of the whole text, however the text is split.
 */
export interface Detector {
  /**
   * Adds the matches that begin in [from, to), sorted by start. The text before `from` is context
   * (word boundaries, context words); the text after `to` may be part of a match. Callers leave out
   * a match that lies inside a match of an earlier call.
   */
  find(text: string, from: number, to: number, out: Finding[]): void;
  /**
   * Returns the smallest index from which a match could still grow (or begin) if more text
   * followed; text.length if none.
   */
  openFrom(text: string): number;
}

/** The text before `from` that a detector looks at, in UTF-16 units: callers keep this much. */
export const CONTEXT_LENGTH = 256;
