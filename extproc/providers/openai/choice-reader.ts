/** Reads the choices of one chunk: which of them begin or end, and where their text is. */

import type { JsonCursor } from '../../json/cursor.ts';
import type { Hole } from '../template.ts';
import { eachText, mayBeText } from '../unknown-text.ts';

/** Kinds of text in one choice; tool calls come after them, by index. */
const CONTENT = 0;
const REFUSAL = 1;
const REASONING = 2;
const TRANSCRIPT = 3;
const FUNCTION_CALL = 4;
const OTHER = 5;
const FIRST_TOOL = 8;
const CHANNELS_OF_A_CHOICE = 64;
/** Completions of many prompts have the most choices. */
const MAX_CHOICE = 4095;

/**
 * A piece of text, or (channel -1) a value that means nothing to us but differs from event to
 * event.
 */
export interface ChunkHole extends Hole {
  readonly channel: number;
}

export class ChoiceReader {
  readonly holes: ChunkHole[] = [];
  readonly finished: number[] = [];
  /** Why choices end, in order; of reasons that are strings. */
  readonly reasons: string[] = [];
  readonly begun: number[] = [];
  choices = 0;
  cursor!: JsonCursor;

  clear(): void {
    this.holes.length = 0;
    this.finished.length = 0;
    this.reasons.length = 0;
    this.begun.length = 0;
    this.choices = 0;
  }

  /** Reads the array at the cursor. */
  readChoices(): void {
    const cursor = this.cursor;
    if (!cursor.enterArray()) {
      return;
    }
    while (cursor.nextElement()) {
      this.choices++;
      this.#readChoice();
    }
  }

  #readChoice(): void {
    const cursor = this.cursor;
    if (!this.#enterObject(OTHER)) {
      return;
    }
    const firstHole = this.holes.length;
    let index = 0;
    let finished = false;
    while (cursor.nextMember()) {
      switch (cursor.key) {
        case 'index':
          index = Math.min(Math.trunc(cursor.number() ?? 0), MAX_CHOICE);
          break;
        case 'delta':
        case 'message':
          this.#readDelta();
          break;
        case 'text':
          this.#readText(CONTENT);
          break;
        case 'finish_reason':
          finished ||= !cursor.isNull();
          if (cursor.string()) {
            this.reasons.push(cursor.decoded());
          }
          break;
        default:
          this.#readOther();
      }
    }
    for (let hole = firstHole; hole < this.holes.length; hole++) {
      this.#ofChoice(hole, index);
    }
    this.begun.push(index);
    if (finished) {
      this.finished.push(index);
    }
  }

  #ofChoice(at: number, index: number): void {
    const hole = this.holes[at] as ChunkHole;
    if (hole.channel >= 0) {
      this.holes[at] = { ...hole, channel: hole.channel + index * CHANNELS_OF_A_CHOICE };
    }
  }

  #readDelta(): void {
    const cursor = this.cursor;
    if (!this.#enterObject(OTHER)) {
      return;
    }
    let reasoned = false;
    while (cursor.nextMember()) {
      switch (cursor.key) {
        case 'content':
          this.#readText(CONTENT);
          break;
        case 'refusal':
          this.#readText(REFUSAL);
          break;
        // Some servers send the same text under both names.
        case 'reasoning_content':
        case 'reasoning':
          if (reasoned) {
            cursor.skip();
          } else {
            reasoned = this.#readText(REASONING);
          }
          break;
        case 'tool_calls':
          this.#readToolCalls();
          break;
        case 'function_call':
          this.#readFunction(FUNCTION_CALL);
          break;
        case 'audio':
          this.#readMembers('transcript', TRANSCRIPT);
          break;
        // OpenRouter and LiteLLM repeat the reasoning in parts, or send it in these only.
        case 'reasoning_details':
        case 'thinking_blocks':
          if (reasoned) {
            cursor.skip();
          } else {
            reasoned = this.#readText(REASONING);
          }
          break;
        default:
          this.#readOther();
      }
    }
  }

  /**
   * A string, or an array of parts with `text` in them (Mistral's reasoning models nest `thinking`
   * parts). False: it is empty.
   */
  #readText(channel: number): boolean {
    const cursor = this.cursor;
    const before = this.holes.length;
    if (cursor.isArray()) {
      this.#readParts(channel, 0);
    } else if (cursor.isObject()) {
      this.#readAll(channel);
    } else if (cursor.string()) {
      this.addHole('string', channel);
    }
    for (let at = before; at < this.holes.length; at++) {
      const { start, end } = this.holes[at] as ChunkHole;
      if (end > start) {
        return true;
      }
    }
    return false;
  }

  #readOther(): void {
    const cursor = this.cursor;
    if (mayBeText(cursor.key)) {
      this.#readAll(OTHER);
    } else {
      cursor.skip();
    }
  }

  /** All text of the value, whatever form it has. */
  #readAll(channel: number): void {
    eachText(this.cursor, () => this.addHole('string', channel));
  }

  /** False where there is no object: what else may be text is read as such. */
  #enterObject(channel: number): boolean {
    if (this.cursor.isObject()) {
      return this.cursor.enterObject();
    }
    this.#readAll(channel);
    return false;
  }

  #readParts(channel: number, depth: number): void {
    const cursor = this.cursor;
    if (!cursor.enterArray()) {
      return;
    }
    while (cursor.nextElement()) {
      if (!this.#enterObject(channel)) {
        continue;
      }
      while (cursor.nextMember()) {
        const { key } = cursor;
        if (key === 'text' || key === 'thinking' || key === 'summary') {
          if (cursor.isArray() && depth < 2) {
            this.#readParts(REASONING, depth + 1);
          } else {
            this.#readAll(channel);
          }
        } else {
          this.#readOther();
        }
      }
    }
  }

  #readToolCalls(): void {
    const cursor = this.cursor;
    if (!cursor.isArray()) {
      this.#readAll(OTHER);
      return;
    }
    cursor.enterArray();
    let place = 0;
    while (cursor.nextElement()) {
      if (!this.#enterObject(OTHER)) {
        continue;
      }
      const firstHole = this.holes.length;
      let index = place++;
      while (cursor.nextMember()) {
        if (cursor.key === 'index') {
          index = cursor.number() ?? index;
        } else if (cursor.key === 'function' || cursor.key === 'custom') {
          this.#readFunction(FIRST_TOOL);
        } else if (mayBeText(cursor.key)) {
          this.#readAll(FIRST_TOOL);
        } else {
          cursor.skip();
        }
      }
      const offset = Math.min(Math.max(index, 0), CHANNELS_OF_A_CHOICE - FIRST_TOOL - 1);
      for (let at = firstHole; at < this.holes.length; at++) {
        const hole = this.holes[at] as ChunkHole;
        this.holes[at] = { ...hole, channel: hole.channel + offset };
      }
    }
  }

  #readFunction(channel: number): void {
    const cursor = this.cursor;
    if (!this.#enterObject(channel)) {
      return;
    }
    while (cursor.nextMember()) {
      const { key } = cursor;
      if (cursor.isString() && (key === 'name' || key === 'arguments' || key === 'input')) {
        if (cursor.string()) {
          this.addHole('string', channel);
        }
      } else if (mayBeText(key)) {
        this.#readAll(channel);
      } else {
        cursor.skip();
      }
    }
  }

  #readMembers(name: string, channel: number): void {
    const cursor = this.cursor;
    if (!cursor.enterObject()) {
      return;
    }
    while (cursor.nextMember()) {
      if (cursor.key !== name) {
        cursor.skip();
      } else if (cursor.string()) {
        this.addHole('string', channel);
      }
    }
  }

  addHole(kind: 'string' | 'number', channel: number): void {
    this.holes.push({ start: this.cursor.textStart, end: this.cursor.textEnd, kind, channel });
  }
}
