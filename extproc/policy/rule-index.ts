/**
 * Finds the rules whose models match a name without trying all rules. The rules of a host name are
 * those of all tenants, and thousands of globs of one tenant must not slow down every request.
 * Rules keep their order; the caller takes the first one whose headers match, too.
 */
import { type NameMatcher, nameMatcher } from '../model-names.ts';

/** The most patterns for which trying all of them is as fast as the index. */
export const WALKED_PATTERNS = 32;
/**
 * The most characters of a glob's literal part that the index uses, to bound the look-ups of a
 * name; the glob itself compares the rest.
 */
const MAX_KEY_CHARACTERS = 24;

export interface RuleIndex {
  /** Returns the places of the rules that match, in order. */
  matching(model: string): Iterable<number>;
}

/** A pattern of a rule, compiled once for all virtual hosts and policies that have the rule. */
export interface ModelPattern {
  readonly text: string;
  readonly matches: NameMatcher;
  /** The literal parts of a glob; absent: an exact name. */
  readonly parts?: readonly GlobPart[];
}

interface IndexedGlob {
  readonly place: number;
  readonly matches: NameMatcher;
}

/** A literal part of a glob, and where in a name it must be. */
interface GlobPart {
  readonly at: 'start' | 'end' | 'within';
  readonly text: string;
}

export function modelPattern(text: string): ModelPattern {
  const matches = nameMatcher(text);
  return text.includes('*') ? { text, matches, parts: partsOf(text) } : { text, matches };
}

/** Indexes the patterns of each rule. Yields wherever it can be interrupted. */
export function* indexing(models: Iterable<readonly ModelPattern[]>): Generator<void, RuleIndex> {
  const index = new PatternIndex();
  let place = 0;
  for (const patterns of models) {
    index.add(place++, patterns);
    yield;
  }
  yield* index.fillingTables();
  return index;
}

class PatternIndex implements RuleIndex {
  /** The rules with the pattern `*`. */
  readonly #always: number[] = [];
  readonly #exact = new Map<string, number[]>();
  readonly #globs: (IndexedGlob & { readonly parts: readonly GlobPart[] })[] = [];
  /** How many globs have a part. */
  readonly #uses = new Map<string, number>();
  readonly #tables = { start: new GlobTable(), end: new GlobTable(), within: new GlobTable() };

  add(place: number, patterns: readonly ModelPattern[]): void {
    for (const { text, matches, parts } of patterns) {
      if (parts === undefined) {
        pushTo(this.#exact, text, place);
      } else if (parts.length === 0) {
        this.#always.push(place);
      } else {
        this.#globs.push({ place, matches, parts });
        for (const part of parts) {
          this.#uses.set(part.text, (this.#uses.get(part.text) ?? 0) + 1);
        }
      }
    }
  }

  /** Enters each glob by the part that the fewest globs have, so that a name leads to few globs. */
  *fillingTables(): Generator<void, void> {
    for (const glob of this.#globs) {
      let rarest = glob.parts[0]!;
      for (const part of glob.parts) {
        if (this.#uses.get(part.text)! < this.#uses.get(rarest.text)!) {
          rarest = part;
        }
      }
      this.#tables[rarest.at].add(rarest.text, glob);
      yield;
    }
  }

  matching(model: string): Iterable<number> {
    const found = [...(this.#exact.get(model) ?? [])];
    const check = ({ place, matches }: IndexedGlob) => {
      if (matches(model)) {
        found.push(place);
      }
    };
    const { start, end, within } = this.#tables;
    for (const length of start.lengths) {
      start.get(model.slice(0, length)).forEach(check);
    }
    for (const length of end.lengths) {
      end.get(model.slice(-length)).forEach(check);
    }
    for (const length of within.lengths) {
      for (let from = 0; from + length <= model.length; from++) {
        within.get(model.slice(from, from + length)).forEach(check);
      }
    }
    return inOrder(
      this.#always,
      found.sort((left, right) => left - right),
    );
  }
}

const none: readonly IndexedGlob[] = [];

/** Globs by a literal part that a name must have. */
class GlobTable {
  readonly lengths = new Set<number>();
  readonly #globs = new Map<string, IndexedGlob[]>();

  add(key: string, glob: IndexedGlob): void {
    this.lengths.add(key.length);
    pushTo(this.#globs, key, glob);
  }

  get(key: string): readonly IndexedGlob[] {
    return this.#globs.get(key) ?? none;
  }
}

function pushTo<Value>(lists: Map<string, Value[]>, key: string, value: Value): void {
  const list = lists.get(key);
  if (list === undefined) {
    lists.set(key, [value]);
  } else {
    list.push(value);
  }
}

function partsOf(pattern: string): readonly GlobPart[] {
  const texts = pattern.split('*');
  return texts.flatMap((text, index): GlobPart[] => {
    if (text === '') {
      return [];
    }
    if (index === 0) {
      return [{ at: 'start', text: text.slice(0, MAX_KEY_CHARACTERS) }];
    }
    if (index === texts.length - 1) {
      return [{ at: 'end', text: text.slice(-MAX_KEY_CHARACTERS) }];
    }
    return [{ at: 'within', text: text.slice(0, MAX_KEY_CHARACTERS) }];
  });
}

/** Merges two ordered lists. */
function* inOrder(left: readonly number[], right: readonly number[]): Generator<number, void> {
  let at = 0;
  for (const place of left) {
    for (; at < right.length && right[at]! <= place; at++) {
      yield right[at]!;
    }
    yield place;
  }
  for (; at < right.length; at++) {
    yield right[at]!;
  }
}
