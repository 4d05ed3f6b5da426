/** Finds placeholders of masked values, so that a response can have the values again. */
import type { Detector, Finding } from './detectors/detector.ts';

export class PlaceholderDetector implements Detector {
  readonly #pattern: RegExp;
  readonly #placeholders: readonly string[];
  readonly #longest: number;
  readonly #firstUnits: ReadonlySet<string>;

  constructor(placeholders: readonly string[]) {
    // A placeholder may begin with another one.
    const longestFirst = placeholders.toSorted((one, other) => other.length - one.length);
    this.#pattern = new RegExp(longestFirst.map((one) => escapedPattern(one)).join('|'), 'g');
    this.#placeholders = placeholders;
    this.#longest = longestFirst[0]!.length;
    this.#firstUnits = new Set(placeholders.map((one) => one.charAt(0)));
  }

  find(text: string, from: number, to: number, out: Finding[]): void {
    const pattern = this.#pattern;
    // The end of a slice ends the search, so that a slice costs what the slice is long.
    const window = text.slice(from, to + this.#longest);
    pattern.lastIndex = 0;
    for (let match = pattern.exec(window); match !== null && match.index < to - from; match = pattern.exec(window)) {
      const start = from + match.index;
      out.push({ type: '', start, end: start + match[0].length, score: 1 });
    }
  }

  openFrom(text: string): number {
    for (let at = Math.max(0, text.length - this.#longest + 1); at < text.length; at++) {
      if (this.#firstUnits.has(text.charAt(at)) && this.#begins(text.slice(at))) {
        return at;
      }
    }
    return text.length;
  }

  #begins(rest: string): boolean {
    return this.#placeholders.some((one) => one.length > rest.length && one.startsWith(rest));
  }
}

function escapedPattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
