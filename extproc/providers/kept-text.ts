/**
 * Keeps the text that a stream has sent, for the events that close the stream: the Responses API
 * and TGI repeat the whole text in them. The text is kept as JSON string contents with their
 * escapes. Past the bound it is dropped, and the closing events have an empty text.
 */

/** 16,000 tokens of English: most responses. Bounds the memory of an open stream. */
const MAX_KEPT_BYTES = 65_536;

export class KeptBudget {
  left = MAX_KEPT_BYTES;
}

export class KeptText {
  #bytes: Uint8Array | undefined = new Uint8Array(0);
  #length = 0;
  readonly #budget: KeptBudget;

  constructor(budget: KeptBudget) {
    this.#budget = budget;
  }

  add(bytes: Uint8Array, start: number, end: number): void {
    const kept = this.#bytes;
    if (kept === undefined) {
      return;
    }
    const length = this.#length + end - start;
    if (length > kept.length) {
      const size = Math.max(256, length, kept.length * 2);
      const grown = size - kept.length <= this.#budget.left ? size : length;
      if (grown - kept.length > this.#budget.left) {
        this.forget();
        return;
      }
      this.#budget.left -= grown - kept.length;
      this.#bytes = new Uint8Array(grown);
      this.#bytes.set(kept.subarray(0, this.#length));
    }
    (this.#bytes as Uint8Array).set(bytes.subarray(start, end), this.#length);
    this.#length = length;
  }

  forget(): void {
    this.#budget.left += this.#bytes?.length ?? 0;
    this.#bytes = undefined;
    this.#length = 0;
  }

  /** Returns the unescaped text; empty if it exceeded the bound. */
  toString(): string {
    if (this.#bytes === undefined) {
      return '';
    }
    try {
      return JSON.parse(`"${Buffer.from(this.#bytes.subarray(0, this.#length)).toString()}"`) as string;
    } catch {
      return '';
    }
  }
}
