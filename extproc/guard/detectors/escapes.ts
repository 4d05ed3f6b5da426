/** Decodes the escapes in which a value may hide: HTML entities, backslashes, percent-encoding. */

/** An escape at an index of a text. */
export interface Escape {
  /** UTF-16 units; 0 if no escape begins here, -1 if only more text can tell. */
  width: number;
  codePoint: number;
}

const entities = new Map([
  ['commat', 0x40],
  ['period', 0x2e],
  ['colon', 0x3a],
  ['hyphen', 0x2d],
  ['dash', 0x2d],
  ['lowbar', 0x5f],
  ['plus', 0x2b],
  ['equals', 0x3d],
  ['sol', 0x2f],
  ['lpar', 0x28],
  ['rpar', 0x29],
  ['nbsp', 0x20],
  ['amp', 0x26],
]);

/** The longest entity has 11 units: `&#x0010FFFF` with its semicolon. */
const ENTITY = /&(?:#(?:x[\da-f]{1,8}|\d{1,8})|[a-z]{2,6});/iy;
const UNFINISHED_ENTITY = /&(?:#(?:x[\da-f]{0,8}|\d{0,8})|[a-z]{0,6})$/iy;
const UNFINISHED_BACKSLASH = /\\(?:u[\da-f]{0,3})?$/iy;
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const NEWLINES = 'nrt';

/** Reads the escape at `index` into `into`. The unit there is `&`, `\` or `%`. */
export function readEscape(text: string, index: number, into: Escape): void {
  into.width = 0;
  const unit = text.charCodeAt(index);
  if (unit === 0x26) {
    readEntity(text, index, into);
  } else if (unit === 0x5c) {
    readBackslash(text, index, into);
  } else {
    readPercent(text, index, into);
  }
}

function readEntity(text: string, index: number, into: Escape): void {
  const next = text.charCodeAt(index + 1) | 0x20;
  if (next !== 0x23 && !(next >= 0x61 && next <= 0x7a) && index + 1 < text.length) {
    return;
  }
  ENTITY.lastIndex = index;
  const entity = ENTITY.exec(text)?.[0];
  if (entity === undefined) {
    UNFINISHED_ENTITY.lastIndex = index;
    into.width = text.length - index <= 11 && UNFINISHED_ENTITY.test(text) ? -1 : 0;
    return;
  }
  const name = entity.slice(1, -1).toLowerCase();
  const codePoint = name.startsWith('#x')
    ? Number.parseInt(name.slice(2), 16)
    : name.startsWith('#')
      ? Number(name.slice(1))
      : entities.get(name);
  if (codePoint !== undefined && codePoint <= 0x10ffff) {
    into.width = entity.length;
    into.codePoint = codePoint;
  }
}

/** Reads `\n`, `\u0040` or an escaped sign, as Markdown and JSON inside text have them. */
function readBackslash(text: string, index: number, into: Escape): void {
  const next = text[index + 1];
  if (next !== undefined && PUNCTUATION.test(next)) {
    into.width = 2;
    into.codePoint = next.charCodeAt(0);
  } else if (next !== undefined && NEWLINES.includes(next)) {
    into.width = 2;
    into.codePoint = 0x0a;
  } else if (next === 'u' && /^[\da-f]{4}$/i.test(text.slice(index + 2, index + 6))) {
    into.width = 6;
    into.codePoint = Number.parseInt(text.slice(index + 2, index + 6), 16);
  } else {
    UNFINISHED_BACKSLASH.lastIndex = index;
    into.width = text.length - index <= 5 && UNFINISHED_BACKSLASH.test(text) ? -1 : 0;
  }
}

/** Reads a percent-encoded sign or space. Letters and digits are not encoded in practice. */
function readPercent(text: string, index: number, into: Escape): void {
  const digits = text.slice(index + 1, index + 3);
  if (digits.length < 2) {
    into.width = /^[\da-f]?$/i.test(digits) ? -1 : 0;
    return;
  }
  const code = /^[2-7][\da-f]$/i.test(digits) ? Number.parseInt(digits, 16) : 0;
  if (code === 0x20 || (code !== 0 && PUNCTUATION.test(String.fromCharCode(code)))) {
    into.width = 3;
    into.codePoint = code;
  }
}
