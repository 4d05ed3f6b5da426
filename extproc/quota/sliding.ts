/** The sum of a sliding window, kept in segments: never below what was really charged in the window, at most one segment's length behind it. */

/** The sum is at most 1/60 of the window's length too old; a bucket keeps at most 62 pairs of numbers. */
export const segmentsPerWindow = 60;

export class SlidingSum {
  readonly durationMs: number;
  readonly segmentMs: number;
  sum = 0;
  /** Ascending; segment n holds the instants from n × segmentMs up to (n + 1) × segmentMs. */
  readonly numbers: number[] = [];
  readonly amounts: number[] = [];

  constructor(durationMs: number) {
    this.durationMs = durationMs;
    this.segmentMs = Math.max(1, Math.ceil(durationMs / segmentsPerWindow));
  }

  /** Charges at `atMs`; a clock that went back charges the newest segment. Gives the segment's number. */
  add(atMs: number, amount: number): number {
    const number = Math.max(Math.floor(atMs / this.segmentMs), this.numbers.at(-1) ?? 0);
    this.set(number, amount, true);
    return number;
  }

  /** Sets (or adds to) a segment that is not older than the newest one. */
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
   * Lets go of segments that lie wholly before the window that ends at `atMs`, and of those more than one window after it: they were charged by a clock that
   * was ahead, and would take new charges along into the future. Returns whether segments of the future went.
   */
  expire(atMs: number): boolean {
    while (this.numbers.length > 0 && this.leavesAtMs(0) <= atMs) {
      this.numbers.shift();
      this.sum -= this.amounts.shift() ?? 0;
    }
    const last = (atMs + this.durationMs) / this.segmentMs;
    if ((this.numbers.at(-1) ?? 0) <= last) {
      return false;
    }
    while ((this.numbers.at(-1) ?? 0) > last) {
      this.numbers.pop();
      this.sum -= this.amounts.pop() ?? 0;
    }
    return true;
  }

  /** When the nth segment that is kept leaves the window. */
  leavesAtMs(nth: number): number {
    return ((this.numbers[nth] ?? 0) + 1) * this.segmentMs + this.durationMs;
  }

  /** When so much has left that at most `amount` remains. */
  fallsToAtMs(amount: number, atMs: number): number {
    let sum = this.sum;
    for (let nth = 0; nth < this.numbers.length && sum > amount; nth++) {
      sum -= this.amounts[nth] ?? 0;
      if (sum <= amount) {
        return this.leavesAtMs(nth);
      }
    }
    return atMs;
  }

  /** The same charges under another duration; each one moves to the end of its old segment, or to `atMs` if that is earlier, so none leaves too early. */
  under(durationMs: number, atMs: number): SlidingSum {
    const other = new SlidingSum(durationMs);
    for (const [nth, number] of this.numbers.entries()) {
      const latestMs = Math.min((number + 1) * this.segmentMs - 1, atMs);
      other.set(Math.floor(latestMs / other.segmentMs), this.amounts[nth] ?? 0, true);
    }
    return other;
  }
}
