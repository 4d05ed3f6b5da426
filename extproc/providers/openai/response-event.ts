/**
 * Reads one event of a responses stream:
 * https://platform.openai.com/docs/api-reference/responses-streaming
 */
import type { JsonCursor } from '../../json/cursor.ts';
import type { Hole } from '../template.ts';
import { readNumbers, type UsageNumbers } from '../usage.ts';

/** A value as written, copied from the event. */
export type RawJson = Uint8Array;

/** Longer values are not kept: items with whole files, responses with all their tools. */
const MAX_RAW_BYTES = 32_768;

export class ResponseEvent {
  type = '';
  sequenceNumber = -1;
  outputIndex = -1;
  /** Index of a content part or a summary part; 0 where the event has none. */
  partIndex = 0;
  itemId = '';
  /** All values that differ from delta to delta, in order. */
  readonly holes: Hole[] = [];
  /** The holes of the delta's text and of the sequence number; -1: none. */
  textHole = -1;
  sequenceHole = -1;
  item: RawJson | undefined;
  part: RawJson | undefined;
  response: RawJson | undefined;
  usage: UsageNumbers | undefined;
  responseId = '';
  responseModel = '';
  serviceTier = '';
  /** Name of the tool that an item calls, which the model writes too. */
  nameStart = 0;
  nameEnd = 0;
  #cursor!: JsonCursor;

  /** Reads the document at the cursor. Returns false if it is not JSON. */
  read(cursor: JsonCursor): boolean {
    this.#cursor = cursor;
    this.clear();
    if (!cursor.enterObject()) {
      return false;
    }
    while (cursor.nextMember()) {
      this.#readMember();
    }
    return !cursor.broken;
  }

  clear(): void {
    this.type = '';
    this.sequenceNumber = -1;
    this.outputIndex = -1;
    this.partIndex = 0;
    this.itemId = '';
    this.holes.length = 0;
    this.textHole = -1;
    this.sequenceHole = -1;
    this.item = undefined;
    this.part = undefined;
    this.response = undefined;
    this.usage = undefined;
    this.responseId = '';
    this.responseModel = '';
    this.serviceTier = '';
    this.nameStart = 0;
    this.nameEnd = 0;
  }

  #readMember(): void {
    const cursor = this.#cursor;
    switch (cursor.key) {
      case 'type':
        if (cursor.string()) {
          this.type = cursor.decoded();
        }
        break;
      case 'sequence_number': {
        const value = cursor.number();
        if (value === undefined) {
          break;
        }
        this.sequenceNumber = value;
        this.sequenceHole = this.#hole('number');
        break;
      }
      case 'output_index':
        this.outputIndex = Math.trunc(cursor.number() ?? -1);
        break;
      case 'content_index':
      case 'summary_index':
      case 'command_index':
        this.partIndex = Math.trunc(cursor.number() ?? 0);
        break;
      case 'item_id':
        if (cursor.string()) {
          this.itemId = cursor.decoded();
        }
        break;
      case 'delta':
        if (cursor.string()) {
          this.textHole = this.#hole('string');
        }
        break;
      case 'obfuscation':
        if (cursor.string()) {
          this.#hole('string');
        }
        break;
      case 'item':
        this.#readItem();
        break;
      case 'part':
        this.part = this.#raw();
        break;
      case 'response':
        this.#readResponse();
        break;
      default:
        cursor.skip();
    }
  }

  #readItem(): void {
    const cursor = this.#cursor;
    const start = cursor.at;
    if (!cursor.enterObject()) {
      return;
    }
    while (cursor.nextMember()) {
      if (cursor.key !== 'name') {
        cursor.skip();
      } else if (cursor.string()) {
        this.nameStart = cursor.textStart;
        this.nameEnd = cursor.textEnd;
      }
    }
    if (!cursor.broken) {
      this.item = kept(cursor.bytes, start, cursor.at);
    }
  }

  #readResponse(): void {
    const cursor = this.#cursor;
    const start = cursor.at;
    if (!cursor.enterObject()) {
      return;
    }
    while (cursor.nextMember()) {
      if (cursor.key === 'usage') {
        this.usage = readNumbers(cursor);
      } else if (cursor.key === 'id') {
        this.responseId = cursor.string() ? cursor.decoded() : '';
      } else if (cursor.key === 'model') {
        this.responseModel = cursor.string() ? cursor.decoded() : '';
      } else if (cursor.key === 'service_tier') {
        this.serviceTier = cursor.string() ? cursor.decoded() : '';
      } else {
        cursor.skip();
      }
    }
    if (!cursor.broken) {
      this.response = kept(cursor.bytes, start, cursor.at);
    }
  }

  #raw(): RawJson | undefined {
    const cursor = this.#cursor;
    const start = cursor.at;
    cursor.skip();
    return cursor.broken ? undefined : kept(cursor.bytes, start, cursor.valueEnd);
  }

  #hole(kind: 'string' | 'number'): number {
    return this.holes.push({ start: this.#cursor.textStart, end: this.#cursor.textEnd, kind }) - 1;
  }
}

function kept(bytes: Uint8Array, start: number, end: number): RawJson | undefined {
  return end - start <= MAX_RAW_BYTES ? Buffer.from(bytes.subarray(start, end)) : undefined;
}
