/**
 * Finds all text in the body of a request, of any client API. A value must not pass because it
 * stands in a member that nobody knows, so every string is text unless its member is known to be
 * none; so is every key that is no word of the APIs, and every number that is no setting.
 */
import { JsonStrings, type JsonVisitor } from '../json-strings.ts';
import { KeyTexts } from '../key-texts.ts';
import { isDataUrl, isEncoded, isImageUrl, isTypeName } from '../member-names.ts';
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

const kinds = ['string', 'key', 'number'] as const;

/** What of a document a text is. */
export type RequestTextKind = (typeof kinds)[number];

const spellings: readonly StringSpelling[] = ['ascii', 'utf8', 'escaped'];

/** A text of the body: the contents between the quotes of a string, or a number. */
export interface RequestText {
  readonly use: StringUse;
  readonly kind: RequestTextKind;
  /** The innermost key: of a key in ASCII, its text, unless it is long. */
  readonly key: string;
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

const SPAN_WIDTH = 3;

/** Enough for most requests; the column grows. */
const FIRST_TEXTS = 256;

/** Roles and types, of all bodies. */
const names = new KeyTexts();

const NO_SPANS = new Int32Array(0);

/** A column that nothing uses: each is outside of V8's heap, so a new one costs 3 µs. */
let spareSpans: Int32Array<ArrayBuffer> | undefined;

export class RequestTexts implements JsonVisitor {
  /** The body has more texts than are read, or a number that is too long. */
  hasTooMany = false;
  /** The body contains tokens in place of text. */
  hasTokens = false;
  readonly #walker = new JsonStrings(this);
  /** The number of texts, once the body is read. */
  count = 0;
  /**
   * What was found, in columns: one object for each text would cost more than its reading. Of each
   * text: its start, its end, and what it is and how it is spelled.
   */
  #spans = spareSpans ?? new Int32Array(SPAN_WIDTH * FIRST_TEXTS);
  readonly #objects: (ObjectFacts | undefined)[] = [];
  readonly #keys: string[] = [];
  #numbers = 0;
  readonly #hasSchema: boolean;
  /** The innermost object that is open. */
  #object: ObjectFacts | undefined;

  /** `hasSchema`: the document is that of an API; otherwise, its members may have any name. */
  constructor(hasSchema = true) {
    this.#hasSchema = hasSchema;
    spareSpans = undefined;
  }

  /** Gives the memory back for another body; nothing may be read any more. */
  release(): void {
    this.count = 0;
    if (this.#spans.length === SPAN_WIDTH * FIRST_TEXTS) {
      spareSpans = this.#spans;
    }
    this.#spans = NO_SPANS;
  }

  /** Reads a body. Returns whether the body is JSON. */
  *read(body: Uint8Array): Generator<number, boolean> {
    this.#walker.begin(body, 0, body.length);
    while (this.#walker.step(SLICE_BYTES)) {
      yield SLICE_BYTES;
    }
    return !this.#walker.broken;
  }

  /** Returns a text by its place in the body; undefined where a string is no text. */
  textAt(place: number): RequestText | undefined {
    const object = this.#objects[place];
    const key = this.#keys[place]!;
    const text = this.anyTextAt(place, stringUse(object, key));
    if (text.kind !== 'string') {
      return text;
    }
    if (isNoText(object, key)) {
      return undefined;
    }
    if (object?.hasSchema === true && isImageUrl(object.key, key)) {
      return isDataUrl(this.#walker.bytes, text.start, text.end) ? undefined : text;
    }
    if (isSealed(object, key)) {
      return isEncoded(this.#walker.bytes, text.start, text.end) ? undefined : this.anyTextAt(place, SEALED);
    }
    return text;
  }

  /** Returns the bytes of a text, or of what only looked like one. */
  bytesAt(place: number): number {
    return this.#spans[place * SPAN_WIDTH + 1]! - this.#spans[place * SPAN_WIDTH]!;
  }

  /** Returns a text by its place in a document without a schema. */
  anyTextAt(place: number, use: StringUse): RequestText {
    const at = place * SPAN_WIDTH;
    const form = this.#spans[at + 2]!;
    return {
      use,
      kind: kinds[form >> 2]!,
      key: this.#keys[place]!,
      spelling: spellings[form & 3]!,
      start: this.#spans[at]!,
      end: this.#spans[at + 1]!,
    };
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
    const isFull = kind !== 'number' && this.count - this.#numbers >= MAX_STRINGS;
    this.hasTooMany ||= isFull;
    if (this.hasTooMany) {
      return;
    }
    const at = this.count * SPAN_WIDTH;
    if (at === this.#spans.length) {
      const spans = new Int32Array(2 * at);
      spans.set(this.#spans);
      this.#spans = spans;
    }
    this.#spans[at] = start;
    this.#spans[at + 1] = end;
    this.#spans[at + 2] = (kinds.indexOf(kind) << 2) | spellings.indexOf(spelling);
    this.#objects.push(this.#object);
    this.#keys.push(key);
    this.count++;
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
    return names.of(this.#walker.bytes, start, Math.min(end, start + MAX_NAME_BYTES), spelling === 'ascii');
  }
}
