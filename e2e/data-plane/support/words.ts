/** Text whose token count is known without a tokenizer: each word, with its space, is one token of o200k_base, alone and in a row. */

const words = [' the', ' cat', ' sat', ' on', ' a', ' mat', ' and', ' it', ' was', ' good'] as const;

const ten = words.join('');

/** `count` tokens of text that begin at token number `from` of an endless text. */
export function wordsOf(count: number, from = 0): string {
  const skipped = from % words.length;
  const before = words.slice(0, skipped).join('').length;
  const end = skipped + count;
  const after = words.slice(0, end % words.length).join('');
  return (ten.repeat(Math.floor(end / words.length)) + after).slice(before);
}

/** How many words of `wordsOf` a text holds. */
export function wordCount(text: string): number {
  return text.split(' ').length - 1;
}
