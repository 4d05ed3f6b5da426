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
  readonly objects: readonly ObjectFacts[];
  readonly key: string;
}

/** Members whose numbers are tokens, which are text that nobody can read here. */
const tokenLists: ReadonlySet<string> = new Set(['prompt', 'input']);

const SIGNATURES: ReadonlySet<string> = new Set(['signature']);

/** Bytes of the body that are read without a pause. */
const SLICE_BYTES = 32 * 1024;

export class RequestTexts implements JsonVisitor {
  /** The body contains tokens in place of text. */
  hasTokens = false;
  readonly #strings: FoundString[] = [];
  readonly #walker = new JsonStrings(this);
  /** The objects that are open, with the key of each. */
  #objects: readonly ObjectFacts[] = [];

  /** Reads a body. Returns whether the body is JSON. */
  *read(body: Uint8Array): Generator<number, boolean> {
    this.#walker.begin(body, 0, body.length);
    while (this.#walker.step(SLICE_BYTES)) {
      yield SLICE_BYTES;
    }
    return !this.#walker.broken;
  }

  /** Returns the texts in their order, once the body is read. */
  *texts(): Generator<RequestText> {
    for (const { start, end, objects, key } of this.#strings) {
      const use = stringUse(objects, key);
      if (use !== undefined) {
        yield { ...use, start, end };
      }
    }
  }

  /** Returns all strings that are not keys, once a document is read. */
  *allStrings(): Generator<{ readonly start: number; readonly end: number }> {
    yield* this.#strings;
  }

  enter(at: number): void {
    if (this.#walker.bytes[at] !== 0x7b) {
      return;
    }
    const key = this.#key();
    this.#objects = [...this.#objects, { key, role: undefined, type: undefined, isThought: false, isSigned: false }];
  }

  leave(end: number): void {
    if (this.#walker.bytes[end - 1] === 0x7d) {
      this.#objects = this.#objects.slice(0, -1);
    }
  }

  string(start: number, end: number): void {
    const objects = this.#objects;
    const object = objects.at(-1);
    const key = this.#key();
    if (object !== undefined && typeof this.#walker.path.at(-1) === 'string') {
      this.#note(object, key, start, end);
    }
    if (end > start) {
      this.#strings.push({ start, end, objects, key });
    }
  }

  scalar(start: number): void {
    const { path, bytes } = this.#walker;
    const first = bytes[start]!;
    const object = this.#objects.at(-1);
    if (object !== undefined && path.at(-1) === 'thought' && first === 0x74) {
      object.isThought = true;
    }
    if (this.#objects.length === 1 && typeof path[1] === 'number' && first < 0x3a) {
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
