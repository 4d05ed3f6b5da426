/**
 * Collects entries for a destination, and sends them together: when they fill a message, when the
 * oldest has waited long enough, and at the end.
 */
import type { ContentEntry } from './entry.ts';
import type { ContentSender, SendFailure } from './sender.ts';

export interface ContentReport {
  /** How many of the entries are done. */
  readonly entries: number;
  readonly exported: number;
  readonly failure: SendFailure | undefined;
  readonly closed: boolean;
}

const MAX_FAILURE_CHARACTERS = 300;

export class ContentBatches {
  readonly #sender: ContentSender;
  readonly #report: (report: ContentReport) => void;
  /** Entries as JSON. */
  readonly #waiting: string[] = [];
  #waitingUnits = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Whether what waits is sent even if it fills no message. */
  #isDue = false;
  #isClosing = false;
  #openCalls = 0;

  /** `report` is called once for the entries of each call, and once at the end. */
  constructor(sender: ContentSender, report: (report: ContentReport) => void) {
    this.#sender = sender;
    this.#report = report;
  }

  /** Adds an entry, as JSON. */
  add(entry: string): void {
    this.#waiting.push(entry);
    this.#waitingUnits += entry.length;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#isDue = true;
      this.#send();
    }, this.#sender.delayMs);
    if (this.#isFull) {
      this.#send();
    }
  }

  /** Sends what waits; the last report says that this is done. */
  close(): void {
    clearTimeout(this.#timer);
    this.#isClosing = true;
    this.#send();
  }

  get #isFull(): boolean {
    return this.#waitingUnits >= this.#sender.maxUnits || this.#waiting.length >= this.#sender.maxEntries;
  }

  #send(): void {
    const { maxOpen } = this.#sender;
    while (this.#waiting.length > 0 && this.#openCalls < maxOpen && (this.#isDue || this.#isClosing || this.#isFull)) {
      void this.#sendNext();
    }
    this.#isDue &&= this.#waiting.length > 0;
    if (this.#isClosing && this.#openCalls === 0) {
      this.#report({ entries: 0, exported: 0, failure: undefined, closed: true });
    }
  }

  async #sendNext(): Promise<void> {
    const texts = this.#waiting.splice(0, this.#nextLength());
    this.#waitingUnits -= texts.reduce((sum, { length }) => sum + length, 0);
    this.#openCalls++;
    const { accepted, failure } = await this.#sender.send(texts.map((text) => JSON.parse(text) as ContentEntry));
    this.#openCalls--;
    const text = failure?.text.slice(0, MAX_FAILURE_CHARACTERS) ?? '';
    this.#report({
      entries: texts.length,
      exported: accepted,
      failure: failure && { reason: failure.reason, text },
      closed: false,
    });
    this.#send();
  }

  /** Returns how many entries the next call has: at least one. */
  #nextLength(): number {
    let units = 0;
    const most = Math.min(this.#waiting.length, this.#sender.maxEntries);
    for (let length = 0; length < most; length++) {
      units += this.#waiting[length]!.length;
      if (units > this.#sender.maxUnits) {
        return Math.max(1, length);
      }
    }
    return most;
  }
}
