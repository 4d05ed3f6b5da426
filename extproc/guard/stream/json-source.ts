/**
 * The source of a JSON document that arrives in pieces, such as the arguments of a tool: a text
 * with the escapes of its strings decoded, and the way back to the source. Does not check the
 * structure: what a model writes may end anywhere.
 */

/** What a unit of the text is part of. */
export const STRUCTURE = 0;
const STRING = 1;
/** A number, a literal, or what should be one: anything outside of strings that is no structure. */
export const BARE = 2;
/** The key of a member. */
export const KEY = 3;

export type SourceKind = typeof STRUCTURE | typeof STRING | typeof BARE | typeof KEY;

/** Deeper strings that may be keys count as such: no tool has such arguments. */
const MAX_DEPTH = 256;

const STRUCTURAL: ReadonlySet<string> = new Set('{}[]:,"\t\n\r ');

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** Where a unit of the text begins in the source, and what it is part of. */
interface SourceMarks {
  readonly text: string;
  /** By unit; see `markOf`. */
  readonly marks: readonly number[];
}

export class JsonSource {
  /** The units of the source so far. */
  length = 0;
  /** The beginning of an escape. */
  #rest = '';
  #inString = false;
  /** What a string is that begins now. */
  #next: typeof STRING | typeof KEY = STRING;
  /** Whether each open object or list is an object. */
  readonly #objects: boolean[] = [];
  #depth = 0;

  /** The place up to which the source is part of the text. */
  get readTo(): number {
    return this.length - this.#rest.length;
  }

  push(piece: string): SourceMarks {
    const source = this.#rest + piece;
    const base = this.readTo;
    this.length += piece.length;
    this.#rest = '';
    const marks: number[] = [];
    let text = '';
    for (let at = 0; at < source.length; ) {
      const unit = source[at]!;
      if (this.#inString && unit === '\\') {
        const length = source[at + 1] === 'u' ? 6 : 2;
        if (at + length > source.length) {
          this.#rest = source.slice(at);
          break;
        }
        marks.push(markOf(base + at, this.#next));
        text += decodedEscape(source, at);
        at += length;
        continue;
      }
      const isQuote = unit === '"';
      const kind = isQuote ? STRUCTURE : this.#inString ? this.#next : bareKind(unit);
      marks.push(markOf(base + at, kind));
      if (kind === STRUCTURE && !isQuote) {
        this.#structure(unit);
      }
      text += unit;
      at++;
      if (isQuote) {
        this.#inString = !this.#inString;
      }
    }
    return { text, marks };
  }

  /** Notes where a string is a key. */
  #structure(unit: string): void {
    if (unit === '{' || unit === '[') {
      this.#objects[Math.min(this.#depth, MAX_DEPTH)] = unit === '{' || this.#depth >= MAX_DEPTH;
      this.#depth++;
      this.#next = unit === '{' ? KEY : STRING;
    } else if (unit === '}' || unit === ']') {
      this.#depth = Math.max(0, this.#depth - 1);
      this.#next = STRING;
    } else if (unit === ',') {
      const place = Math.min(this.#depth - 1, MAX_DEPTH);
      this.#next = this.#objects[place] === true ? KEY : STRING;
    } else if (unit === ':') {
      this.#next = STRING;
    }
  }

  /** Returns what is left of a source that ends within an escape. */
  end(): SourceMarks {
    const base = this.readTo;
    const text = this.#rest;
    this.#rest = '';
    return { text, marks: Array.from(text, (_, at) => markOf(base + at, this.#next)) };
  }
}

function bareKind(unit: string): SourceKind {
  return STRUCTURAL.has(unit) ? STRUCTURE : BARE;
}

function markOf(place: number, kind: SourceKind): number {
  return place * 4 + kind;
}

export function placeOf(mark: number): number {
  return Math.floor(mark / 4);
}

export function kindOf(mark: number | undefined): SourceKind {
  return mark === undefined ? STRUCTURE : ((mark & 3) as SourceKind);
}

function decodedEscape(source: string, at: number): string {
  const letter = source[at + 1]!;
  if (letter !== 'u') {
    return SIMPLE_ESCAPES[letter] ?? letter;
  }
  const digits = source.slice(at + 2, at + 6);
  return /^[\da-f]{4}$/i.test(digits) ? String.fromCharCode(Number.parseInt(digits, 16)) : '\ufffd';
}
