/** Credentials: keys of providers and clouds, tokens, private keys, passwords in URLs. */
import { codeTable, isAlpha, isAlphanumeric, isDigit } from '../characters.ts';
import { END, type FoldedText } from '../folded-text.ts';
import type { Match, Recognizer } from '../recognizer.ts';
import { hasWordBefore } from './context.ts';

interface KeyFormat {
  /** What keys begin with; the last character is the anchor. */
  readonly prefix: string;
  /** The characters that follow, and how many. */
  readonly characters: RegExp;
  readonly least: number;
  readonly most: number;
}

const WORD = /[\w-]/;
const ALPHANUMERIC = /[a-z\d]/i;

/** The documented prefixes of keys. The anchors are characters that are rare in prose. */
const formats: readonly KeyFormat[] = [
  { prefix: 'sk-', characters: WORD, least: 20, most: 250 }, // OpenAI, Anthropic, DeepSeek, OpenRouter
  { prefix: 'gsk_', characters: ALPHANUMERIC, least: 30, most: 80 }, // Groq
  { prefix: 'xai-', characters: ALPHANUMERIC, least: 40, most: 120 },
  { prefix: 'hf_', characters: ALPHANUMERIC, least: 30, most: 60 }, // Hugging Face
  { prefix: 'AIz', characters: WORD, least: 36, most: 36 }, // Google: `AIza` and 35 more
  { prefix: 'AK', characters: /[A-Z\d]/, least: 18, most: 18 }, // AWS: `AKIA` and 16 more
  { prefix: 'ASIA', characters: /[A-Z\d]/, least: 16, most: 16 },
  { prefix: 'ghp_', characters: ALPHANUMERIC, least: 36, most: 255 }, // GitHub
  { prefix: 'gho_', characters: ALPHANUMERIC, least: 36, most: 255 },
  { prefix: 'ghu_', characters: ALPHANUMERIC, least: 36, most: 255 },
  { prefix: 'ghs_', characters: ALPHANUMERIC, least: 36, most: 255 },
  { prefix: 'ghr_', characters: ALPHANUMERIC, least: 36, most: 255 },
  { prefix: 'github_pat_', characters: /\w/, least: 60, most: 255 },
  { prefix: 'glpat-', characters: WORD, least: 20, most: 60 }, // GitLab
  { prefix: 'npm_', characters: ALPHANUMERIC, least: 36, most: 36 },
  { prefix: 'pypi-', characters: WORD, least: 80, most: 250 },
  { prefix: 'xoxb-', characters: WORD, least: 20, most: 250 }, // Slack
  { prefix: 'xoxp-', characters: WORD, least: 20, most: 250 },
  { prefix: 'xoxa-', characters: WORD, least: 20, most: 250 },
  { prefix: 'xapp-', characters: WORD, least: 20, most: 250 },
  { prefix: 'sk_live_', characters: ALPHANUMERIC, least: 16, most: 120 }, // Stripe
  { prefix: 'sk_test_', characters: ALPHANUMERIC, least: 16, most: 120 },
  { prefix: 'rk_live_', characters: ALPHANUMERIC, least: 16, most: 120 },
  { prefix: 'whsec_', characters: /[a-z\d+/=]/i, least: 24, most: 120 },
  { prefix: 'SG.', characters: /[\w.-]/, least: 60, most: 70 }, // SendGrid
  { prefix: 'tg_', characters: ALPHANUMERIC, least: 32, most: 120 },
];

const longestPrefix = Math.max(...formats.map(({ prefix }) => prefix.length));
const anchors = [...new Set(formats.map(({ prefix }) => prefix.at(-1)!))].join('');
/** The formats by the code of their anchor. */
const formatsAt: readonly (readonly KeyFormat[])[] = Array.from({ length: 128 }, (_, code) =>
  formats.filter(({ prefix }) => prefix.endsWith(String.fromCharCode(code))),
);
const tables = new Map(formats.map((format) => [format, codeTable(format.characters)]));

const providerKey: Recognizer = {
  type: 'Secret',
  anchors,
  reach: longestPrefix - 1,
  recognize(text, anchor, match) {
    match.start = anchor;
    for (const format of formatsAt[text.codes[anchor]!]!) {
      if (endsWith(text, anchor + 1, format.prefix)) {
        const start = anchor + 1 - format.prefix.length;
        if (!isAlphanumeric(text.at(start - 1))) {
          match.start = start;
          match.score = 0.95;
          return readKey(text, anchor + 1, format, match);
        }
      }
    }
    return false;
  },
  openTail(text) {
    const { length } = text;
    for (let start = Math.max(0, length - longestPrefix + 1); start < length; start += 1) {
      if (!isAlphanumeric(text.at(start - 1)) && formats.some(({ prefix }) => beginsTail(text, start, prefix))) {
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

function readKey(text: FoldedText, start: number, format: KeyFormat, match: Match): boolean {
  const table = tables.get(format)!;
  let index = start;
  let digits = 0;
  let code = text.at(index);
  while (table[code] === 1 && index - start < format.most) {
    digits += isDigit(code) ? 1 : 0;
    index += 1;
    code = text.at(index);
  }
  match.end = index;
  return index - start >= format.least && digits > 0 && table[code] !== 1;
}

const MAX_TOKEN = 4096;
const base64Url = codeTable(WORD);

/** JSON Web Tokens: three parts, of which the first begins with `{"`. */
const jsonWebToken: Recognizer = {
  type: 'Secret',
  anchors: 'J',
  reach: 2,
  recognize(text, anchor, match) {
    match.start = anchor;
    if (!endsWith(text, anchor + 1, 'eyJ') || isAlphanumeric(text.at(anchor - 3))) {
      return false;
    }
    match.start = anchor - 2;
    match.score = 1;
    let index = anchor + 1;
    for (let part = 0; part < 3; part += 1) {
      const start = index;
      while (base64Url[text.at(index)] === 1 && index - match.start < MAX_TOKEN) {
        index += 1;
      }
      if (index - start < (part < 2 ? 8 : 1)) {
        return false;
      }
      if (part < 2 && text.at(index) !== 0x2e) {
        return false;
      }
      index += part < 2 ? 1 : 0;
    }
    match.end = index;
    return true;
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
const SECRET_NAME = /secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential/;
const KEY_WORDS = ['api key', 'access key', 'secret key'];
const SHORTEST_WORD = 3;

const opening = codeTable(/["'`\s]/);
const secretCharacters = codeTable(/[\w+/=.~!@#$%^&*-]/);
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
    values += 1;
    // Only padding follows an equals sign, so that no value is read once for each sign in it.
    while (secretCharacters[code] === 1 && index - start < MAX_SECRET && (!isPadding || code === 0x3d)) {
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
  return end - start < SHORTEST_WORD ? '' : text.latin1(start, end).toLowerCase();
}

/** All recognizers of type Secret. */
export const secretRecognizers: readonly Recognizer[] = [
  providerKey,
  jsonWebToken,
  privateKey,
  urlPassword,
  namedSecret,
];
