/** Calendar windows in any time zone: which window an instant belongs to, and how many windows lie between two of them. */
import type { CalendarUnit } from '../../contract/policy.ts';

/** A window holds the instants from `startMs` up to, and without, `endMs`. */
export interface WindowBounds {
  readonly startMs: number;
  readonly endMs: number;
}

/** The usual length. Days and weeks differ from it where clocks change, months by nature. */
const lengthMs = {
  Minute: 60_000,
  Hour: 3_600_000,
  Day: 86_400_000,
  Week: 7 * 86_400_000,
  Month: 30 * 86_400_000,
} as const satisfies Record<CalendarUnit, number>;

/** The first Monday after the epoch, in milliseconds of local time. */
const firstMondayMs = 4 * lengthMs.Day;

/** The calendar of one unit in one time zone. Keeps the bounds that it gave last, so that asking again within a window costs two comparisons. */
export class Calendar {
  readonly unit: CalendarUnit;
  readonly lengthMs: number;
  readonly #format: Intl.DateTimeFormat | undefined;
  #last: WindowBounds = { startMs: 0, endMs: 0 };

  /** Throws a RangeError where the time zone is not known. */
  constructor(unit: CalendarUnit, timeZone: string) {
    this.unit = unit;
    this.lengthMs = lengthMs[unit];
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

  /** The window of `atMs`. */
  at(atMs: number): WindowBounds {
    if (atMs >= this.#last.startMs && atMs < this.#last.endMs) {
      return this.#last;
    }
    this.#last = this.#find(atMs);
    return this.#last;
  }

  /** How many windows the one that starts at `laterMs` comes after the one that starts at `earlierMs`: 1 for neighbours. */
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

  /** Minutes and hours follow the clock on the wall; one in which the clock is changed ends there, and another begins. */
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
    let wallMs = this.#wallStartMs(this.#localMs(atMs));
    let startMs = this.#instantMs(wallMs);
    // Where clocks went back over the start of a period, the same wall time comes twice: the first one counts, so the instant can lie past the end.
    for (;;) {
      wallMs = this.#nextWallMs(wallMs);
      const endMs = this.#instantMs(wallMs);
      if (atMs < endMs && endMs > startMs) {
        return { startMs: Math.min(startMs, atMs), endMs };
      }
      startMs = endMs;
    }
  }

  #wallStartMs(wallMs: number): number {
    switch (this.unit) {
      case 'Month': {
        const date = new Date(wallMs);
        return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
      }
      case 'Week':
        return wallMs - modulo(wallMs - firstMondayMs, this.lengthMs);
      default:
        return wallMs - modulo(wallMs, this.lengthMs);
    }
  }

  #nextWallMs(wallMs: number): number {
    if (this.unit === 'Month') {
      const date = new Date(wallMs);
      return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
    }
    return wallMs + this.lengthMs;
  }

  /** What a clock on the wall shows, written as if it were UTC. */
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

  /** The first instant at which the clock on the wall shows `wallMs`; where clocks jump over it, the instant of the jump. */
  #instantMs(wallMs: number): number {
    if (this.#format === undefined) {
      return wallMs;
    }
    const before = this.#offsetMs(wallMs - lengthMs.Day);
    const after = this.#offsetMs(wallMs + lengthMs.Day);
    const earlyMs = wallMs - Math.max(before, after);
    const lateMs = wallMs - Math.min(before, after);
    if (this.#localMs(earlyMs) === wallMs) {
      return earlyMs;
    }
    if (this.#localMs(lateMs) === wallMs) {
      return lateMs;
    }
    return this.#changeMs(earlyMs - 1, lateMs);
  }

  /** The instant in (lowMs, highMs] at which the clock was changed. */
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
