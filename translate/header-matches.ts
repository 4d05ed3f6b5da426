/** Header conditions of a rule, checked for what a schema cannot say. */

import { OWN_HEADER_PREFIX } from '../contract/headers.ts';
import type { HeaderMatch } from '../contract/policy.ts';
import type { RouteHeaderMatch } from '../crds/route.ts';
import { compare, type Report, type Subject } from './report.ts';

/** In a fixed order, so that equal conditions are equal; undefined where one is wrong. */
export function headerMatches(
  matches: readonly RouteHeaderMatch[],
  path: string,
  about: Subject,
  report: Report,
): readonly HeaderMatch[] | undefined {
  let wrong = false;
  const refuse = (at: string, message: string, fix: string): void => {
    wrong = true;
    report.error(about, { reason: 'Invalid', path: at, message, fix });
  };
  const made = matches.map(({ type, name, value }, index): HeaderMatch => {
    const lower = name.toLowerCase();
    if (lower.startsWith(OWN_HEADER_PREFIX)) {
      refuse(`${path}[${index}].name`, `${lower} is removed from every request`, 'use another header');
    }
    if (type === 'Exact') return { name: lower, type, value };
    const fault = patternFault(value);
    if (fault !== undefined) refuse(`${path}[${index}].value`, `the expression ${fault.message}`, fault.fix);
    return { name: lower, type, value };
  });
  if (wrong) return undefined;
  return made.toSorted((left, right) => compare(left.name, right.name) || compare(left.value, right.value));
}

/**
 * Whether an expression can hold up the gateway or means something else in RE2. JavaScript matches by backtracking: a repeated group can take exponential
 * time, and each further unbounded repetition multiplies the time by the value's length, which is the client's to choose.
 */
function patternFault(pattern: string): { readonly message: string; readonly fix: string } | undefined {
  try {
    new RegExp(`^(?:${pattern})$`, 'u');
  } catch {
    return { message: 'cannot be read', fix: 'correct its syntax (RE2)' };
  }
  const bare = pattern.replace(/\\./g, 'x').replace(/\[(?:[^\]\\]|\\.)*\]/g, 'x');
  if (/\\[pP]/.test(pattern)) return { message: 'names a Unicode class', fix: 'list the characters in [ ]' };
  if (/\\[1-9]|\\k/.test(pattern)) return { message: 'refers back to a group', fix: 'write the alternatives out' };
  if (/\(\?(?!:)/.test(bare)) return { message: 'looks around or names a group', fix: 'use (?:…) groups only' };
  if (/\)[*+{]/.test(bare)) return { message: 'repeats a group', fix: 'repeat single characters or classes only' };
  if ((bare.match(/[*+]|\{\d+,\}/g)?.length ?? 0) > 2) {
    return { message: 'has more than two unbounded repetitions', fix: 'use * and + at most twice' };
  }
  return undefined;
}
