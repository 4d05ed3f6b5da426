/**
 * The sum of a sliding window, kept in segments: never too low, and late by at most the length of
 * one segment.
 */

/** The sum is late by at most 1/60 of the window; a bucket keeps at most 62 pairs of numbers. */
export const SEGMENTS_PER_WINDOW = 60;

export class SlidingSum {
  readonly durationMs: number;
  readonly segmentMs: number;
  sum = 0;
  /** Ascending. Segment n covers the instants from n × segmentMs up to (n + 1) × segmentMs. */
  readonly numbers: number[] = [];
  readonly amounts: number[] = [];

  constructor(durationMs: number) {
    this.durationMs = durationMs;
    this.segmentMs = Math.max(1, Math.ceil(durationMs / SEGMENTS_PER_WINDOW));
  }

  /**
   * Charges at `atMs`, or in the newest segment if the clock went back. Returns the number of the
   * segment.
   */
  add(atMs: number, amount: number): number {
    const number = Math.max(Math.floor(atMs / this.segmentMs), this.numbers.at(-1) ?? 0);
    this.set(number, amount, true);
    return number;
  }

  /** Sets a segment that is not older than the newest one, or adds to it (`onTop`). */
  set(number: number, amount: number, onTop = false): void {
    const last = this.numbers.length - 1;
    if (last >= 0 && this.numbers[last] === number) {
      this.sum += onTop ? amount : amount - (this.amounts[last] ?? 0);
      this.amounts[last] = onTop ? (this.amounts[last] ?? 0) + amount : amount;
      return;
    }
    this.numbers.push(number);
    this.amounts.push(amount);
    this.sum += amount;
  }

  /**
   * Drops segments wholly before the window that ends at `atMs`, and segments more than one window
   * after it: a clock that was ahead charged those, and they would keep new charges in the future.
   * Returns whether future segments were dropped.
   */
  expire(atMs: number): boolean {
    while (this.numbers.length > 0 && this.leavesAtMs(0) <= atMs) {
      this.numbers.shift();
      this.sum -= this.amounts.shift() ?? 0;
    }
    const lastNumber = (atMs + this.durationMs) / this.segmentMs;
    if ((this.numbers.at(-1) ?? 0) <= lastNumber) {
      return false;
    }
    while ((this.numbers.at(-1) ?? 0) > lastNumber) {
      this.numbers.pop();
      this.sum -= this.amounts.pop() ?? 0;
    }
    return true;
  }

  /** Returns when the segment of this index leaves the window. */
  leavesAtMs(index: number): number {
    return ((this.numbers[index] ?? 0) + 1) * this.segmentMs + this.durationMs;
  }

  /** Returns when at most `amount` remains, if nothing more is charged. */
  fallsToAtMs(amount: number, atMs: number): number {
    let sum = this.sum;
    for (let index = 0; index < this.numbers.length && sum > amount; index++) {
      sum -= this.amounts[index] ?? 0;
      if (sum <= amount) {
        return this.leavesAtMs(index);
      }
    }
    return atMs;
  }

  /**
   * Returns the same charges under another duration. Each moves to the end of its old segment, or
   * to `atMs` if that is earlier, so that none leaves too early.
   */
  withDuration(durationMs: number, atMs: number): SlidingSum {
    const other = new SlidingSum(durationMs);
    for (const [index, number] of this.numbers.entries()) {
      const latestMs = Math.min((number + 1) * this.segmentMs - 1, atMs);
      other.set(Math.floor(latestMs / other.segmentMs), this.amounts[index] ?? 0, true);
    }
    return other;
  }
}
