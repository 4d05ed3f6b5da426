/**
 * Finds all text in the body of a request, of any client API. A value must not pass because it
 * stands in a member that nobody knows, so every string is text unless its member is known to be
 * none; so is every key that is no word of the APIs, and every number that is no setting.
 */
import { JsonStrings, type JsonVisitor } from '../json-strings.ts';
import { KeyTexts } from '../key-texts.ts';
import { isEncoded, isTypeName } from '../member-names.ts';
import type { StringSpelling } from '../string-units.ts';
import { vocabulary } from './request-names.ts';
import {
  hasOwnSchema,
  isNoText,
  isSealed,
  newFacts,
  type ObjectFacts,
  SEALED,
  type StringUse,
  stringUse,
} from './request-scopes.ts';

/** What of a document a text is. */
export type RequestTextKind = 'string' | 'key' | 'number';

/** A text of the body: the contents between the quotes of a string, or a number. */
export interface RequestText {
  readonly use: StringUse;
  readonly kind: RequestTextKind;
  readonly spelling: StringSpelling;
  readonly start: number;
  readonly end: number;
}

/** Members whose numbers are tokens, which are text that nobody can read here. */
const tokenLists: ReadonlySet<string> = new Set(['prompt', 'input']);

/** Members whose signature covers the reasoning beside them. */
const signatures: ReadonlySet<string> = new Set(['signature', 'thoughtSignature', 'thought_signature']);

/** Longer values are no names of roles and types. */
const MAX_NAME_BYTES = 64;

/** Bytes of the body that are read without a pause. */
const SLICE_BYTES = 8 * 1024;

/** Each takes about 50 bytes of memory. The longest conversations have some ten thousand. */
const MAX_STRINGS = 200_000;
const MAX_NUMBERS = 500_000;

/** No reader takes longer numbers. */
const MAX_NUMBER_BYTES = 1024;

export class RequestTexts implements JsonVisitor {
  /** The body has more texts than are read, or a number that is too long. */
  hasTooMany = false;
  /** The body contains tokens in place of text. */
  hasTokens = false;
  readonly #walker = new JsonStrings(this);
  readonly #names = new KeyTexts();
  /** What was found, in columns: one object for each text would cost more than its reading. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #objects: (ObjectFacts | undefined)[] = [];
  readonly #keys: string[] = [];
  readonly #kinds: RequestTextKind[] = [];
  readonly #spellings: StringSpelling[] = [];
  #numbers = 0;
  readonly #hasSchema: boolean;
  /** The innermost object that is open. */
  #object: ObjectFacts | undefined;

  /** `hasSchema`: the document is that of an API; otherwise, its members may have any name. */
  constructor(hasSchema = true) {
    this.#hasSchema = hasSchema;
  }

  /** Reads a body. Returns whether the body is JSON. */
  *read(body: Uint8Array): Generator<number, boolean> {
    this.#walker.begin(body, 0, body.length);
    while (this.#walker.step(SLICE_BYTES)) {
      yield SLICE_BYTES;
    }
    return !this.#walker.broken;
  }

  /** The number of texts, once the body is read. */
  get count(): number {
    return this.#starts.length;
  }

  /** Returns a text by its place in the body; undefined where a string is no text. */
  textAt(place: number): RequestText | undefined {
    const object = this.#objects[place];
    const key = this.#keys[place]!;
    if (this.#kinds[place] === 'string') {
      if (isNoText(object, key)) {
        return undefined;
      }
      if (isSealed(object, key)) {
        const { start, end } = this.#spanAt(place);
        return isEncoded(this.#walker.bytes, start, end) ? undefined : this.anyTextAt(place, SEALED);
      }
    }
    return this.anyTextAt(place, stringUse(object, key));
  }

  /** Returns a text by its place in a document without a schema. */
  anyTextAt(place: number, use: StringUse): RequestText {
    const { start, end } = this.#spanAt(place);
    return { use, kind: this.#kinds[place]!, spelling: this.#spellings[place]!, start, end };
  }

  #spanAt(place: number): Pick<RequestText, 'start' | 'end'> {
    return { start: this.#starts[place]!, end: this.#ends[place]! };
  }

  enter(at: number): void {
    if (this.#walker.bytes[at] === 0x7b) {
      const parent = this.#object;
      const { key } = this.#walker;
      this.#object = newFacts(parent, key, parent === undefined ? this.#hasSchema : hasOwnSchema(parent, key));
    }
  }

  leave(end: number): void {
    if (this.#walker.bytes[end - 1] === 0x7d) {
      this.#object = this.#object?.parent;
    }
  }

  string(start: number, end: number, spelling: StringSpelling): void {
    if (end === start) {
      return;
    }
    const { key, isMember, bytes } = this.#walker;
    if (isMember && this.#note(this.#object!, key, start, end, spelling) && isTypeName(bytes, start, end)) {
      return;
    }
    this.#add(start, end, key, 'string', spelling);
  }

  key(start: number, end: number, spelling: StringSpelling): void {
    const { key } = this.#walker;
    if (end > start && !vocabulary.has(key)) {
      this.#add(start, end, key, 'key', spelling);
    }
  }

  scalar(start: number, end: number): void {
    const { key, isMember, place, bytes } = this.#walker;
    const first = bytes[start]!;
    const object = this.#object;
    if (first > 0x39) {
      if (isMember && key === 'thought' && first === 0x74) {
        object!.isThought = true;
      }
      return;
    }
    if (object?.parent === undefined && place >= 0 && tokenLists.has(key)) {
      this.hasTokens = true;
      return;
    }
    if (object?.hasSchema === true && vocabulary.has(key)) {
      return;
    }
    this.#numbers++;
    this.hasTooMany ||= this.#numbers > MAX_NUMBERS || end - start > MAX_NUMBER_BYTES;
    this.#add(start, end, key, 'number', 'ascii');
  }

  #add(start: number, end: number, key: string, kind: RequestTextKind, spelling: StringSpelling): void {
    const isFull = kind !== 'number' && this.#starts.length - this.#numbers >= MAX_STRINGS;
    this.hasTooMany ||= isFull;
    if (this.hasTooMany) {
      return;
    }
    this.#starts.push(start);
    this.#ends.push(end);
    this.#objects.push(this.#object);
    this.#keys.push(key);
    this.#kinds.push(kind);
    this.#spellings.push(spelling);
  }

  /** Notes a member that says what its object is. Returns whether this is the type. */
  #note(object: ObjectFacts, key: string, start: number, end: number, spelling: StringSpelling): boolean {
    if (key === 'type') {
      object.type = this.#name(start, end, spelling);
      return true;
    }
    if (key === 'role') {
      object.role = this.#name(start, end, spelling);
    } else if (signatures.has(key)) {
      object.isSigned = true;
    }
    return false;
  }

  #name(start: number, end: number, spelling: StringSpelling): string {
    return this.#names.of(this.#walker.bytes, start, Math.min(end, start + MAX_NAME_BYTES), spelling === 'ascii');
  }
}
