/**
 * Checks and runs the regular expressions that users write; nothing else in the project does. The
 * engine is RE2's (re2js), whose time grows linearly with the value. JavaScript's own expressions
 * backtrack: a pattern of 200 characters and a value of 40 can hold a process for hours.
 */
import { createRequire } from 'node:module';
import type { RE2Set } from 're2js';

/**
 * Parts of a pattern (characters, classes, groups) with its counted repetitions written out. A match
 * takes time in proportion to parts × characters, at these two bounds 2 to 3 ms for the worst pattern.
 */
export const MAX_PATTERN_SIZE = 200;

/** Characters of a value; a longer one never matches. */
export const MAX_MATCHED_CHARACTERS = 256;

/** Bytes of the automaton that a pattern builds while it matches; beyond them the engine simulates. */
const AUTOMATON_BYTES = 64 * 1024;

export interface PatternFault {
  readonly message: string;
  readonly fix: string;
}

/** Returns what is wrong with a pattern. */
export function patternFault(pattern: string): PatternFault | undefined {
  const size = patternSize(pattern);
  if (size > MAX_PATTERN_SIZE) {
    return {
      message: `is too large: its repetitions written out have ${size} parts, and ${MAX_PATTERN_SIZE} are allowed`,
      fix: 'use smaller counts in { }, or * and +',
    };
  }
  try {
    compile(pattern);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : String(error);
    return {
      message: `cannot be read: ${reason}`,
      fix: 'use the syntax of RE2 (https://github.com/google/re2/wiki/Syntax), which has no look-around and no references back to a group',
    };
  }
}

/** Returns a function that tells whether a whole value matches. Throws for a pattern that has a fault. */
export function patternMatcher(pattern: string): (value: string) => boolean {
  if (patternSize(pattern) > MAX_PATTERN_SIZE) {
    throw new Error('the pattern is too large');
  }
  const set = compile(pattern);
  return (value) => value.length <= MAX_MATCHED_CHARACTERS && set.match(value).length > 0;
}

const require = createRequire(import.meta.url);

function compile(pattern: string): RE2Set {
  // Loaded with the first pattern: it takes 4 MB and some 20 ms, and few policies have patterns.
  const { RE2Set: Engine } = require('re2js') as typeof import('re2js');
  const set = new Engine(Engine.ANCHOR_BOTH, 0, AUTOMATON_BYTES);
  set.add(pattern);
  set.compile();
  return set;
}

/**
 * Returns how many parts a pattern has when its counted repetitions are written out. It needs no
 * compilation, which would take a second for what this bound refuses. For a pattern that cannot be
 * read the number means nothing.
 */
export function patternSize(pattern: string): number {
  const bare = pattern.replace(
    /\\(?:[pP]\{[^}]*\}|x\{[^}]*\}|Q.*?(?:\\E|$)|.)|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]/gsu,
    atoms,
  );
  const sums = [0];
  let last = 0;
  for (const [token, least, most] of bare.matchAll(/\{(\d+)(?:,(\d*))?\}|\((?:\?(?:P?<\w*>|[\w-]*[:)]))?|./gsu)) {
    if (least !== undefined) {
      const times = Math.max(1, Number(least) + (most === '' ? 1 : 0), Number(most ?? 0));
      sums[sums.length - 1] = (sums.at(-1) ?? 0) + last * (times - 1);
      last *= times;
    } else if (token.startsWith('(') && !token.endsWith(')')) {
      sums.push(0);
    } else if (token === ')' && sums.length > 1) {
      last = 1 + (sums.pop() ?? 0);
      sums[sums.length - 1] = (sums.at(-1) ?? 0) + last;
    } else if (!'*+?'.includes(token)) {
      last = 1;
      sums[sums.length - 1] = (sums.at(-1) ?? 0) + 1;
    }
  }
  return sums.reduce((sum, each) => sum + each, 0);
}

/** A quoted text counts its characters, every other escape and class one. */
function atoms(text: string): string {
  return text.startsWith('\\Q') ? 'x'.repeat(text.length) : 'x';
}
