/** Text of others without anything that a terminal would interpret. */

/** More marks on one letter would cover the lines above and below. */
const STACKED_MARKS = /(\p{M}{3})\p{M}+/gu;
/** Controls, directions of text, characters that cannot be seen, and halves of pairs. */
const INTERPRETED = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;
export const INTERPRETED_IN_LINES = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;
const ASCII = /^[ -~]*$/;
const ASCII_LINES = /^[ -~\n]*$/;

/** Returns the text with escapes in place of what a terminal would interpret. */
export function printable(text: string): string {
  return ASCII.test(text) ? text : text.replace(STACKED_MARKS, '$1').replace(INTERPRETED, escaped);
}

/** Returns a text of several lines with escapes in place of what a terminal would interpret. */
export function printableLines(text: string): string {
  return ASCII_LINES.test(text) ? text : text.replace(STACKED_MARKS, '$1').replace(INTERPRETED_IN_LINES, escaped);
}

/** Returns JSON with the same value and without anything that a terminal would interpret. */
export function printableJson(value: unknown, indent = 0): string {
  const json = JSON.stringify(value, undefined, indent);
  return ASCII_LINES.test(json) ? json : json.replace(INTERPRETED_IN_LINES, escaped);
}

/** Returns a line of JSON for each value. */
export function printableJsonLines(values: readonly unknown[]): string {
  return values.map((value) => `${printableJson(value)}\n`).join('');
}

function escaped(character: string): string {
  let text = '';
  for (let at = 0; at < character.length; at++) {
    text += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return text;
}
