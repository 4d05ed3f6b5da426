/** The character classes of the split patterns, as bits. */
export const OTHER = 1;
/** Lu, Lt */
export const UPPER = 2;
/** Ll */
export const LOWER = 4;
/** Lm, Lo */
export const LETTER = 8;
/** M */
export const MARK = 16;
/** N */
export const NUMBER = 32;
/** White space except newlines */
export const SPACE = 64;
/** CR, LF */
export const NEWLINE = 128;

/**
 * Classes by code point; 0: not looked up yet. The operating system never allocates pages that no
 * text needs.
 */
const classes = new Uint8Array(0x110000);

export function classOf(codePoint: number): number {
  const known = classes[codePoint]!;
  if (known !== 0) {
    return known;
  }
  const found = classify(String.fromCodePoint(codePoint));
  classes[codePoint] = found;
  return found;
}

/** Classes of one-byte characters. */
export const ASCII_CLASSES = Uint8Array.from({ length: 128 }, (_, code) => classOf(code));

function classify(character: string): number {
  if (character === '\r' || character === '\n') {
    return NEWLINE;
  }
  if (/\p{L}/u.test(character)) {
    if (/[\p{Lu}\p{Lt}]/u.test(character)) {
      return UPPER;
    }
    return /\p{Ll}/u.test(character) ? LOWER : LETTER;
  }
  if (/\p{M}/u.test(character)) {
    return MARK;
  }
  if (/\p{N}/u.test(character)) {
    return NUMBER;
  }
  // Not `\s`: JavaScript counts U+FEFF as white space but not U+0085. The reference tokenizers
  // follow Unicode.
  return /\p{White_Space}/u.test(character) ? SPACE : OTHER;
}
