/** An open hold: what a request has in hand of each token bucket until it is settled. */
import type { HeldPart } from './admit.ts';
import type { Place } from './bucket.ts';
import type { Waiter } from './queue.ts';
import type { Charge, Hold } from './store.ts';

export interface Part extends HeldPart {
  readonly drawsInput: boolean;
}

export class OpenHold implements Hold {
  readonly id: string;
  /** Unique in this process, for the journal. */
  readonly number: number;
  readonly parts: readonly Part[];
  /** Its output is leased: it counts among the streams that share what is left. */
  readonly isStream: boolean;
  settled = false;
  /** Its extension that waits. */
  waiter: Waiter<Place> | undefined;
  /** The journal knows of it; its last change is not there yet. */
  journaled = false;
  dirty = false;

  constructor(id: string, number: number, parts: readonly Part[], isStream: boolean) {
    this.id = id;
    this.number = number;
    this.parts = parts;
    this.isStream = isStream;
    for (const { window, held } of parts) {
      window.held += held;
      window.openHolds++;
      window.bucket.openHolds++;
      window.streams += isStream ? 1 : 0;
    }
  }

  /** Takes more output in hand. */
  grow(outputTokens: number): void {
    for (const part of this.parts) {
      if (part.drawsOutput) {
        part.held += outputTokens;
        part.window.held += outputTokens;
      }
    }
  }

  /** Gives everything back. */
  release(): void {
    this.settled = true;
    for (const { window, held } of this.parts) {
      window.held -= held;
      window.openHolds--;
      window.bucket.openHolds--;
      window.streams -= this.isStream ? 1 : 0;
    }
  }
}

/** What a charge comes to in the bucket of a part. */
export function cost(part: Part, charge: Charge): number {
  return (part.drawsInput ? charge.inputTokens : 0) + (part.drawsOutput ? charge.outputTokens : 0);
}
