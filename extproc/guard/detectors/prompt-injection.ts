/**
 * Finds instructions that try to take over a model, by heuristics: phrases, encoded phrases,
 * invisible characters. A finding has the score of its heuristic. They find what is known and
 * careless; a classifier behind the webhook finds more.
 */
import { codeTable, isAlphanumeric } from './characters.ts';
import type { Detector, Finding } from './detector.ts';
import { FoldedText } from './folded-text.ts';
import { injectionPhrases } from './injection-phrases.ts';
import { dropContained } from './recognizing-detector.ts';

const TYPE = 'PromptInjection';
/** No phrase is longer, in characters. */
const MAX_PHRASE = 160;
/** What is between two words of a phrase. */
const GAP = '[^a-z0-9]{1,4}';

interface Heuristic {
  readonly score: number;
  /** Sticky, over folded text in lower case, from the beginning of a word. */
  readonly phrase: RegExp;
}

/** Heuristics by the first three letters of their first words. */
const heuristicsAt = new Map<number, Heuristic[]>();
for (const { score, first, rest } of injectionPhrases) {
  const phrase = new RegExp(`(?:${first})${rest}(?![a-z0-9])`.replaceAll(' ', GAP), 'y');
  for (const key of new Set(first.split('|').flatMap(keysOf))) {
    heuristicsAt.set(key, [...(heuristicsAt.get(key) ?? []), { score, phrase }]);
  }
}
const begins = new Uint8Array(1 << 15);
for (const key of heuristicsAt.keys()) {
  begins[key] = 1;
}

/** Returns the key of three codes; case does not matter. */
function keyOf(first: number, second: number, third: number): number {
  return ((first & 0x1f) << 10) | ((second & 0x1f) << 5) | (third & 0x1f);
}

/** Returns the keys at which a word can begin: several for a word of two letters. */
function keysOf(word: string): readonly number[] {
  const [first, second, third] = [...word].map((letter) => letter.charCodeAt(0));
  return third === undefined || third === 0x20
    ? Array.from({ length: 32 }, (_, any) => keyOf(first!, second!, any))
    : [keyOf(first!, second!, third)];
}

/** Markers of a chat template, as text. */
const MARKER =
  /<\|(?:im_start|im_end|system|endoftext|start_header_id|eot_id)\|>|\[\/?inst\]|\[system\]|<<\/?sys>>|<\/?(?:system|developer)(?:[ _-]prompt)?>|#{2,4} ?(?:system|new instructions?):/y;
const MARKER_SCORE = 0.8;
const markerStart = codeTable(/[<[#]/);

const MIN_ENCODED = 20;
const MAX_ENCODED = 2048;
const encodedCharacters = codeTable(/[A-Za-z0-9+/_=-]/);
const HEX = /^(?:[0-9a-f]{2})+$/i;
const ENCODED_SCORE = 0.95;

/** Tags (U+E0000 to U+E007F) spell ASCII that nobody sees. Flags of regions have at most 6. */
const INVISIBLE = /(?:\udb40[\udc00-\udc7f]){8,64}/g;
const MAX_INVISIBLE = 128;
const INVISIBLE_SCORE = 0.9;

const folded = new FoldedText();

export class PromptInjectionDetector implements Detector {
  readonly #threshold: number;

  constructor(scoreThreshold: number) {
    this.#threshold = scoreThreshold;
  }

  find(text: string, from: number, to: number, out: Finding[]): void {
    const known = out.length;
    const base = Math.max(0, from - 1);
    // Escapes make a phrase longer than its characters.
    const window = text.slice(base, to + MAX_ENCODED + 2);
    folded.begin(window, 0);
    folded.indexOf(window.length);
    this.#findFolded(base, from, to, out);
    if (INVISIBLE_SCORE >= this.#threshold && window.includes('\udb40')) {
      findInvisible(text.slice(from, to + MAX_INVISIBLE), from, to, out);
    }
    if (out.length > known + 1) {
      dropContained(out, known);
    }
  }

  openFrom(text: string): number {
    let open = Math.max(0, text.length - MAX_ENCODED - 2);
    let start = text.length;
    while (start > open && encodedCharacters[text.charCodeAt(start - 1) & 0xff] === 1) {
      start -= 1;
    }
    open = Math.max(open, start);
    return Math.min(open, Math.max(0, text.length - MAX_PHRASE));
  }

  /** Looks at each word of the folded window, at markers and at words that may be encoded. */
  #findFolded(base: number, from: number, to: number, out: Finding[]): void {
    const { codes, length } = folded;
    const plain = folded.latin1(0, length).toLowerCase();
    const first = folded.indexOf(from - base);
    const last = folded.indexOf(to - base);
    const add = (start: number, end: number, score: number) => {
      if (score >= this.#threshold) {
        out.push({ type: TYPE, start: base + folded.startOf(start), end: base + folded.endOf(end - 1), score });
      }
    };
    let isInside = first > 0 && isAlphanumeric(codes[first - 1]!);
    let isEncoded = first > 0 && encodedCharacters[codes[first - 1]!] === 1;
    for (let index = first; index < last; index += 1) {
      const code = codes[index]!;
      if (!isInside && begins[keyOf(code, codes[index + 1]!, codes[index + 2]!)] === 1) {
        findPhrases(plain, index, keyOf(code, codes[index + 1]!, codes[index + 2]!), add);
      } else if (markerStart[code] === 1) {
        const end = endOfMatch(MARKER, plain, index);
        if (end > 0) {
          add(index, end, MARKER_SCORE);
        }
      }
      if (!isEncoded && encodedCharacters[codes[index + MIN_ENCODED - 1]!] === 1) {
        const end = endOfEncoded(index);
        if (end - index >= MIN_ENCODED && hasPhrase(folded.latin1(index, end))) {
          add(index, end, ENCODED_SCORE);
        }
      }
      isInside = isAlphanumeric(code);
      isEncoded = encodedCharacters[code] === 1;
    }
  }
}

function findPhrases(
  plain: string,
  start: number,
  key: number,
  add: (start: number, end: number, score: number) => void,
): void {
  for (const { phrase, score } of heuristicsAt.get(key) ?? []) {
    const end = endOfMatch(phrase, plain, start);
    if (end > 0 && end - start <= MAX_PHRASE) {
      add(start, end, score);
    }
  }
}

/** Returns the end of the match of a sticky pattern at `start`; 0 if there is none. */
function endOfMatch(pattern: RegExp, text: string, start: number): number {
  pattern.lastIndex = start;
  return pattern.test(text) ? pattern.lastIndex : 0;
}

function endOfEncoded(start: number): number {
  const { codes, length } = folded;
  const limit = Math.min(length, start + MAX_ENCODED);
  let end = start;
  while (end < limit && encodedCharacters[codes[end]!] === 1) {
    end += 1;
  }
  return end;
}

/** Returns whether the text is Base64 or hexadecimal of a phrase. */
function hasPhrase(encoded: string): boolean {
  const decoded = Buffer.from(encoded, HEX.test(encoded) ? 'hex' : 'base64')
    .toString('latin1')
    .toLowerCase();
  let isInside = false;
  for (let index = 0; index + 2 < decoded.length; index += 1) {
    const key = keyOf(decoded.charCodeAt(index), decoded.charCodeAt(index + 1), decoded.charCodeAt(index + 2));
    if (!isInside && begins[key] === 1) {
      let has = false;
      findPhrases(decoded, index, key, () => {
        has = true;
      });
      if (has) {
        return true;
      }
    }
    isInside = isAlphanumeric(decoded.charCodeAt(index) & 0xff);
  }
  return false;
}

function findInvisible(window: string, from: number, to: number, out: Finding[]): void {
  for (const match of window.matchAll(INVISIBLE)) {
    if (from + match.index < to) {
      const start = from + match.index;
      out.push({ type: TYPE, start, end: start + match[0].length, score: INVISIBLE_SCORE });
    }
  }
}
