/** An open hold: what is set aside for a request in each bucket until the request is settled. */
import type { WindowState } from './bucket.ts';
import type { Hold, Holder } from './store.ts';

/** The part of a hold in one window, in units of its quota. */
export interface HoldPart {
  readonly window: WindowState;
  /** The index of the draw in `Demand.draws`. */
  readonly index: number;
  readonly perInputToken: number;
  readonly perOutputToken: number;
  held: number;
  /**
   * Set where the output is leased and drawn from this window: the hold, and the part's index in
   * `window.leases`.
   */
  lease: OpenHold | undefined;
  leaseIndex: number;
}

export class OpenHold implements Hold {
  readonly id: string;
  /** Unique in this process; names the hold in the journal. */
  readonly number: number;
  readonly parts: readonly HoldPart[];
  /** Input tokens held in each part that draws input. */
  inputTokens: number;
  /**
   * The usual output of such a stream, where the output is leased; undefined: the output is held
   * whole.
   */
  readonly usualTokens: number | undefined;
  holder: Holder | undefined;
  settled = false;

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
      if (usualTokens !== undefined && part.perOutputToken > 0) {
        part.lease = this;
        part.leaseIndex = window.leases.push(part) - 1;
      }
    }
  }

  /** Adds output tokens to the hold; a negative number gives some back. */
  grow(outputTokens: number): void {
    for (const part of this.parts) {
      const units = part.perOutputToken * outputTokens;
      part.held += units;
      part.window.held += units;
    }
  }

  /** Lowers the held input to a counted number. Returns false where that is not lower. */
  lowerInput(inputTokens: number): boolean {
    const less = this.inputTokens - inputTokens;
    if (less <= 0) {
      return false;
    }
    this.inputTokens = inputTokens;
    for (const part of this.parts) {
      const units = part.perInputToken * less;
      part.held -= units;
      part.window.held -= units;
    }
    return true;
  }

  /** Gives back everything that is held. */
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
          window.leases[part.leaseIndex] = last;
          last.leaseIndex = part.leaseIndex;
        }
      }
    }
  }
}
