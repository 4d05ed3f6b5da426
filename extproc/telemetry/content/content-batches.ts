/**
 * Collects entries for a destination, and sends them together: when they fill a message, when the
 * oldest has waited long enough, and at the end.
 */
import type { ContentEntry } from './entry.ts';
import type { ContentSender, SendFailure } from './sender.ts';

export interface SentEntries {
  /** How many of the entries are done. */
  readonly entries: number;
  readonly exported: number;
  readonly failure: SendFailure | undefined;
}

const MAX_FAILURE_CHARACTERS = 300;
/** The most UTF-16 units that wait: 500 requests with 16 KB of prompt and of answer. */
const MAX_UNITS = 16 * 1024 * 1024;

interface WaitingEntry {
  readonly entry: ContentEntry;
  readonly units: number;
}

export class ContentBatches {
  readonly #sender: ContentSender;
  readonly #report: (report: SentEntries) => void;
  readonly #waiting: WaitingEntry[] = [];
  #waitingUnits = 0;
  #sentUnits = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Whether what waits is sent even if it fills no message. */
  #isDue = false;
  #closed: (() => void) | undefined;
  #openCalls = 0;

  /** `report` is called once for the entries of each call. */
  constructor(sender: ContentSender, report: (report: SentEntries) => void) {
    this.#sender = sender;
    this.#report = report;
  }

  /** Adds an entry of at most so many UTF-16 units. Returns false where there is no room. */
  add(entry: ContentEntry, units: number): boolean {
    if (this.#waitingUnits + this.#sentUnits + units > MAX_UNITS) {
      return false;
    }
    this.#waiting.push({ entry, units });
    this.#waitingUnits += units;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#isDue = true;
      this.#send();
    }, this.#sender.delayMs);
    if (this.#isFull) {
      this.#send();
    }
    return true;
  }

  /** Sends what waits, and calls `done` when nothing is left. */
  close(done: () => void): void {
    clearTimeout(this.#timer);
    this.#closed = done;
    this.#send();
  }

  get #isFull(): boolean {
    return this.#waitingUnits >= this.#sender.maxUnits || this.#waiting.length >= this.#sender.maxEntries;
  }

  #send(): void {
    const { maxOpen } = this.#sender;
    while (
      this.#waiting.length > 0 &&
      this.#openCalls < maxOpen &&
      (this.#isDue || this.#closed !== undefined || this.#isFull)
    ) {
      void this.#sendNext();
    }
    this.#isDue &&= this.#waiting.length > 0;
    if (this.#openCalls === 0) {
      this.#closed?.();
    }
  }

  async #sendNext(): Promise<void> {
    const sent = this.#waiting.splice(0, this.#nextLength());
    const units = sent.reduce((sum, each) => sum + each.units, 0);
    this.#waitingUnits -= units;
    this.#sentUnits += units;
    this.#openCalls++;
    const { accepted, failure } = await this.#sender.send(sent.map(({ entry }) => entry));
    this.#openCalls--;
    this.#sentUnits -= units;
    const text = failure?.text.slice(0, MAX_FAILURE_CHARACTERS) ?? '';
    this.#report({ entries: sent.length, exported: accepted, failure: failure && { reason: failure.reason, text } });
    this.#send();
  }

  /** Returns how many entries the next call has: at least one. */
  #nextLength(): number {
    let units = 0;
    const most = Math.min(this.#waiting.length, this.#sender.maxEntries);
    for (let length = 0; length < most; length++) {
      units += this.#waiting[length]!.units;
      if (units > this.#sender.maxUnits) {
        return Math.max(1, length);
      }
    }
    return most;
  }
}
