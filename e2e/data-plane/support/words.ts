/** Text whose token count is known without a tokenizer: each word, with its space, is one token of o200k_base, alone and in a row. */

const words = [' the', ' cat', ' sat', ' on', ' a', ' mat', ' and', ' it', ' was', ' good'] as const;

/** `count` tokens of text that begin at token number `from` of an endless text. */
export function wordsOf(count: number, from = 0): string {
  let text = '';
  for (let index = from; index < from + count; index += 1) text += words[index % words.length];
  return text;
}

/** How many words of `wordsOf` a text holds. */
export function wordCount(text: string): number {
  return text.split(' ').length - 1;
}
