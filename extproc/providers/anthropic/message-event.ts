/**
 * Reads one event of a messages stream:
 * https://platform.claude.com/docs/en/build-with-claude/streaming
 */
import type { JsonCursor } from '../../json/cursor.ts';
import type { Hole } from '../template.ts';
import { eachText, mayBeText } from '../unknown-text.ts';
import { readNumbers, type UsageNumbers } from '../usage.ts';

const TEXT = 0;
const THINKING = 1;
const TOOL_INPUT = 2;
const OTHER = 3;
const CHANNELS_OF_A_BLOCK = 4;
const MAX_BLOCK = 65_535;

export interface BlockHole extends Hole {
  readonly channel: number;
}

export class MessageEvent {
  type = '';
  /** Index of the block; -1: none. */
  index = -1;
  readonly holes: BlockHole[] = [];
  usage: UsageNumbers | undefined;
  messageId = '';
  model = '';
  /** Empty: the event names none. */
  serviceTier = '';
  /** The event says why the message ends; `reason` if as a string. */
  stopReason = false;
  reason = '';
  #cursor!: JsonCursor;
  readonly #onTier = (serviceTier: string) => {
    this.serviceTier = serviceTier;
  };

  /** Reads the document at the cursor. Returns false if it is not JSON. */
  read(cursor: JsonCursor): boolean {
    this.#cursor = cursor;
    this.clear();
    if (!cursor.enterObject()) {
      return false;
    }
    while (cursor.nextMember()) {
      switch (cursor.key) {
        case 'type':
          if (cursor.string()) {
            this.type = cursor.decoded();
          }
          break;
        case 'index':
          this.index = Math.min(Math.trunc(cursor.number() ?? -1), MAX_BLOCK);
          break;
        case 'delta':
          this.#readContent(true);
          break;
        case 'content_block':
          this.#readContent(false);
          break;
        case 'message':
          this.#readMessage();
          break;
        case 'usage':
          this.usage = readNumbers(cursor, this.#onTier);
          break;
        default:
          cursor.skip();
      }
    }
    const base = Math.max(this.index, 0) * CHANNELS_OF_A_BLOCK;
    for (const [place, hole] of this.holes.entries()) {
      this.holes[place] = { ...hole, channel: hole.channel + base };
    }
    return !cursor.broken;
  }

  clear(): void {
    this.type = '';
    this.index = -1;
    this.holes.length = 0;
    this.usage = undefined;
    this.messageId = '';
    this.model = '';
    this.serviceTier = '';
    this.stopReason = false;
    this.reason = '';
  }

  /**
   * Blocks also start with results of tools, which no model writes. So only deltas are searched for
   * unknown text.
   */
  #readContent(isDelta: boolean): void {
    const cursor = this.#cursor;
    if (isDelta && !cursor.isObject()) {
      this.#text(OTHER);
      return;
    }
    if (!cursor.enterObject()) {
      return;
    }
    while (cursor.nextMember()) {
      switch (cursor.key) {
        case 'text':
          this.#text(TEXT);
          break;
        case 'thinking':
          this.#text(THINKING);
          break;
        case 'partial_json':
        case 'name':
          this.#text(TOOL_INPUT);
          break;
        case 'stop_reason':
          this.stopReason = !cursor.isNull();
          this.reason = cursor.string() ? cursor.decoded() : '';
          break;
        default:
          if (isDelta && mayBeText(cursor.key)) {
            this.#text(OTHER);
          } else {
            cursor.skip();
          }
      }
    }
  }

  #readMessage(): void {
    const cursor = this.#cursor;
    if (!cursor.enterObject()) {
      return;
    }
    while (cursor.nextMember()) {
      switch (cursor.key) {
        case 'id':
          if (cursor.string()) {
            this.messageId = cursor.decoded();
          }
          break;
        case 'model':
          if (cursor.string()) {
            this.model = cursor.decoded();
          }
          break;
        case 'usage':
          this.usage = readNumbers(cursor, this.#onTier);
          break;
        default:
          cursor.skip();
      }
    }
  }

  #text(channel: number): void {
    const cursor = this.#cursor;
    if (!cursor.isString()) {
      eachText(cursor, () => this.#hole(channel));
    } else if (cursor.string()) {
      this.#hole(channel);
    }
  }

  #hole(channel: number): void {
    const { textStart, textEnd } = this.#cursor;
    this.holes.push({ start: textStart, end: textEnd, kind: 'string', channel });
  }
}
