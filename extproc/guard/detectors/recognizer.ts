import type { FoldedText } from './folded-text.ts';

/** What a recognizer found, in indices of the folded text. */
export interface Match {
  start: number;
  end: number;
  score: number;
}

/** Recognizes one type of value around an anchor: a character that every such value contains. */
export interface Recognizer {
  readonly type: string;
  /** The characters to look at; `0` stands for the first digit of a number. */
  readonly anchors: string;
  /**
   * Returns whether a character is an anchor after the code `before`; absent: always. Asked when a
   * detector is made, not for each text.
   */
  canFollow?(before: number, anchor: number): boolean;
  /**
   * Returns whether a match may have so many digits in a row from its anchor on, a digit; absent:
   * any number. Asked when a detector is made, for up to MAX_RUN, which stands for more.
   */
  hasRun?(digits: number): boolean;
  /** How many characters before its anchor a match may begin, at most CONTEXT_LENGTH. */
  readonly reach: number;
  /** How many characters after its anchor a match may begin; absent: none. */
  readonly lead?: number;
  /**
   * Returns whether a match lies around the anchor, and sets it. Sets `match.start` before it reads
   * on: if it then meets the end of the text, the text stays open from there.
   */
  recognize(text: FoldedText, anchor: number, match: Match): boolean;
  /** Returns where a match can begin whose anchor comes after the end; `text.length` if nowhere. */
  openTail?(text: FoldedText): number;
}

/** Longer than a row of digits that a recognizer tells from longer ones. */
export const MAX_RUN = 20;
