/**
 * Reads one event of a `/generate_stream` response: a token, and with the last one the whole text
 * and its details.
 */
import type { JsonCursor } from '../../json/cursor.ts';
import type { Hole } from '../template.ts';
import { readNumbers, type UsageNumbers } from '../usage.ts';

export class TokenEvent {
  /** All values that differ from token to token, in order. */
  readonly holes: Hole[] = [];
  /** The hole of the token's text; -1: none. */
  textHole = -1;
  /** End marks and the like, which are not part of the generated text. */
  special = false;
  index = -1;
  last = false;
  failed = false;
  /** Whether the whole text is present, and its range. */
  whole = false;
  wholeStart = 0;
  wholeEnd = 0;
  details: UsageNumbers | undefined;
  detailsStart = 0;
  detailsEnd = 0;
  #cursor!: JsonCursor;

  /** Nothing of a token event is present. */
  get unknown(): boolean {
    return this.textHole < 0 && !this.last && !this.failed;
  }

  /** Reads the document at the cursor. Returns false if it is not JSON. */
  read(cursor: JsonCursor): boolean {
    this.#cursor = cursor;
    this.holes.length = 0;
    this.textHole = -1;
    this.special = false;
    this.index = -1;
    this.last = false;
    this.failed = false;
    this.whole = false;
    this.details = undefined;
    if (!cursor.enterObject()) {
      return false;
    }
    while (cursor.nextMember()) {
      switch (cursor.key) {
        case 'index':
          this.index = this.#number() ?? -1;
          break;
        case 'token':
          this.#readToken();
          break;
        case 'generated_text':
          this.whole = cursor.string();
          this.last ||= this.whole;
          this.wholeStart = cursor.textStart;
          this.wholeEnd = cursor.textEnd;
          break;
        case 'details':
          this.#readDetails();
          break;
        case 'error':
          this.failed = true;
          cursor.skip();
          break;
        default:
          cursor.skip();
      }
    }
    return !cursor.broken;
  }

  #readToken(): void {
    const cursor = this.#cursor;
    if (!cursor.enterObject()) {
      return;
    }
    while (cursor.nextMember()) {
      switch (cursor.key) {
        case 'text':
          if (cursor.string()) {
            this.textHole = this.#hole('string');
          }
          break;
        case 'id':
        case 'logprob':
          this.#number();
          break;
        case 'special':
          this.special = cursor.bytes[cursor.at] === 0x74;
          cursor.skip();
          break;
        default:
          cursor.skip();
      }
    }
  }

  #readDetails(): void {
    const cursor = this.#cursor;
    this.detailsStart = cursor.at;
    if (!cursor.isObject()) {
      cursor.skip();
      return;
    }
    cursor.skip();
    this.detailsEnd = cursor.valueEnd;
    const after = cursor.at;
    cursor.at = this.detailsStart;
    this.details = readNumbers(cursor);
    cursor.at = after;
  }

  #number(): number | undefined {
    const value = this.#cursor.number();
    if (value !== undefined) {
      this.#hole('number');
    }
    return value;
  }

  #hole(kind: 'string' | 'number'): number {
    return this.holes.push({ start: this.#cursor.textStart, end: this.#cursor.textEnd, kind }) - 1;
  }
}
