/** The text that an event adds to what its writer repeats at the end of the stream. */
import type { EventData } from './event.ts';
import type { KeptText } from './kept-text.ts';

/**
 * A range of the event, counted from its start, so that it stays valid in a copy of the event; or
 * of its data, where that was joined from several lines.
 */
export class TextFacts {
  textStart = 0;
  textEnd = 0;
  joined: Uint8Array | undefined;

  /** The range [start, end) of the event that starts at `eventStart`. */
  setText(start: number, end: number, eventStart: number): void {
    this.textStart = start - eventStart;
    this.textEnd = end - eventStart;
    this.joined = undefined;
  }

  /** The range [start, end) of the data. */
  setTextOf(data: EventData, start: number, end: number, eventStart: number): void {
    this.setText(start, end, data.inPlace ? eventStart : 0);
    this.joined = data.inPlace ? undefined : data.bytes;
  }

  clearText(): void {
    this.textStart = 0;
    this.textEnd = 0;
    this.joined = undefined;
  }

  get hasText(): boolean {
    return this.textEnd > this.textStart;
  }

  /** Adds the text of the event, whose bytes start at `eventStart`. */
  addText(kept: KeptText, bytes: Uint8Array, eventStart: number): void {
    const { joined, textStart, textEnd } = this;
    if (joined !== undefined) {
      kept.add(joined, textStart, textEnd);
    } else {
      kept.add(bytes, eventStart + textStart, eventStart + textEnd);
    }
  }
}
