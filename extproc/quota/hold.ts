/** An open hold: what a request has in hand of each token bucket until it is settled. */
import type { OutputPart } from './admit.ts';
import type { Charge, Hold, Holder } from './store.ts';

export interface HoldPart extends OutputPart {
  readonly drawsInput: boolean;
  /** Of a leased hold that draws output: the hold, and where the part stands in `window.leases`. */
  lease: OpenHold | undefined;
  nth: number;
}

export class OpenHold implements Hold {
  readonly id: string;
  /** Unique in this process, for the journal. */
  readonly number: number;
  readonly parts: readonly HoldPart[];
  /** What is held of it in each part that draws input. */
  inputTokens: number;
  /** Its output is leased, and usually comes to so much; undefined: it is held whole. */
  readonly usualTokens: number | undefined;
  holder: Holder | undefined;
  settled = false;
  /** The journal knows of it; its last change is not there yet. */
  journaled = false;
  dirty = false;

  constructor(
    id: string,
    number: number,
    parts: readonly HoldPart[],
    inputTokens: number,
    usualTokens: number | undefined,
  ) {
    this.id = id;
    this.number = number;
    this.parts = parts;
    this.inputTokens = inputTokens;
    this.usualTokens = usualTokens;
    for (const part of parts) {
      const { window } = part;
      window.held += part.held;
      window.openHolds++;
      window.bucket.openHolds++;
      if (usualTokens !== undefined && part.drawsOutput) {
        part.lease = this;
        part.nth = window.leases.push(part) - 1;
      }
    }
  }

  /** Takes more output in hand; a negative number gives some back. */
  grow(outputTokens: number): void {
    for (const part of this.parts) {
      if (part.drawsOutput) {
        part.held += outputTokens;
        part.window.held += outputTokens;
      }
    }
  }

  /** Holds less input, as it is counted by now. False: it is no less. */
  lowerInput(inputTokens: number): boolean {
    const less = this.inputTokens - inputTokens;
    if (less <= 0) {
      return false;
    }
    this.inputTokens = inputTokens;
    for (const part of this.parts) {
      if (part.drawsInput) {
        part.held -= less;
        part.window.held -= less;
      }
    }
    return true;
  }

  /** Gives everything back. */
  release(): void {
    this.settled = true;
    this.holder = undefined;
    for (const part of this.parts) {
      const { window } = part;
      window.held -= part.held;
      window.openHolds--;
      window.bucket.openHolds--;
      if (part.lease !== undefined) {
        const last = window.leases.pop()!;
        if (last !== part) {
          window.leases[part.nth] = last;
          last.nth = part.nth;
        }
      }
    }
  }
}

/** What a charge comes to in the bucket of a part. */
export function cost(part: HoldPart, charge: Charge): number {
  return (part.drawsInput ? charge.inputTokens : 0) + (part.drawsOutput ? charge.outputTokens : 0);
}
