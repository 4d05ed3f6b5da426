import { isAlphanumeric } from '../characters.ts';
import { CONTEXT_LENGTH } from '../detector.ts';
import type { FoldedText } from '../folded-text.ts';

/** How far before a value a word may be that says what the value is, in characters. */
const REACH = CONTEXT_LENGTH / 4;

/**
 * Returns whether one of the words (lower case) stands shortly before `start`. A value with a weak
 * check digit counts only then.
 */
export function hasWordBefore(text: FoldedText, start: number, words: readonly string[]): boolean {
  const context = text.latin1(Math.max(0, start - REACH), start).toLowerCase();
  return words.some((word) => containsWord(context, word));
}

function containsWord(context: string, word: string): boolean {
  for (let at = context.indexOf(word); at >= 0; at = context.indexOf(word, at + 1)) {
    if (at === 0 || !isAlphanumeric(context.charCodeAt(at - 1))) {
      return true;
    }
  }
  return false;
}
