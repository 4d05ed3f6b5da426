import { codeTable, isAlpha, isAlphanumeric } from '../characters.ts';
import type { FoldedText } from '../folded-text.ts';
import type { Recognizer } from '../recognizer.ts';

/** Limits of RFC 5321, in characters. */
const MAX_LOCAL_PART = 64;
const MAX_DOMAIN = 255;

const localPart = codeTable(/[\w.%+'-]/);
const domain = codeTable(/[a-z\d.-]/i);

/** Endings of file names such as `icon@2x.png` that are no top-level domains. */
const fileExtensions = new Set([
  'png',
  'jpg',
  'jpeg',
  'gif',
  'svg',
  'webp',
  'css',
  'scss',
  'js',
  'jsx',
  'ts',
  'tsx',
  'json',
]);

/** Addresses with a domain of at least two labels, the last of letters. */
export const email: Recognizer = {
  type: 'Email',
  anchors: '@',
  canFollow: (before) => localPart[before] === 1 && before !== 0x2e,
  reach: MAX_LOCAL_PART,

  recognize(text, anchor, match) {
    match.start = startOfLocalPart(text, anchor);
    if (match.start === anchor || text.codes[anchor - 1] === 0x2e) {
      return false;
    }
    const end = endOfDomain(text, anchor + 1);
    match.end = end;
    match.score = 0.95;
    return end > 0 && !isGitUser(text, match.start, anchor) && !isPassword(text, match.start);
  },

  openTail(text) {
    return startOfLocalPart(text, text.length);
  },
};

function startOfLocalPart(text: FoldedText, end: number): number {
  const { codes } = text;
  const limit = Math.max(0, end - MAX_LOCAL_PART);
  let start = end;
  while (start > limit && localPart[codes[start - 1]!] === 1) {
    start -= 1;
  }
  // Punctuation before an address is not part of it.
  while (start < end && !isAlphanumeric(codes[start]!) && codes[start] !== 0x5f) {
    start += 1;
  }
  return start;
}

/** Returns the end of the longest domain at `start`; 0 if there is none. */
function endOfDomain(text: FoldedText, start: number): number {
  let end = 0;
  let label = start;
  let letters = true;
  let index = start;
  for (; index <= start + MAX_DOMAIN; index += 1) {
    const code = text.at(index);
    if (domain[code] === 1 && code !== 0x2e) {
      letters &&= isAlpha(code);
      continue;
    }
    if (label > start && letters && index - label >= 2 && !isFileExtension(text, label, index)) {
      end = index;
    }
    if (code !== 0x2e || index === label) {
      break;
    }
    label = index + 1;
    letters = true;
  }
  return end;
}

function isFileExtension(text: FoldedText, start: number, end: number): boolean {
  return end - start <= 4 && fileExtensions.has(String.fromCharCode(...text.codes.subarray(start, end)).toLowerCase());
}

/** Returns whether the address is `git@…`, the user of every repository's URL. */
function isGitUser(text: FoldedText, start: number, anchor: number): boolean {
  const { codes } = text;
  return anchor - start === 3 && codes[start] === 0x67 && codes[start + 1] === 0x69 && codes[start + 2] === 0x74;
}

/** Returns whether a password of a URL begins at `start`: `://USER:PASSWORD@HOST`. */
function isPassword(text: FoldedText, start: number): boolean {
  const { codes } = text;
  if (codes[start - 1] !== 0x3a) {
    return false;
  }
  let index = start - 2;
  while (index >= start - MAX_LOCAL_PART && localPart[codes[index]!] === 1) {
    index -= 1;
  }
  return codes[index] === 0x2f && codes[index - 1] === 0x2f;
}
