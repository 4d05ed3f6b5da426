/** How far the log of a pod was read, so that reading on repeats and leaves out nothing. */

/** The time that the API server puts before each line: seconds, fraction and zone. */
const TIMED = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d) ?/;

export class LogPosition {
  #secondMs: number | undefined;
  /** The lines of that second, with their times, and how often each came. */
  readonly #lines = new Map<string, number>();
  /** Of these, what comes again where the log is read from the second on. */
  #repeated = new Map<string, number>();

  /** Where to read on after a break; undefined: no line was read. */
  get sinceMs(): number | undefined {
    return this.#secondMs;
  }

  /** Expects the lines since `sinceMs` once more. */
  readOn(): void {
    this.#repeated = new Map(this.#lines);
  }

  /** Returns the line without its time; undefined: it was read before the break. */
  read(line: string): string | undefined {
    const timed = TIMED.exec(line);
    if (timed === null) {
      return line;
    }
    const times = this.#repeated.get(line) ?? 0;
    if (times > 0) {
      this.#repeated.set(line, times - 1);
      return undefined;
    }
    this.#note(line, Date.parse(`${timed[1]}${timed[2]}`));
    return line.slice(timed[0].length);
  }

  #note(line: string, secondMs: number): void {
    if (this.#secondMs === undefined || secondMs > this.#secondMs) {
      this.#secondMs = secondMs;
      this.#lines.clear();
      this.#repeated.clear();
    }
    // A line of an earlier second that comes late is not read again.
    if (secondMs === this.#secondMs) {
      this.#lines.set(line, (this.#lines.get(line) ?? 0) + 1);
    }
  }
}
