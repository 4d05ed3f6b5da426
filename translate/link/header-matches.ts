/** Validates the header matches of a rule beyond the schema. */
import { OWN_HEADER_PREFIX } from '../../contract/headers.ts';
import { patternFault } from '../../contract/pattern.ts';
import type { HeaderMatch } from '../../contract/policy.ts';
import type { RouteHeaderMatch } from '../../crds/route.ts';
import type { Diagnostics, Subject } from '../diagnostics.ts';
import { compare } from '../object-names.ts';

/** Returns the matches in a canonical order, or undefined if one is not valid. */
export function headerMatches(
  matches: readonly RouteHeaderMatch[],
  path: string,
  about: Subject,
  diagnostics: Diagnostics,
): readonly HeaderMatch[] | undefined {
  let wrong = false;
  const refuse = (at: string, message: string, fix: string): void => {
    wrong = true;
    diagnostics.error(about, { reason: 'Invalid', path: at, message, fix });
  };
  const made = matches.map(({ type, name, value }, index): HeaderMatch => {
    const lower = name.toLowerCase();
    if (lower.startsWith(OWN_HEADER_PREFIX)) {
      refuse(
        `${path}[${index}].name`,
        `header ${lower} is reserved and removed from every request`,
        'use another header',
      );
    }
    if (type === 'Exact') {
      return { name: lower, type, value };
    }
    const fault = patternFault(value);
    if (fault !== undefined) {
      refuse(`${path}[${index}].value`, `the expression ${fault.message}`, fault.fix);
    }
    return { name: lower, type, value };
  });
  if (wrong) {
    return undefined;
  }
  return made.toSorted((left, right) => compare(left.name, right.name) || compare(left.value, right.value));
}
