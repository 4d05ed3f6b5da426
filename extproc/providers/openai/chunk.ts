/** Reads one event of a chat completions or completions stream. */

import type { JsonCursor } from '../../json/cursor.ts';
import type { Usage } from '../../usage.ts';
import { openAiUsage, readNumbers } from '../usage.ts';
import { ChoiceReader } from './choice-reader.ts';

/**
 * What `stream_options.include_usage` brings. Providers that tell usage of their own accord add
 * costs, times and the like.
 */
const ASKED_NUMBERS = /^(prompt|completion|total)_tokens$|\.|cache/;

/** The values that are repeated in every chunk, as they are written. */
export interface ChunkHead {
  readonly id: Uint8Array | undefined;
  readonly created: Uint8Array | undefined;
  readonly model: Uint8Array | undefined;
  readonly systemFingerprint: Uint8Array | undefined;
}

export type ChoiceForm = 'chat' | 'completion';

export class ChoiceChunk extends ChoiceReader {
  usage: Usage | undefined;
  /** The usage has numbers that `include_usage` does not bring. */
  ownUsage = false;
  /** Empty: the chunk names none. */
  serviceTier = '';
  failed = false;
  /** Where `"usage":null` stands, with the comma that goes with it. */
  nullUsageStart = -1;
  nullUsageEnd = -1;
  head: ChunkHead | undefined;

  /** It has nothing that a chunk has. */
  get unknown(): boolean {
    return this.choices === 0 && this.usage === undefined && !this.failed;
  }

  /** Reads the document at the cursor. False: it is not JSON. */
  read(cursor: JsonCursor, wantsHead: boolean): boolean {
    this.cursor = cursor;
    this.clear();
    this.usage = undefined;
    this.ownUsage = false;
    this.serviceTier = '';
    this.failed = false;
    this.nullUsageStart = -1;
    const head: { -readonly [Name in keyof ChunkHead]: ChunkHead[Name] } = {
      id: undefined,
      created: undefined,
      model: undefined,
      systemFingerprint: undefined,
    };
    const documentStart = cursor.at;
    if (!cursor.enterObject()) {
      return false;
    }
    while (cursor.nextMember()) {
      switch (cursor.key) {
        case 'id':
          head.id = this.#raw(wantsHead);
          break;
        case 'model':
          head.model = this.#raw(wantsHead);
          break;
        case 'created':
          this.#readCreated(wantsHead, head);
          break;
        case 'system_fingerprint':
          head.systemFingerprint = this.#raw(wantsHead);
          break;
        case 'service_tier':
          this.serviceTier = cursor.string() ? cursor.decoded() : '';
          break;
        case 'choices':
          this.readChoices();
          break;
        case 'usage':
          this.#readUsage(documentStart);
          break;
        case 'x_groq':
          this.#readGroq();
          break;
        case 'obfuscation':
          if (cursor.string()) {
            this.addHole('string', -1);
          }
          break;
        case 'error':
          if (!cursor.isNull()) {
            this.failed = true;
          }
          cursor.skip();
          break;
        default:
          // Timings and counters of servers of their own kind: they change with each event and mean
          // nothing to us.
          if (cursor.number() !== undefined) {
            this.addHole('number', -1);
          }
      }
    }
    this.head = wantsHead ? head : undefined;
    return !cursor.broken;
  }

  #raw(wanted: boolean): Uint8Array | undefined {
    const cursor = this.cursor;
    const start = cursor.at;
    cursor.skip();
    return wanted && !cursor.broken && cursor.valueEnd - start <= 1024
      ? Buffer.from(cursor.bytes.subarray(start, cursor.valueEnd))
      : undefined;
  }

  #readCreated(wantsHead: boolean, head: { created: Uint8Array | undefined }): void {
    const cursor = this.cursor;
    if (cursor.number() === undefined) {
      return;
    }
    if (wantsHead) {
      head.created = Buffer.from(cursor.bytes.subarray(cursor.textStart, cursor.textEnd));
    }
    this.addHole('number', -1);
  }

  #readUsage(documentStart: number): void {
    const cursor = this.cursor;
    if (cursor.isNull()) {
      const { keyStart } = cursor;
      cursor.skip();
      this.#findNullUsage(keyStart, cursor.valueEnd, documentStart);
      return;
    }
    const numbers = readNumbers(cursor);
    if (numbers === undefined) {
      return;
    }
    this.usage = openAiUsage(numbers) ?? this.usage;
    for (const name of numbers.keys()) {
      this.ownUsage ||= !ASKED_NUMBERS.test(name);
    }
  }

  #findNullUsage(keyStart: number, valueEnd: number, documentStart: number): void {
    const { bytes } = this.cursor;
    let before = keyStart - 1;
    while (before > documentStart && bytes[before] !== 0x2c) {
      before--;
    }
    if (before > documentStart) {
      this.nullUsageStart = before;
      this.nullUsageEnd = valueEnd;
    } else {
      let after = valueEnd;
      while (bytes[after] === 0x20) {
        after++;
      }
      this.nullUsageStart = keyStart;
      this.nullUsageEnd = bytes[after] === 0x2c ? after + 1 : valueEnd;
    }
  }

  #readGroq(): void {
    const cursor = this.cursor;
    if (!cursor.enterObject()) {
      return;
    }
    while (cursor.nextMember()) {
      if (cursor.key === 'usage') {
        const numbers = readNumbers(cursor);
        if (numbers !== undefined) {
          this.usage ??= openAiUsage(numbers);
        }
      } else {
        cursor.skip();
      }
    }
  }
}
