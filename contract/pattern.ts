/**
 * Validates and runs the regular expressions that users write; no other code does. The engine is
 * RE2 (re2js), which runs in linear time. JavaScript's own engine backtracks: a pattern of 200
 * characters and a value of 40 can block a process for hours.
 */
import { createRequire } from 'node:module';
import type { RE2Set } from 're2js';

/**
 * Maximum parts of a pattern (characters, classes, groups), with counted repetitions expanded. A
 * match takes time proportional to parts × characters: at both limits 2 to 3 ms for the worst
 * pattern.
 */
export const MAX_PATTERN_SIZE = 200;

/** Longer values never match. */
export const MAX_MATCHED_CHARACTERS = 256;

/** Memory for the automaton that a match builds; beyond that, the engine simulates. */
const AUTOMATON_BYTES = 64 * 1024;

export interface PatternFault {
  readonly message: string;
  readonly fix: string;
}

/** Returns the fault of a pattern, or undefined if the pattern is usable. */
export function patternFault(pattern: string): PatternFault | undefined {
  const size = patternSize(pattern);
  if (size > MAX_PATTERN_SIZE) {
    return {
      message: `is too large: ${size} parts with repetitions expanded, the maximum is ${MAX_PATTERN_SIZE}`,
      fix: 'use smaller counts in { }, or use * and +',
    };
  }
  try {
    compile(pattern);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : String(error);
    return {
      message: `is not valid: ${reason}`,
      fix: 'use RE2 syntax (https://github.com/google/re2/wiki/Syntax), which has no look-around and no backreferences',
    };
  }
}

/** Returns a predicate that matches whole values. Throws if the pattern has a fault. */
export function patternMatcher(pattern: string): (value: string) => boolean {
  if (patternSize(pattern) > MAX_PATTERN_SIZE) {
    throw new Error('the pattern is too large');
  }
  const set = compile(pattern);
  return (value) => value.length <= MAX_MATCHED_CHARACTERS && set.match(value).length > 0;
}

const require = createRequire(import.meta.url);
let engine: typeof RE2Set | undefined;

function compile(pattern: string): RE2Set {
  // Loaded on first use: it takes 4 MB and about 20 ms, and few policies have patterns.
  engine ??= (require('re2js') as typeof import('re2js')).RE2Set;
  const set = new engine(engine.ANCHOR_BOTH, 0, AUTOMATON_BYTES);
  set.add(pattern);
  set.compile();
  return set;
}

/**
 * Returns the number of parts of a pattern with counted repetitions expanded. Does not compile:
 * that would take a second for the patterns that the limit refuses. Meaningless for an invalid
 * pattern.
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

/** Counts each character of a quoted text, and 1 for every other escape or class. */
function atoms(text: string): string {
  return text.startsWith('\\Q') ? 'x'.repeat(text.length) : 'x';
}
