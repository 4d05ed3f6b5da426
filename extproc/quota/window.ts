/**
 * Calendar windows in any time zone: the window of an instant, and the distance between two
 * windows.
 */
import type { CalendarUnit } from '../../contract/policy.ts';

/** The instants from `startMs` (inclusive) to `endMs` (exclusive). */
export interface WindowBounds {
  readonly startMs: number;
  readonly endMs: number;
}

/**
 * The usual length of a window. Days and weeks differ from it where clocks change; months always
 * may.
 */
const usualLengthMs = {
  Minute: 60_000,
  Hour: 3_600_000,
  Day: 86_400_000,
  Week: 7 * 86_400_000,
  Month: 30 * 86_400_000,
} as const satisfies Record<CalendarUnit, number>;

/** The first Monday after the epoch, in milliseconds of local time. */
const FIRST_MONDAY_MS = 4 * usualLengthMs.Day;

/**
 * The calendar of one unit in one time zone. Caches the last bounds, so that a query in the same
 * window costs two comparisons.
 */
export class Calendar {
  readonly unit: CalendarUnit;
  readonly lengthMs: number;
  readonly #format: Intl.DateTimeFormat | undefined;
  #last: WindowBounds = { startMs: 0, endMs: 0 };

  /** Throws a RangeError for an unknown time zone. */
  constructor(unit: CalendarUnit, timeZone: string) {
    this.unit = unit;
    this.lengthMs = usualLengthMs[unit];
    this.#format =
      timeZone === 'UTC'
        ? undefined
        : new Intl.DateTimeFormat('en-US', {
            timeZone,
            hourCycle: 'h23',
            year: 'numeric',
            month: 'numeric',
            day: 'numeric',
            hour: 'numeric',
            minute: 'numeric',
            second: 'numeric',
          });
  }

  /**
   * Whether the clock was set back by more than two windows before `startMs`. A clock that is set
   * back a little stays in its window, or what was spent would be forgotten; a clock that was far
   * ahead must not block for years.
   */
  wasSetBack(startMs: number, atMs: number): boolean {
    return atMs < startMs - 2 * this.lengthMs;
  }

  /** Returns the window of an instant. */
  at(atMs: number): WindowBounds {
    if (atMs >= this.#last.startMs && atMs < this.#last.endMs) {
      return this.#last;
    }
    this.#last = this.#find(atMs);
    return this.#last;
  }

  /** Returns the distance in windows between two window starts: 1 for neighbours. */
  apart(earlierMs: number, laterMs: number): number {
    if (this.unit === 'Month') {
      const earlier = new Date(this.#localMs(earlierMs));
      const later = new Date(this.#localMs(laterMs));
      return (later.getUTCFullYear() - earlier.getUTCFullYear()) * 12 + (later.getUTCMonth() - earlier.getUTCMonth());
    }
    return Math.round((laterMs - earlierMs) / this.lengthMs);
  }

  #find(atMs: number): WindowBounds {
    return this.unit === 'Minute' || this.unit === 'Hour' ? this.#findShort(atMs) : this.#findLong(atMs);
  }

  /** Minutes and hours follow local time. A clock change ends the window and begins another. */
  #findShort(atMs: number): WindowBounds {
    const startMs = atMs - modulo(this.#localMs(atMs), this.lengthMs);
    const endMs = startMs + this.lengthMs;
    const offsetMs = this.#offsetMs(atMs);
    return {
      startMs: this.#offsetMs(startMs) === offsetMs ? startMs : this.#changeMs(startMs, atMs),
      endMs: this.#offsetMs(endMs - 1) === offsetMs ? endMs : this.#changeMs(atMs, endMs - 1),
    };
  }

  #findLong(atMs: number): WindowBounds {
    let localTimeMs = this.#periodStartMs(this.#localMs(atMs));
    let startMs = this.#instantMs(localTimeMs);
    // Where clocks go back over the start of a period, the same local time occurs twice. The first
    // one counts, so the instant may be past the end.
    for (;;) {
      localTimeMs = this.#nextLocalTimeMs(localTimeMs);
      const endMs = this.#instantMs(localTimeMs);
      if (atMs < endMs && endMs > startMs) {
        return { startMs: Math.min(startMs, atMs), endMs };
      }
      startMs = endMs;
    }
  }

  #periodStartMs(localTimeMs: number): number {
    switch (this.unit) {
      case 'Month': {
        const date = new Date(localTimeMs);
        return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
      }
      case 'Week':
        return localTimeMs - modulo(localTimeMs - FIRST_MONDAY_MS, this.lengthMs);
      default:
        return localTimeMs - modulo(localTimeMs, this.lengthMs);
    }
  }

  #nextLocalTimeMs(localTimeMs: number): number {
    if (this.unit === 'Month') {
      const date = new Date(localTimeMs);
      return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
    }
    return localTimeMs + this.lengthMs;
  }

  /** Returns the local time of an instant, as if it were UTC. */
  #localMs(atMs: number): number {
    if (this.#format === undefined) {
      return atMs;
    }
    const fields = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
    for (const { type, value } of this.#format.formatToParts(atMs)) {
      if (type in fields) {
        fields[type as keyof typeof fields] = Number(value);
      }
    }
    const { year, month, day, hour, minute, second } = fields;
    return Date.UTC(year, month - 1, day, hour, minute, second) + modulo(atMs, 1000);
  }

  /**
   * Returns the first instant with local time `localTimeMs`, or the instant of the clock change
   * that skips it.
   */
  #instantMs(localTimeMs: number): number {
    if (this.#format === undefined) {
      return localTimeMs;
    }
    const before = this.#offsetMs(localTimeMs - usualLengthMs.Day);
    const after = this.#offsetMs(localTimeMs + usualLengthMs.Day);
    const earlyMs = localTimeMs - Math.max(before, after);
    const lateMs = localTimeMs - Math.min(before, after);
    if (this.#localMs(earlyMs) === localTimeMs) {
      return earlyMs;
    }
    if (this.#localMs(lateMs) === localTimeMs) {
      return lateMs;
    }
    return this.#changeMs(earlyMs - 1, lateMs);
  }

  /** Returns the instant of the clock change in (lowMs, highMs]. */
  #changeMs(lowMs: number, highMs: number): number {
    const before = this.#offsetMs(lowMs);
    let low = lowMs;
    let high = highMs;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.#offsetMs(middle) === before) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return high;
  }

  #offsetMs(atMs: number): number {
    return this.#localMs(atMs) - atMs;
  }
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
