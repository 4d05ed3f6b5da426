/** Credentials: keys of providers and clouds, tokens, private keys, passwords in URLs. */
import { codeTable, isAlpha, isAlphanumeric, isDigit } from '../characters.ts';
import { END, type FoldedText } from '../folded-text.ts';
import type { Match, Recognizer } from '../recognizer.ts';
import { hasWordBefore } from './context.ts';
import { type KeyFormat, keyFormats } from './key-formats.ts';
import { markedKey } from './marked-keys.ts';

interface KnownKey extends KeyFormat {
  readonly table: Uint8Array;
  /** The anchor's index in the prefix. */
  readonly anchorAt: number;
}

/** Characters of prose and code, the most frequent first; others are rare. */
const FREQUENT = 'etaoinsrhldcumfpgwyb.vkxjqz';

function frequency(character: string): number {
  return FREQUENT.includes(character) ? FREQUENT.length + 1 - FREQUENT.indexOf(character) : 1;
}

/** Returns the index of the second of two neighbours in a prefix that are rare in texts. */
function rarestPair(prefix: string): number {
  // A digit is an anchor only where a number begins.
  const cost = (index: number) =>
    /\d\d/.test(prefix.slice(index - 1, index + 1))
      ? Number.POSITIVE_INFINITY
      : frequency(prefix[index - 1]!) * frequency(prefix[index]!) ** 2;
  let best = prefix.length - 1;
  for (let index = best - 1; index > 0; index -= 1) {
    best = cost(index) < cost(best) ? index : best;
  }
  return best;
}

function pairOf(before: number, anchor: number): number {
  return (before << 8) | anchor;
}

/** The formats by the pair of their anchor; of those, the longer prefixes first. */
const formatsAt: (readonly KnownKey[] | undefined)[] = [];
for (const format of keyFormats.toSorted((a, b) => b.prefix.length - a.prefix.length)) {
  const anchorAt = rarestPair(format.prefix);
  const pair = pairOf(format.prefix.charCodeAt(anchorAt - 1), format.prefix.charCodeAt(anchorAt));
  formatsAt[pair] = [...(formatsAt[pair] ?? []), { ...format, table: codeTable(format.characters), anchorAt }];
}
const anchors = keyFormats.map(({ prefix }) => prefix[rarestPair(prefix)]!);
/** Beginnings of prefixes, with which a text may end. */
const beginnings = new Set(keyFormats.flatMap(({ prefix }) => [...prefix].map((_, end) => prefix.slice(0, end))));
const longestPrefix = Math.max(...keyFormats.map(({ prefix }) => prefix.length));

const knownKey: Recognizer = {
  type: 'Secret',
  anchors: [...new Set(anchors)].join('').replaceAll(/\d/g, '0'),
  canFollow: (before, anchor) => formatsAt[pairOf(before, anchor)] !== undefined,
  reach: longestPrefix - 1,
  recognize(text, anchor, match) {
    match.start = anchor;
    for (const format of formatsAt[pairOf(text.at(anchor - 1), text.codes[anchor]!)] ?? []) {
      const start = anchor - format.anchorAt;
      const end = start + format.prefix.length;
      if (text.has(end - 1) && endsWith(text, end, format.prefix) && !isAlphanumeric(text.at(start - 1))) {
        match.start = start;
        match.score = 0.95;
        if (readKey(text, end, format, match)) {
          return true;
        }
      }
    }
    return false;
  },
  openTail(text) {
    const { length } = text;
    for (let start = Math.max(0, length - longestPrefix + 1); start < length; start += 1) {
      if (!isAlphanumeric(text.at(start - 1)) && beginnings.has(text.latin1(start, length))) {
        return start;
      }
    }
    return length;
  },
};

function endsWith(text: FoldedText, end: number, word: string): boolean {
  const start = end - word.length;
  for (let index = word.length - 1; index >= 0; index -= 1) {
    if (start < 0 || text.codes[start + index] !== word.charCodeAt(index)) {
      return false;
    }
  }
  return true;
}

/** Returns whether the rest of the text is the beginning of a word. */
function beginsTail(text: FoldedText, start: number, word: string): boolean {
  return text.length - start < word.length && endsWith(text, text.length, word.slice(0, text.length - start));
}

/** From this length on, no word and no name looks like a key. */
const UNMISTAKABLE = 32;

function readKey(text: FoldedText, start: number, format: KnownKey, match: Match): boolean {
  const { table, least, most } = format;
  let index = start;
  let digits = 0;
  let code = text.at(index);
  while (table[code] === 1 && index - start < most) {
    digits += isDigit(code) ? 1 : 0;
    index += 1;
    code = text.at(index);
  }
  const isWhole = table[code] !== 1;
  // A sentence may end after a key.
  while (index > start && text.codes[index - 1] === 0x2e) {
    index -= 1;
  }
  match.end = index;
  const needsDigit = least < UNMISTAKABLE && most > least + 1;
  return isWhole && index - start >= least && (digits > 0 || !needsDigit);
}

const MAX_TOKEN = 4096;
const base64Url = codeTable(/[\w-]/);

/** Signed tokens have three parts, encrypted ones five. */
const MAX_PARTS = 5;
const MIN_PART = 8;

/** JSON Web Tokens, whose first part begins with `{"`. */
const jsonWebToken: Recognizer = {
  type: 'Secret',
  anchors: 'J',
  canFollow: (before) => before === 0x79,
  reach: 2,
  recognize(text, anchor, match) {
    match.start = anchor;
    if (!endsWith(text, anchor + 1, 'eyJ') || isAlphanumeric(text.at(anchor - 3))) {
      return false;
    }
    match.start = anchor - 2;
    match.score = 1;
    let index = anchor + 1;
    let parts = 0;
    while (parts < MAX_PARTS) {
      const start = index;
      while (base64Url[text.at(index)] === 1 && index - match.start < MAX_TOKEN) {
        index += 1;
        // Another token begins, and this one need not be read once more with it.
        if (index > start + 3 && endsWith(text, index, 'eyJ') && !isAlphanumeric(text.at(index - 4))) {
          return false;
        }
      }
      // The key of a token that is encrypted directly is empty.
      if (parts === 0 ? index - start < MIN_PART : index === start && parts !== 1) {
        break;
      }
      parts += 1;
      match.end = index;
      if (text.at(index) !== 0x2e) {
        break;
      }
      index += 1;
    }
    return parts >= 3;
  },
  openTail(text) {
    for (let start = Math.max(0, text.length - 2); start < text.length; start += 1) {
      if (!isAlphanumeric(text.at(start - 1)) && beginsTail(text, start, 'eyJ')) {
        return start;
      }
    }
    return text.length;
  },
};

const PEM_BEGIN = '-----BEGIN';
/** RSA keys of 4096 bits have 3.3 KB; a longer block counts up to here. */
const MAX_PEM = 8192;
const pemLabel = codeTable(/[A-Z\d -]/);
const pemBody = codeTable(/[a-z\d+/=\s:,-]/i);

/** Private keys in PEM (RFC 7468), whole or cut off. */
const privateKey: Recognizer = {
  type: 'Secret',
  anchors: 'N',
  canFollow: (before) => before === 0x49,
  reach: PEM_BEGIN.length - 1,
  recognize(text, anchor, match) {
    match.start = anchor;
    if (!endsWith(text, anchor + 1, PEM_BEGIN)) {
      return false;
    }
    match.start = anchor + 1 - PEM_BEGIN.length;
    let label = '';
    let index = anchor + 1;
    while (pemLabel[text.at(index)] === 1 && !label.endsWith('-----') && label.length < 64) {
      label += String.fromCharCode(text.at(index));
      index += 1;
    }
    if (!/ PRIVATE KEY( BLOCK)?-----$/.test(label)) {
      return false;
    }
    const end = `-----END${label}`;
    while (index - match.start < MAX_PEM && pemBody[text.at(index)] === 1) {
      index += 1;
      if (endsWith(text, index, end)) {
        break;
      }
      // Another key begins: no part of a text is read once for each beginning before it.
      if (endsWith(text, index, PEM_BEGIN)) {
        index -= PEM_BEGIN.length;
        break;
      }
    }
    match.end = index;
    match.score = 1;
    return true;
  },
  openTail(text) {
    for (let start = Math.max(0, text.length - PEM_BEGIN.length + 1); start < text.length; start += 1) {
      if (beginsTail(text, start, PEM_BEGIN)) {
        return start;
      }
    }
    return text.length;
  },
};

const MAX_USER_INFO = 128;
const MIN_SECRET = 8;
const MAX_SECRET = 128;
/** The scheme may be followed by no user, as in `redis://:password@host`. */
const userInfo = codeTable(/[^\s/"'`<>@]/);

/** The passwords of URLs such as `postgres://user:password@host`. */
const urlPassword: Recognizer = {
  type: 'Secret',
  anchors: '@',
  canFollow: (before) => userInfo[before] === 1,
  reach: MAX_USER_INFO,
  recognize(text, anchor, match) {
    match.start = anchor;
    const start = passwordStart(text, anchor);
    if (start < 0 || start === anchor) {
      return false;
    }
    match.start = start;
    match.end = anchor;
    match.score = 0.9;
    return isAlphanumeric(text.at(anchor + 1)) || text.at(anchor + 1) === 0x5b;
  },
  openTail(text) {
    const start = passwordStart(text, text.length);
    return start < 0 ? text.length : start;
  },
};

/** Returns where the password before `end` begins, after `://USER:`; -1 if there is none. */
function passwordStart(text: FoldedText, end: number): number {
  let colon = -1;
  const limit = Math.max(0, end - MAX_USER_INFO);
  for (let index = end - 1; index >= limit; index -= 1) {
    const code = text.codes[index]!;
    if (code === 0x2f) {
      const isAuthority = text.at(index - 1) === 0x2f && text.at(index - 2) === 0x3a;
      return isAuthority && colon > index ? colon + 1 : -1;
    }
    if (userInfo[code] !== 1) {
      return -1;
    }
    colon = code === 0x3a ? index : colon;
  }
  return -1;
}

const PASSWORD_NAME = /passw|pwd|passphrase/;
const SECRET_NAME = /secret|token|api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|credential/;
const KEY_WORDS = ['api key', 'access key', 'secret key'];
const SHORTEST_WORD = 3;

const opening = codeTable(/["'`\s]/);
const secretCharacters = codeTable(/[\w+/=.~!@#$%^&*-]/);
const passwordCharacters = codeTable(/[\w+/=.~!@#$%^&*()-]/);
const identifier = codeTable(/[\w.$]/);
/** What stands before the parenthesis of a call has at least this many characters. */
const MIN_FUNCTION = 3;
const nameCharacters = codeTable(/[\w.-]/);
const endOfValue = codeTable(/[\s"'`,;\]}<|]/);
/** How much of the name of the value is looked at. */
const MAX_NAME = 24;

/** The last value that each character was in, to count the different characters of a value. */
const seenIn = new Float64Array(256);
let values = 0;

/** How far after the sign a value may begin, as in `": "`. */
const MAX_OPENING = 4;

/** A value with digits and letters after a name such as `password:` or `api_key=`. */
const namedSecret: Recognizer = {
  type: 'Secret',
  anchors: '=:',
  canFollow: (before) => opening[before] === 1 || nameCharacters[before] === 1,
  reach: 0,
  lead: MAX_OPENING,
  recognize(text, anchor, match) {
    match.start = anchor;
    const name = nameBefore(text, anchor);
    if (name === '') {
      return false;
    }
    const isPassword = PASSWORD_NAME.test(name);
    if (!isPassword && !SECRET_NAME.test(name) && !(name === 'key' && hasWordBefore(text, anchor, KEY_WORDS))) {
      return false;
    }
    let index = anchor + 1;
    while (index < anchor + MAX_OPENING && opening[text.at(index)] === 1) {
      index += 1;
    }
    match.start = index;
    const start = index;
    let different = 0;
    let digits = 0;
    let letters = 0;
    let code = text.at(index);
    let isPadding = false;
    let isIdentifier = !isDigit(text.at(index));
    const characters = isPassword ? passwordCharacters : secretCharacters;
    values += 1;
    // Only padding follows an equals sign, so that no value is read once for each sign in it.
    while (characters[code] === 1 && index - start < MAX_SECRET && (!isPadding || code === 0x3d)) {
      if (code === 0x28 && isIdentifier && index - start >= MIN_FUNCTION) {
        return false;
      }
      isIdentifier &&= identifier[code] === 1;
      digits += isDigit(code) ? 1 : 0;
      letters += isAlpha(code) ? 1 : 0;
      different += seenIn[code] === values ? 0 : 1;
      seenIn[code] = values;
      isPadding = code === 0x3d;
      index += 1;
      code = text.at(index);
    }
    match.end = index;
    match.score = 0.75;
    const isLong = index - start >= (isPassword ? MIN_SECRET : 2 * MIN_SECRET);
    const isVaried = digits > 0 && letters > 0 && different >= (isPassword ? 5 : 10);
    return isLong && isVaried && (code === END || endOfValue[code] === 1);
  },
};

/** Two letters of which one pair is in every name of a password or secret. */
const PAIRS = ['ss', 'wd', 'cr', 'ke'].map((pair) => (pair.charCodeAt(0) << 8) | pair.charCodeAt(1));
const [SS, WD, CR, KE] = PAIRS;

/** Returns whether a name may be one of a secret; most names are none, and are not read further. */
function maySayMore(text: FoldedText, start: number, end: number): boolean {
  let pair = 0;
  for (let index = start; index < end; index += 1) {
    pair = ((pair & 0xff) << 8) | (text.codes[index]! | 0x20);
    if (pair === SS || pair === WD || pair === CR || pair === KE) {
      return true;
    }
  }
  return false;
}

/** Returns the name before a sign, in lower case; empty: there is none. */
function nameBefore(text: FoldedText, anchor: number): string {
  let end = anchor;
  while (end > anchor - 3 && opening[text.at(end - 1)] === 1) {
    end -= 1;
  }
  let start = end;
  while (end - start < MAX_NAME && nameCharacters[text.at(start - 1)] === 1) {
    start -= 1;
  }
  return end - start < SHORTEST_WORD || !maySayMore(text, start, end) ? '' : text.latin1(start, end).toLowerCase();
}

/** All recognizers of type Secret. */
export const secretRecognizers: readonly Recognizer[] = [
  knownKey,
  markedKey,
  jsonWebToken,
  privateKey,
  urlPassword,
  namedSecret,
];
