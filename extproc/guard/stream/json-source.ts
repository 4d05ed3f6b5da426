/**
 * The source of a JSON document that arrives in pieces, such as the arguments of a tool: a text
 * with the escapes of its strings decoded, and the way back to the source. Does not check the
 * structure: what a model writes may end anywhere.
 */

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** Where a unit of the text begins in the source, and whether it is inside of a string. */
interface SourceMarks {
  readonly text: string;
  /** For each unit: twice its place, plus 1 inside of a string. */
  readonly marks: readonly number[];
}

export class JsonSource {
  /** The units of the source so far. */
  length = 0;
  /** The beginning of an escape. */
  #rest = '';
  #inString = false;

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
        marks.push((base + at) * 2 + 1);
        text += decodedEscape(source, at);
        at += length;
        continue;
      }
      const isQuote = unit === '"';
      marks.push((base + at) * 2 + (this.#inString && !isQuote ? 1 : 0));
      text += unit;
      at++;
      if (isQuote) {
        this.#inString = !this.#inString;
      }
    }
    return { text, marks };
  }

  /** Returns what is left of a source that ends within an escape. */
  end(): SourceMarks {
    const base = this.readTo;
    const text = this.#rest;
    this.#rest = '';
    return { text, marks: Array.from(text, (_, at) => (base + at) * 2 + 1) };
  }
}

function decodedEscape(source: string, at: number): string {
  const letter = source[at + 1]!;
  if (letter !== 'u') {
    return SIMPLE_ESCAPES[letter] ?? letter;
  }
  const digits = source.slice(at + 2, at + 6);
  return /^[\da-f]{4}$/i.test(digits) ? String.fromCharCode(Number.parseInt(digits, 16)) : '\ufffd';
}
