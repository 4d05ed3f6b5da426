/**
 * Finds all text in the body of a request, of any client API. A value must not pass because it
 * stands in a member that nobody knows, so every string is text unless its member is known to be
 * none.
 */
import { JsonStrings, type JsonVisitor } from '../json-strings.ts';
import { type ObjectFacts, type StringUse, stringUse } from './request-scopes.ts';

/** A string of the body that is text: the contents between its quotes. */
export interface RequestText extends StringUse {
  readonly start: number;
  readonly end: number;
}

interface FoundString {
  readonly start: number;
  readonly end: number;
  readonly object: ObjectFacts | undefined;
  readonly key: string;
}

/** Members whose numbers are tokens, which are text that nobody can read here. */
const tokenLists: ReadonlySet<string> = new Set(['prompt', 'input']);

const SIGNATURES: ReadonlySet<string> = new Set(['signature']);

/** Bytes of the body that are read without a pause. */
const SLICE_BYTES = 8 * 1024;

/** Each takes about 100 bytes of memory. The longest conversations have some ten thousand. */
const MAX_STRINGS = 200_000;

export class RequestTexts implements JsonVisitor {
  /** The body has more strings than are read. */
  hasTooMany = false;
  /** The body contains tokens in place of text. */
  hasTokens = false;
  readonly #strings: FoundString[] = [];
  readonly #walker = new JsonStrings(this);
  /** The innermost object that is open. */
  #object: ObjectFacts | undefined;

  /** Reads a body. Returns whether the body is JSON. */
  *read(body: Uint8Array): Generator<number, boolean> {
    this.#walker.begin(body, 0, body.length);
    while (this.#walker.step(SLICE_BYTES)) {
      yield SLICE_BYTES;
    }
    return !this.#walker.broken;
  }

  /** The number of strings, once the body is read. */
  get count(): number {
    return this.#strings.length;
  }

  /** Returns a string by its place in the body; undefined where the string is no text. */
  textAt(place: number): RequestText | undefined {
    const { start, end, object, key } = this.#strings[place]!;
    const use = stringUse(object, key);
    return use && { ...use, start, end };
  }

  /** Returns the place of a string in the bytes. */
  spanAt(place: number): Pick<RequestText, 'start' | 'end'> {
    return this.#strings[place]!;
  }

  enter(at: number): void {
    if (this.#walker.bytes[at] !== 0x7b) {
      return;
    }
    const facts = { role: undefined, type: undefined, isThought: false, isSigned: false };
    this.#object = { parent: this.#object, key: this.#key(), ...facts };
  }

  leave(end: number): void {
    if (this.#walker.bytes[end - 1] === 0x7d) {
      this.#object = this.#object?.parent;
    }
  }

  string(start: number, end: number): void {
    const object = this.#object;
    const key = this.#key();
    if (object !== undefined && typeof this.#walker.path.at(-1) === 'string') {
      this.#note(object, key, start, end);
    }
    this.hasTooMany ||= this.#strings.length === MAX_STRINGS;
    if (end > start && !this.hasTooMany) {
      this.#strings.push({ start, end, object, key });
    }
  }

  scalar(start: number): void {
    const { path, bytes } = this.#walker;
    const first = bytes[start]!;
    const object = this.#object;
    if (object !== undefined && path.at(-1) === 'thought' && first === 0x74) {
      object.isThought = true;
    }
    if (object !== undefined && object.parent === undefined && typeof path[1] === 'number' && first < 0x3a) {
      this.hasTokens ||= tokenLists.has(String(path[0]));
    }
  }

  /** Notes a member that says what its object is. */
  #note(object: ObjectFacts, key: string, start: number, end: number): void {
    // Longer values are no names.
    if (end === start || (key !== 'role' && key !== 'type' && !SIGNATURES.has(key))) {
      return;
    }
    if (SIGNATURES.has(key)) {
      object.isSigned = true;
    } else {
      object[key as 'role' | 'type'] = Buffer.from(
        this.#walker.bytes.subarray(start, Math.min(end, start + 64)),
      ).toString();
    }
  }

  /** Returns the innermost key of the current path. */
  #key(): string {
    const { path } = this.#walker;
    for (let at = path.length - 1; at >= 0; at--) {
      const step = path[at]!;
      if (typeof step === 'string') {
        return step;
      }
    }
    return '';
  }
}
