/**
 * Finds the rules whose models match a name without asking all of them: a hostname's rules are the
 * union of all tenants', and one tenant's thousands of globs must not cost every request. Rules
 * keep their order; who asks takes the first whose headers match, too.
 */
import { type NameMatcher, nameMatcher } from './model-names.ts';

/** Up to so many patterns a walk over all of them is as fast. */
export const WALKED_PATTERNS = 32;
/**
 * Of a glob's literal part: what more there is, the glob itself compares. Bounds the look-ups of
 * one name.
 */
const MAX_KEY_CHARACTERS = 24;

export interface RuleIndex {
  /** The places of the rules that match, in order. */
  matching(model: string): Iterable<number>;
}

/** A pattern of a rule, made ready once, however many entries and policies have the rule. */
export interface ModelPattern {
  readonly text: string;
  readonly matches: NameMatcher;
  /** Of a glob. Absent: an exact name. */
  readonly parts?: readonly Part[];
}

interface IndexedGlob {
  readonly place: number;
  readonly matches: NameMatcher;
}

/** A literal part of a glob, and where in a name it must stand. */
interface Part {
  readonly at: 'start' | 'end' | 'within';
  readonly text: string;
}

export function modelPattern(text: string): ModelPattern {
  const matches = nameMatcher(text);
  return text.includes('*') ? { text, matches, parts: partsOf(text) } : { text, matches };
}

/** Indexes the patterns of each rule. Yields wherever it can be interrupted. */
export function* indexing(models: Iterable<readonly ModelPattern[]>): Generator<void, RuleIndex> {
  const always: number[] = [];
  const exact = new Map<string, number[]>();
  const globs: (IndexedGlob & { readonly parts: readonly Part[] })[] = [];
  const uses = new Map<string, number>();
  let place = -1;
  for (const patterns of models) {
    place++;
    for (const { text, matches, parts } of patterns) {
      if (parts === undefined) {
        const places = exact.get(text);
        if (places === undefined) {
          exact.set(text, [place]);
        } else {
          places.push(place);
        }
        continue;
      }
      if (parts.length === 0) {
        always.push(place);
      } else {
        globs.push({ place, matches, parts });
      }
      for (const part of parts) {
        uses.set(part.text, (uses.get(part.text) ?? 0) + 1);
      }
    }
    yield;
  }
  const tables = { start: new Table(), end: new Table(), within: new Table() };
  for (const glob of globs) {
    // The part that the fewest other globs have: a name with it leads to few.
    let rarest = glob.parts[0]!;
    for (const part of glob.parts) {
      if (uses.get(part.text)! < uses.get(rarest.text)!) {
        rarest = part;
      }
    }
    tables[rarest.at].add(rarest.text, glob);
    yield;
  }
  return {
    matching(model) {
      const found = [...(exact.get(model) ?? [])];
      const check = ({ place, matches }: IndexedGlob) => {
        if (matches(model)) {
          found.push(place);
        }
      };
      for (const length of tables.start.lengths) {
        tables.start.get(model.slice(0, length)).forEach(check);
      }
      for (const length of tables.end.lengths) {
        tables.end.get(model.slice(-length)).forEach(check);
      }
      for (const length of tables.within.lengths) {
        for (let from = 0; from + length <= model.length; from++) {
          tables.within.get(model.slice(from, from + length)).forEach(check);
        }
      }
      return inOrder(
        always,
        found.sort((left, right) => left - right),
      );
    },
  };
}

const none: readonly IndexedGlob[] = [];

class Table {
  readonly lengths = new Set<number>();
  readonly #globs = new Map<string, IndexedGlob[]>();

  add(key: string, glob: IndexedGlob): void {
    this.lengths.add(key.length);
    const globs = this.#globs.get(key);
    if (globs === undefined) {
      this.#globs.set(key, [glob]);
    } else {
      globs.push(glob);
    }
  }

  get(key: string): readonly IndexedGlob[] {
    return this.#globs.get(key) ?? none;
  }
}

function partsOf(pattern: string): readonly Part[] {
  const texts = pattern.split('*');
  return texts.flatMap((text, index): Part[] => {
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

/** Both lists are in order. */
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
