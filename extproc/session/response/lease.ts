/**
 * The output that a stream holds of its quotas: its reservation first, then what its extensions
 * have added.
 */
import type { CountingWork, Hold, Holder } from '../../quota/store.ts';
import type { LeasedStream } from './leased-stream.ts';

export class Lease implements Holder {
  readonly hold: Hold;
  /**
   * Whether the quota store may take back what is unused: not while an extension is pending, nor at
   * the end.
   */
  reclaimable = true;
  readonly #countedInput: () => number | undefined;
  #reserved: number;
  #stream: LeasedStream | undefined;

  constructor(hold: Hold, tokens: number, countedInput: () => number | undefined) {
    this.hold = hold;
    this.#reserved = tokens;
    this.#countedInput = countedInput;
  }

  get tokens(): number {
    return this.#stream?.leasedTokens ?? this.#reserved;
  }

  /** From here on the stream keeps the account. */
  attach(stream: LeasedStream): void {
    this.#stream = stream;
  }

  unused(kept: number, work: CountingWork): number {
    if (!this.reclaimable) {
      return 0;
    }
    return this.#stream?.unused(kept, work) ?? Math.max(0, this.#reserved - kept);
  }

  giveBack(tokens: number): void {
    if (this.#stream === undefined) {
      this.#reserved -= tokens;
    } else {
      this.#stream.giveBack(tokens);
    }
  }

  countedInput(): number | undefined {
    return this.#countedInput();
  }
}
