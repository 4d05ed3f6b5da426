/** Finds what the expressions of users match, in linear time (RE2; see `contract/pattern.ts`). */
import { createRequire } from 'node:module';
import type { RE2JS } from 're2js';
import { CONTEXT_LENGTH, type Detector, type Finding } from './detector.ts';
import { FoldedText } from './folded-text.ts';
import { dropContained } from './recognizing-detector.ts';

const require = createRequire(import.meta.url);

/** Longer matches of an expression without an upper bound are found in parts in a stream. */
export const MAX_PATTERN_MATCH = 1024;

/**
 * Characters that the matches of one expression in one slice may read, about 30 ms. `a.*z|a` reads
 * the rest of the slice for each `a`, so 8 KB would take more than a second.
 */
export const MAX_STEPS = 1 << 20;

/** Other characters than ASCII, and the beginnings of escapes. */
const SPECIAL = /[^\0-\x7f]|[&%\\]/;

const folded = new FoldedText();

export class PatternDetector implements Detector {
  readonly #expressions: readonly { readonly regex: RE2JS; readonly readsAhead: boolean }[];
  /** No match is longer, in UTF-16 units. */
  readonly #longest: number;

  /** Throws for an expression that is no RE2. */
  constructor(sources: readonly string[]) {
    const { RE2JS: engine } = require('re2js') as typeof import('re2js');
    this.#expressions = sources.map((source) => ({ regex: engine.compile(source), readsAhead: readsAhead(source) }));
    this.#longest = Math.min(MAX_PATTERN_MATCH, Math.max(...sources.map(longestMatch)));
  }

  find(text: string, from: number, to: number, out: Finding[]): void {
    // The end of a slice ends the search, so that a slice costs what the slice is long.
    const start = Math.max(0, from - CONTEXT_LENGTH);
    const window = text.slice(start, to + this.#longest + 1);
    const known = out.length;
    this.#search(window, from - start, to - start, (first, end) => {
      out.push({ type: 'Pattern', start: first + start, end: end + start, score: 1 });
    });
    if (SPECIAL.test(window)) {
      this.#findFolded(text, from, to, out);
    }
    if (out.length > known + 1) {
      dropContained(out, known);
    }
  }

  /** Finds what the folded text matches: an expression may have other letters than ASCII itself. */
  #findFolded(text: string, from: number, to: number, out: Finding[]): void {
    folded.begin(text, Math.max(0, from - CONTEXT_LENGTH));
    const first = folded.indexOf(from);
    const last = folded.indexOf(to);
    folded.has(last + this.#longest);
    const window = folded.latin1(0, Math.min(folded.length, last + this.#longest + 1));
    this.#search(window, first, last, (start, end) => {
      out.push({ type: 'Pattern', start: folded.startOf(start), end: folded.endOf(end - 1), score: 1 });
    });
  }

  /**
   * Reports each match that begins in [from, to). Beyond the budget of steps, the rest of the slice
   * counts as one match, so that nobody hides a value behind many others.
   */
  #search(window: string, from: number, to: number, report: (start: number, end: number) => void): void {
    for (const { regex, readsAhead } of this.#expressions) {
      const matcher = regex.matcher(window);
      let at = from;
      let steps = 0;
      while (at <= window.length && matcher.find(at) && matcher.start() < to) {
        steps += readsAhead ? window.length - matcher.start() : 0;
        const end = steps > MAX_STEPS ? Math.max(to, matcher.end()) : matcher.end();
        if (end > matcher.start()) {
          report(matcher.start(), end);
        }
        at = Math.max(end, matcher.start() + 1);
      }
    }
  }

  openFrom(text: string): number {
    // One more unit, because a word boundary depends on what follows.
    const open = Math.max(0, text.length - this.#longest);
    if (!SPECIAL.test(text)) {
      return open;
    }
    folded.begin(text, 0);
    folded.indexOf(text.length);
    return Math.min(open, folded.startOf(Math.max(0, folded.length - this.#longest)));
  }
}

/**
 * Returns whether a search may read on behind the end of what it then finds, as far as the text
 * goes. That takes a repetition without bound, and alternatives or a repeated group: otherwise, the
 * expression has matched once its required parts have, and ends with what follows them.
 */
export function readsAhead(source: string): boolean {
  if (longestMatch(source) !== Number.POSITIVE_INFINITY) {
    return false;
  }
  const structure = source.replaceAll(LITERAL, 'x');
  return /\||\)[?*+{]/.test(structure);
}

/** Quoted text, an escape or a class. */
const LITERAL = /\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]/gsu;

/**
 * Returns an upper bound of the length of what an expression matches, in UTF-16 units; Infinity if
 * there is none. Reads the expression roughly, as every part but a repetition is at most one
 * character of two units: the bound may be too large, never too small.
 */
export function longestMatch(source: string): number {
  return new LengthReader(source).alternatives();
}

/** Units of a character of a class. */
const LONGEST_CHARACTER = 2;

class LengthReader {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  /** Reads alternatives up to the end of their group. */
  alternatives(): number {
    let longest = 0;
    let current = 0;
    while (this.#at < this.#source.length && this.#source[this.#at] !== ')') {
      if (this.#source[this.#at] === '|') {
        this.#at += 1;
        longest = Math.max(longest, current);
        current = 0;
      } else {
        current += this.#repeated();
      }
    }
    return Math.max(longest, current);
  }

  #repeated(): number {
    let length = this.#part();
    for (;;) {
      const rest = this.#source.slice(this.#at);
      const counts = /^\{(\d+)(,?)(\d*)\}/.exec(rest);
      if (counts !== null) {
        const [whole, least, comma, most] = counts;
        const times = comma === '' ? Number(least) : most === '' ? Number.POSITIVE_INFINITY : Number(most);
        length = length === 0 ? 0 : length * times;
        this.#at += whole.length;
      } else if (rest.startsWith('*') || rest.startsWith('+')) {
        length = length === 0 ? 0 : Number.POSITIVE_INFINITY;
        this.#at += 1;
      } else if (rest.startsWith('?')) {
        this.#at += 1;
      } else {
        return length;
      }
    }
  }

  #part(): number {
    const rest = this.#source.slice(this.#at);
    const quoted = /^\\Q(.*?)(?:\\E|$)/s.exec(rest);
    if (quoted !== null) {
      this.#at += quoted[0].length;
      return quoted[1]!.length;
    }
    const [token] = TOKEN.exec(rest)!;
    this.#at += token.length;
    if (token.startsWith('(')) {
      return token.endsWith(')') ? 0 : this.#group();
    }
    if (ASSERTION.test(token)) {
      return 0;
    }
    const isOther = token.length > 1 || token === '.';
    return isOther ? LONGEST_CHARACTER : 1;
  }

  #group(): number {
    const length = this.alternatives();
    this.#at += 1;
    return length;
  }
}

/** The beginning of a group or flags, a class, an escape, or one character. */
const TOKEN =
  /^(?:\((?:\?(?:P?<\w+>|[a-zA-Z-]*[:)]))?|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\\(?:[pP]\{[^}]*\}|x\{[^}]*\}|x..|[0-7]{1,3}|.)|.)/su;

const ASSERTION = /^(?:\\[bBAzZ]|\^|\$)$/;
