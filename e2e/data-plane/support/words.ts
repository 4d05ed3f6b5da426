/**
 * Text with a known token count: each word, with its space, is one token of o200k_base, alone and
 * in sequence.
 */

const words = [' the', ' cat', ' sat', ' on', ' a', ' mat', ' and', ' it', ' was', ' good'] as const;

const ten = words.join('');

/** Returns `count` tokens of an endless text from token `from` on. */
export function wordsOf(count: number, from = 0): string {
  const skipped = from % words.length;
  const before = words.slice(0, skipped).join('').length;
  const end = skipped + count;
  const after = words.slice(0, end % words.length).join('');
  return (ten.repeat(Math.floor(end / words.length)) + after).slice(before);
}

/** Returns the number of `wordsOf` words in a text. */
export function wordCount(text: string): number {
  return text.split(' ').length - 1;
}
