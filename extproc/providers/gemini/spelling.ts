/**
 * Google's servers read each member of a request by two names, `generationConfig` and
 * `generation_config`: https://protobuf.dev/programming-guides/json
 */
import type { Failure } from '../../errors.ts';
import type { JsonMatch, MatchesByPath } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import { invalid } from '../request.ts';

/** Adds the other name of each member of a shape, and of what it contains. */
export function bothSpellings(shape: Shape): Shape {
  const { object, items } = shape;
  return {
    ...shape,
    ...(items !== undefined && { items: bothSpellings(items) }),
    ...(object !== undefined && {
      object: Object.fromEntries(
        Object.entries(object).flatMap(([name, inner]) => {
          const member = bothSpellings(inner);
          return [...new Set([name, snakeCase(name)])].map((spelled) => [spelled, member]);
        }),
      ),
    }),
  };
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Paths are constants, and each has a few spellings. */
const known = new Map<string, readonly string[]>();

function spellings(path: string): readonly string[] {
  const made = known.get(path) ?? combined(path);
  known.set(path, made);
  return made;
}

function combined(path: string): readonly string[] {
  return path.split('.').reduce<readonly string[]>(
    (starts, name) => {
      const names = [...new Set([name, snakeCase(name)])];
      return starts.flatMap((start) => names.map((each) => (start === '' ? each : `${start}.${each}`)));
    },
    [''],
  );
}

/** Returns the spelling of a path that a document uses; without any, the one of the reference. */
export function spelled(found: MatchesByPath, path: string): string {
  return spellings(path).find((each) => found.count(each) > 0) ?? path;
}

/** Returns the matches of all spellings of a path. */
export function allSpelled(found: MatchesByPath, path: string): readonly JsonMatch[] {
  return spellings(path).flatMap((each) => found.all(each));
}

export function countSpelled(found: MatchesByPath, path: string): number {
  return spellings(path).reduce((sum, each) => sum + found.count(each), 0);
}

/** Returns a failure if a document has one of these members by both names. */
export function spelledTwice(found: MatchesByPath, paths: readonly string[]): Failure | undefined {
  const twice = paths.find((path) => spellings(path).filter((each) => found.count(each) > 0).length > 1);
  return twice === undefined ? undefined : invalid(twice, 'occurs under two names; send it once');
}
