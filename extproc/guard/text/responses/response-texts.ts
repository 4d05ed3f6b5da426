/**
 * Finds all text in a response: in a whole document, or in an event of a stream, of any client API.
 * Every string is text unless its member is known to be none.
 */
import type { Splice } from '../../../json/splice.ts';
import { asciiText, text } from '../../../json/unescape.ts';
import { JsonStrings, type JsonVisitor } from '../json-strings.ts';
import { isDataUrl, isImageUrl } from '../member-names.ts';
import {
  endedChannel,
  isKnownObject,
  loneUse,
  type ResponseObject,
  type ResponseTextUse,
  textUse,
} from './response-object.ts';

/** A string of the response that is text: the contents between its quotes. */
export interface ResponseText extends ResponseTextUse {
  readonly start: number;
  readonly end: number;
}

interface FoundText {
  readonly start: number;
  readonly end: number;
  readonly object: ResponseObject;
  readonly key: string;
  readonly kind: 'string' | 'key' | 'number';
}

/** Reasons to finish, and what the client gets in their place where the response is blocked. */
const finishes: ReadonlyMap<string, string> = new Map([
  ['finish_reason', 'content_filter'],
  ['finishReason', 'SAFETY'],
  ['stop_reason', 'refusal'],
]);

/** Details that spell the text again, token by token. */
const spelledMembers: ReadonlySet<string> = new Set(['logprobs', 'logprobsResult', 'top_tokens']);

/** Numbers of seconds. */
const TIMES: ReadonlySet<string> = new Set(['created', 'created_at', 'completed_at', 'expires_at']);

/** Shorter numbers of known objects are counts and places. */
const LONG_NUMBER_DIGITS = 9;

/** Longer keys of known objects are no names of an API. */
const MAX_NAME_BYTES = 48;

/** Bytes that are read without a pause. */
const SLICE_BYTES = 16 * 1024;

/** Each takes about 100 bytes of memory. */
const MAX_STRINGS = 200_000;

export class ResponseTexts implements JsonVisitor {
  /** In the order of the document. */
  readonly texts: ResponseText[] = [];
  /** What takes the place of the reasons to finish where the response is blocked. */
  readonly finishes: Splice[] = [];
  /** Removes what spells the text again. */
  readonly spelled: Splice[] = [];
  /** Choices for which nothing follows. */
  readonly endedChoices: string[] = [];
  /** The channel that ends. */
  endedChannel: string | undefined;
  /** The kind of the block of a message that begins; no block of another kind goes on. */
  begunBlock: string | undefined;
  /** Nothing follows at all. */
  endsAll = false;
  /** The document has more strings than are read. */
  hasTooMany = false;
  readonly #streamed: boolean;
  readonly #walker = new JsonStrings(this);
  readonly #found: FoundText[] = [];
  #base = 0;
  #object: ResponseObject | undefined;
  #root: ResponseObject | undefined;
  /** Where the value begins that spells the text again, and how deep it is; -1: none. */
  #spelledStart = -1;
  #spelledDepth = 0;

  constructor(streamed: boolean) {
    this.#streamed = streamed;
  }

  /**
   * Reads a document in steps; offsets count from `base`. Returns false where the bytes are no JSON
   * or have too many strings.
   */
  *read(bytes: Uint8Array, start: number, end: number, base: number): Generator<number, boolean> {
    this.#reset();
    this.#base = base;
    const walker = this.#walker;
    walker.begin(bytes, start, end);
    while (walker.step(SLICE_BYTES)) {
      yield SLICE_BYTES;
    }
    if (walker.broken || this.hasTooMany) {
      return false;
    }
    this.#resolve();
    return true;
  }

  enter(at: number): void {
    const { bytes, key, place, depth, isMember } = this.#walker;
    if (isMember && this.#spelledStart < 0 && spelledMembers.has(key) && !this.#isData) {
      this.#spelledStart = at;
      this.#spelledDepth = depth;
    }
    if (bytes[at] !== 0x7b) {
      return;
    }
    this.#object = {
      parent: this.#object,
      key,
      place,
      type: '',
      index: -1,
      indexes: '',
      isThought: false,
      isSigned: false,
      hasThoughtSignature: false,
      format: '',
      isKnown: isKnownObject(this.#object, key),
      isFinished: false,
    };
    this.#root ??= this.#object;
  }

  leave(end: number): void {
    const { bytes, depth } = this.#walker;
    if (this.#spelledStart >= 0 && depth === this.#spelledDepth) {
      const replacement = bytes[end - 1] === 0x5d ? '[]' : 'null';
      this.spelled.push(this.#splice(this.#spelledStart, end, replacement));
      this.#spelledStart = -1;
    }
    if (bytes[end - 1] !== 0x7d) {
      return;
    }
    const object = this.#object!;
    if (object.isFinished) {
      this.#finish(object);
    }
    if (object.key === 'content_block' && this.#streamed) {
      this.begunBlock = object.type;
    }
    this.#object = object.parent;
  }

  string(start: number, end: number): void {
    const object = this.#object;
    if (object === undefined || this.#spelledStart >= 0) {
      // A document that is only a string or a list of strings.
      this.#takeLoose(start, end, 'text');
      return;
    }
    const { key, isMember } = this.#walker;
    if (isMember) {
      this.#note(object, key, start, end);
    }
    this.#find({ start, end, object, key, kind: 'string' });
  }

  key(start: number, end: number): void {
    const object = this.#object!;
    if (this.#spelledStart < 0 && !(object.isKnown && isName(this.#walker.bytes, start, end))) {
      this.#find({ start, end, object, key: '', kind: 'key' });
    }
  }

  scalar(start: number, end: number): void {
    const object = this.#object;
    const { key, isMember, bytes } = this.#walker;
    const first = bytes[start]!;
    if (object === undefined) {
      if (first < 0x3a) {
        this.#takeLoose(start, end, 'number');
      }
      return;
    }
    if (first < 0x3a && this.#spelledStart < 0 && (!object.isKnown || isLongNumber(bytes, start, end))) {
      this.#find({ start, end, object, key, kind: 'number' });
    }
    if (!isMember) {
      return;
    }
    if (key === 'thought') {
      object.isThought = first === 0x74;
    } else if (first >= 0x30 && first <= 0x39 && key.endsWith('index')) {
      const number = Number(asciiText(bytes, start, Math.min(end, start + 20)));
      if (key === 'index') {
        object.index = number;
      } else {
        object.indexes += `:${number}`;
      }
    } else if (key === 'incomplete_details' && first === 0x6e) {
      this.finishes.push(this.#splice(start, end, '{"reason":"content_filter"}'));
    }
  }

  #find(found: FoundText): void {
    if (found.end > found.start) {
      this.hasTooMany ||= this.#found.length === MAX_STRINGS;
      if (!this.hasTooMany) {
        this.#found.push(found);
      }
    }
  }

  #reset(): void {
    this.texts.length = 0;
    this.finishes.length = 0;
    this.spelled.length = 0;
    this.endedChoices.length = 0;
    this.endedChannel = undefined;
    this.begunBlock = undefined;
    this.endsAll = false;
    this.hasTooMany = false;
    this.#found.length = 0;
    this.#object = undefined;
    this.#root = undefined;
    this.#spelledStart = -1;
  }

  /** Notes a member that says what its object is. */
  #note(object: ResponseObject, key: string, start: number, end: number): void {
    if (key === 'type') {
      object.type = this.#short(start, end);
      if (object.parent === undefined && object.type === COMPLETED) {
        this.finishes.push(this.#splice(start, end, INCOMPLETE));
      }
    } else if (key === 'signature') {
      object.isSigned ||= end > start;
    } else if (key === 'thoughtSignature' || key === 'thought_signature') {
      object.hasThoughtSignature ||= end > start;
    } else if (key === 'format' && object.key === 'reasoning_details') {
      object.format = this.#short(start, end);
    } else if (key === 'generated_text' && object.parent === undefined) {
      this.endsAll = true;
    } else if (key === 'status' && end > start) {
      if (this.#short(start, end) === 'completed' && (object.parent === undefined || object.key === 'response')) {
        this.finishes.push(this.#splice(start, end, 'incomplete'));
      }
    } else if (key === 'reason' && object.key === 'incomplete_details') {
      this.finishes.push(this.#splice(start, end, 'content_filter'));
    } else if (finishes.has(key) && end > start) {
      object.isFinished = true;
      // Text Generation Inference has no reason of this kind.
      const value = object.key === 'details' ? 'stop_sequence' : finishes.get(key)!;
      this.finishes.push(this.#splice(start, end, value));
    }
  }

  #finish(object: ResponseObject): void {
    if (object.key === 'choices' || object.key === 'candidates') {
      this.endedChoices.push(String(object.index < 0 ? object.place : object.index));
    } else {
      this.endsAll = true;
    }
  }

  #resolve(): void {
    for (const found of this.#found) {
      const use = this.#useOf(found);
      if (use !== undefined) {
        this.texts.push({ ...use, start: found.start - this.#base, end: found.end - this.#base });
      }
    }
    const root = this.#root;
    if (root !== undefined && root.type !== '') {
      this.endedChannel = endedChannel(root);
      this.endsAll ||= ENDS.has(root.type);
    }
  }

  #useOf({ start, end, object, key, kind }: FoundText): ResponseTextUse | undefined {
    if (kind === 'string') {
      if (object.isKnown && isImageUrl(object.key, key) && isDataUrl(this.#walker.bytes, start, end)) {
        return undefined;
      }
      return textUse(object, key, this.#streamed);
    }
    if (kind === 'number' && object.isKnown && TIMES.has(key)) {
      return undefined;
    }
    const use = loneUse(object, key, this.#streamed);
    return { ...use, form: kind };
  }

  #takeLoose(start: number, end: number, form: 'text' | 'number'): void {
    if (this.#spelledStart < 0 && end > start) {
      const use = { scope: 'assistant', form, channel: '', choice: '' } as const;
      this.texts.push({
        ...use,
        start: start - this.#base,
        end: end - this.#base,
        isSigned: false,
        whole: true,
        repeats: false,
      });
    }
  }

  #splice(start: number, end: number, text: string): Splice {
    return { start: start - this.#base, end: end - this.#base, bytes: Buffer.from(text) };
  }

  #short(start: number, end: number): string {
    return text(this.#walker.bytes, start, Math.min(end, start + 64));
  }

  /** Whether the current value is in what a tool gets, where members may have any name. */
  get #isData(): boolean {
    for (let at = this.#object; at !== undefined; at = at.parent) {
      if (at.key === 'args' || at.key === 'input') {
        return true;
      }
    }
    return false;
  }
}

/** Whether a key has only letters and underscores, as almost all names of the APIs. */
function isName(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > MAX_NAME_BYTES) {
    return false;
  }
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if ((byte < 0x61 || byte > 0x7a) && byte !== 0x5f && (byte < 0x41 || byte > 0x5a)) {
      return false;
    }
  }
  return true;
}

function isLongNumber(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < LONG_NUMBER_DIGITS) {
    return false;
  }
  for (let at = start + 1; at < end; at++) {
    if (bytes[at]! > 0x39 || bytes[at]! < 0x30) {
      return false;
    }
  }
  return true;
}

/** The event of the Responses API with which an answer ends, and the one where it was cut short. */
export const COMPLETED = 'response.completed';
export const INCOMPLETE = 'response.incomplete';

/** Events behind which no text follows. */
const ENDS: ReadonlySet<string> = new Set(['message_stop', COMPLETED, INCOMPLETE, 'response.failed']);
