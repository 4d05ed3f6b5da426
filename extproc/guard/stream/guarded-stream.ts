/**
 * Holds back the events of a stream until their text is decided, masks them, and lets them go in
 * order. Sees what the client gets: behind the writer of its API.
 */
import { asciiText } from '../../json/unescape.ts';
import { EventData } from '../../providers/event.ts';
import type { GuardBlock, RequestGuard } from '../guard.ts';
import { COMPLETED, INCOMPLETE, ResponseTexts } from '../text/responses/response-texts.ts';
import { Channels, type NewText } from './channels.ts';
import { EventBuffer } from './event-buffer.ts';
import { withoutOtherLines } from './event-lines.ts';
import { HeldText } from './held-text.ts';
import { withoutText } from './without-text.ts';

/** Takes events in order. The bytes are valid until the next `flush` of the stream. */
export type SendEvent = (bytes: Uint8Array, start: number, end: number) => void;

export interface HoldBackLimits {
  /** Bytes of events that wait for the oldest one. */
  readonly bytes: number;
  /** How long they wait, as far as further events arrive. */
  readonly ms: number;
}

const DONE = '[DONE]';

export class GuardedStream {
  /** An event cannot be read, so that its text is unknown. */
  unreadable = false;
  /** A closed rule allows no event to go that has waited to the bound. */
  exceeded = false;
  readonly #guard: RequestGuard;
  readonly #limits: HoldBackLimits;
  readonly #send: SendEvent;
  readonly #channels: Channels;
  readonly #texts = new ResponseTexts(true);
  readonly #buffer = new EventBuffer();
  readonly #data = new EventData();
  /** The events that wait, oldest first. */
  readonly #held: HeldText[] = [];
  #heldBytes = 0;
  readonly #masks: boolean;
  /** What cannot be read does not pass. */
  readonly #closed: boolean;

  constructor(guard: RequestGuard, newText: NewText, limits: HoldBackLimits, send: SendEvent) {
    this.#guard = guard;
    this.#limits = limits;
    this.#send = send;
    this.#channels = new Channels(guard, newText);
    this.#masks = guard.changesResponses;
    this.#closed = guard.closesResponses;
  }

  get block(): GuardBlock | undefined {
    return this.#guard.block;
  }

  /** The bytes that wait. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Takes a whole event. No text passes once a rule has blocked. */
  event(bytes: Uint8Array, start: number, end: number, nowMs: number): void {
    if (this.block !== undefined) {
      this.ending(bytes, start, end);
      return;
    }
    if (this.exceeded || (this.unreadable && this.#closed)) {
      return;
    }
    const data = this.#data;
    const hasData = data.find(bytes, start, end);
    if (hasData && !data.inPlace) {
      const joined = oneLine(bytes, start, end, data);
      this.event(joined, 0, joined.length, nowMs);
      return;
    }
    const clean = this.#masks ? withoutOtherLines(bytes, start, end, hasData ? data : undefined) : undefined;
    if (clean !== undefined) {
      this.event(clean, 0, clean.length, nowMs);
      return;
    }
    const held = new HeldText(bytes, start, end - start, nowMs);
    if (hasData && data.end > data.start) {
      this.#look(held, data.start, data.end);
      if (this.unreadable && this.#closed) {
        return;
      }
    }
    this.#heldBytes += held.length;
    if (this.#held.length === 0 && held.undecided === 0 && this.block === undefined) {
      this.#let(held);
      return;
    }
    this.#buffer.keep(held);
    this.#held.push(held);
    if (this.block !== undefined) {
      this.#blocked();
      return;
    }
    this.#letGo();
    this.#bound(nowMs);
  }

  /** Takes an event that ends the stream once a rule has blocked: without any text. */
  ending(bytes: Uint8Array, start: number, end: number): void {
    this.resume();
    const data = this.#data;
    if (!data.find(bytes, start, end)) {
      return;
    }
    const clean = data.inPlace ? withoutOtherLines(bytes, start, end, data) : oneLine(bytes, start, end, data);
    if (clean !== undefined) {
      this.ending(clean, 0, clean.length);
      return;
    }
    const held = new HeldText(bytes, start, end - start, 0);
    if (finished(this.#texts.read(bytes, data.start, data.end, start))) {
      held.edits.push(...withoutText(this.#texts), ...this.#texts.finishes);
      this.#let(held);
    } else if (data.is(DONE)) {
      this.#let(held);
    }
  }

  /** Decides what waits as it is, and releases it: nothing follows. */
  end(): void {
    if (this.exceeded) {
      return;
    }
    if (this.block === undefined) {
      this.#channels.end();
      this.#holdCarriers();
    }
    this.resume();
  }

  /** Lets go of what has been decided meanwhile. */
  resume(): void {
    if (this.block === undefined) {
      this.#letGo();
    } else {
      this.#blocked();
    }
  }

  #look(held: HeldText, start: number, end: number): void {
    const { bytes, base } = held;
    const texts = this.#texts;
    if (!finished(texts.read(bytes, start, end, base))) {
      this.unreadable ||= !this.#data.is(DONE);
      return;
    }
    if (this.#masks) {
      held.edits.push(...texts.spelled);
    }
    if (texts.finishes.length > 0) {
      held.finishes = [...texts.finishes];
    }
    finished(this.#channels.take(held, texts));
    this.#holdCarriers();
  }

  /** Text that was taken out of its event comes before the event with which it ends. */
  #holdCarriers(): void {
    for (const carrier of this.#channels.carriers.splice(0)) {
      this.#heldBytes += carrier.length;
      this.#held.push(carrier);
    }
  }

  /** Releases the oldest events whose text is decided. */
  #letGo(): void {
    let count = 0;
    while (count < this.#held.length && this.#held[count]!.undecided === 0) {
      this.#let(this.#held[count]!);
      count++;
    }
    this.#held.splice(0, count);
  }

  #let(held: HeldText): void {
    this.#heldBytes = Math.max(0, this.#heldBytes - held.length);
    if (held.edits.length === 0) {
      this.#send(held.bytes, held.base, held.base + held.length);
    } else {
      const edited = held.edited();
      this.#send(edited, 0, edited.length);
    }
  }

  /** Lets the events go that wait, without text that a rule blocks and all text behind it. */
  #blocked(): void {
    this.#channels.drop();
    for (const held of this.#held) {
      if (held.finishes.length > 0) {
        held.edits.push(...held.finishes);
        const edited = renamed(held.edited());
        this.#heldBytes -= held.length;
        this.#send(edited, 0, edited.length);
      } else {
        this.#let(held);
      }
    }
    this.#held.length = 0;
  }

  /** An open text may hold up others only so far and so long. */
  #bound(nowMs: number): void {
    for (let oldest = this.#held[0]; oldest !== undefined; oldest = this.#held[0]) {
      const isLong = this.#held.length > 1 && this.#heldBytes > this.#limits.bytes;
      const isOld = this.#held.length > 1 && nowMs - oldest.sinceMs > this.#limits.ms;
      if (!isLong && !isOld) {
        return;
      }
      const isReleased = this.#channels.release(oldest);
      if (this.block !== undefined) {
        this.#blocked();
        return;
      }
      if (!isReleased && isLong) {
        this.exceeded = true;
        return;
      }
      this.#letGo();
      if (this.#held[0] === oldest) {
        return;
      }
    }
  }
}

/** Runs work in one go: events are short. */
function finished<Result>(work: Generator<number, Result>): Result {
  let step = work.next();
  while (!step.done) {
    step = work.next();
  }
  return step.value;
}

/** Returns an event of several lines of data with one: a line end is white space in JSON. */
function oneLine(bytes: Uint8Array, start: number, end: number, data: EventData): Uint8Array {
  const lines = asciiText(bytes, start, end).split(/\r\n|\r|\n/);
  const others = lines.filter((line) => line !== '' && !line.startsWith('data:') && line !== 'data');
  const joined = asciiText(data.bytes, data.start, data.end).replaceAll('\n', ' ');
  return Buffer.from([...others, `data: ${joined}`, '', ''].join('\n'), 'latin1');
}

/** Names an event of the Responses API by what the answer has become. */
function renamed(event: Uint8Array): Uint8Array {
  const text = asciiText(event, 0, event.length);
  return Buffer.from(text.replace(`event: ${COMPLETED}`, `event: ${INCOMPLETE}`), 'latin1');
}
