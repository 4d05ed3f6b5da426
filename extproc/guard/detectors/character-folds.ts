/**
 * Maps characters to the ASCII characters that they look like or stand for: compatibility forms
 * (NFKC), digits of other scripts, accented letters, homoglyphs, kinds of dashes and spaces.
 */

/** Other results than an ASCII code. */
export const LETTER = 0x80;
export const OTHER = 0x81;
/** The character is invisible and is left out. */
export const DROPPED = 0x82;
/** The character becomes several: see `expansionOf`. */
export const EXPANDED = 0x83;

/** Letters of Cyrillic, Greek and Armenian that look like Latin ones, each with its look-alike. */
const HOMOGLYPHS =
  'АAВBСCЕEНHІIЈJКKМMОOРPЅSТTХXҮYаaсcеeһhіiјjоoрpԛqѕsԝwхxуyԁdӏlΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧXοoνvιiκkρpυuαaօoսuհhոnցg';

const homoglyphs = new Map<string, string>();
for (let index = 0; index < HOMOGLYPHS.length; index += 2) {
  homoglyphs.set(HOMOGLYPHS[index]!, HOMOGLYPHS[index + 1]!);
}

/** Characters that are blank or invisible in spite of their category. */
const blanks = new Map([
  ['\u115f', DROPPED],
  ['\u1160', DROPPED],
  ['\u3164', DROPPED],
  ['\uffa0', DROPPED],
  ['\u2800', 0x20],
  ['\u2028', 0x0a],
  ['\u2029', 0x0a],
  ['\u0085', 0x0a],
]);

/** Signs that NFKC leaves or expands, with the ASCII sign that people write instead. */
const signs = new Map([
  ['…', '.'],
  ['。', '.'],
  ['·', '.'],
  ['−', '-'],
  ['⁃', '-'],
  ['ー', '-'],
  ['⁄', '/'],
  ['∕', '/'],
  ['∶', ':'],
  ['꞉', ':'],
]);

const pages: (Uint8Array | undefined)[] = [];

/** Returns what a UTF-16 unit folds to: an ASCII code or one of the constants above. */
export function foldOf(unit: number): number {
  pages[unit >> 8] ??= newPage(unit >> 8);
  return pages[unit >> 8]![unit & 0xff]!;
}

/** Returns the ASCII codes that an EXPANDED unit stands for, such as `fi` for its ligature. */
export function expansionOf(unit: number): string {
  return String.fromCharCode(unit).normalize('NFKC');
}

/** Returns what a character outside the BMP folds to. */
export function foldOfAstral(codePoint: number): number {
  if (codePoint >= 0xe0000 && codePoint < 0xe0200) {
    return DROPPED;
  }
  if (codePoint >= 0x1f1e6 && codePoint <= 0x1f1ff) {
    return codePoint - 0x1f1e6 + 0x41;
  }
  if ((codePoint >= 0x1d400 && codePoint < 0x1d800) || (codePoint >= 0x1f100 && codePoint < 0x1fc00)) {
    const folded = fold(String.fromCodePoint(codePoint));
    return folded === EXPANDED ? OTHER : folded;
  }
  return codePoint >= 0x20000 && codePoint < 0x40000 ? LETTER : OTHER;
}

function newPage(high: number): Uint8Array {
  const page = new Uint8Array(256);
  for (let low = 0; low < 256; low += 1) {
    page[low] = fold(String.fromCharCode((high << 8) | low));
  }
  return page;
}

function fold(character: string): number {
  if (isAscii(character)) {
    return character.charCodeAt(0);
  }
  const blank = blanks.get(character);
  if (blank !== undefined) {
    return blank;
  }
  const sign = signs.get(character) ?? homoglyphs.get(character);
  if (sign !== undefined) {
    return sign.charCodeAt(0);
  }
  if (/^[\p{Cf}\p{Mn}\p{Me}]$/u.test(character)) {
    return DROPPED;
  }
  if (/^\p{Z}$/u.test(character)) {
    return 0x20;
  }
  if (/^\p{Pd}$/u.test(character)) {
    return 0x2d;
  }
  return foldLetter(character);
}

function foldLetter(character: string): number {
  const compatible = character.normalize('NFKC');
  if (isAscii(compatible)) {
    return compatible.length === 1 ? compatible.charCodeAt(0) : EXPANDED;
  }
  if (/^\p{Nd}$/u.test(character)) {
    return 0x30 + digitValue(character);
  }
  const base = character.normalize('NFKD')[0]!;
  if (/^[A-Za-z]$/.test(base)) {
    return base.charCodeAt(0);
  }
  return homoglyphs.get(compatible)?.charCodeAt(0) ?? (/^\p{L}$/u.test(character) ? LETTER : OTHER);
}

/** Returns the value of a decimal digit. The digits of a script are ten consecutive characters. */
function digitValue(digit: string): number {
  const codePoint = digit.codePointAt(0)!;
  let zero = codePoint;
  while (/^\p{Nd}$/u.test(String.fromCodePoint(zero - 1))) {
    zero -= 1;
  }
  return (codePoint - zero) % 10;
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) > 0x7f) {
      return false;
    }
  }
  return text.length > 0;
}
