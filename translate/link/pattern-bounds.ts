/** The size of header patterns, whose matching time is proportional to it. */
import { MAX_PATTERN_SIZE, patternSize } from '../../contract/pattern.ts';
import type { RouteRule } from '../../crds/route.ts';

/** Per namespace: one request is matched against all of them in 5 to 8 ms at worst. */
export const MAX_PATTERN_PARTS = 512;

/** Returns the parts of all header patterns of a route. */
export function patternParts(rules: readonly RouteRule[]): number {
  const headers = rules.flatMap((rule) => rule.headers ?? []);
  const sizes = headers.map(({ type, value }) => (type === 'RegularExpression' ? patternSize(value) : 0));
  // Larger patterns are refused individually.
  return sizes.filter((size) => size <= MAX_PATTERN_SIZE).reduce((sum, size) => sum + size, 0);
}

/** Returns whether a route alone exceeds the limit, so that its patterns are not compiled. */
export function hasTooManyPatterns(rules: readonly RouteRule[]): boolean {
  return patternParts(rules) > MAX_PATTERN_PARTS;
}
