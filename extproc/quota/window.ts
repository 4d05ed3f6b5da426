/**
 * Calendar windows in any time zone: the window of an instant, and the distance between two
 * windows.
 */
import { Temporal } from 'temporal-polyfill';
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

/** The calendar is exact about windows that end this much later at most; ten years. */
const EXACT_AHEAD_MS = 3_652 * usualLengthMs.Day;

/** Temporal's names of the units. */
const clockUnits = { Minute: 'minute', Hour: 'hour' } as const;
const dateUnits = { Day: 'days', Week: 'weeks', Month: 'months' } as const;

type ClockUnit = keyof typeof clockUnits;
type DateUnit = keyof typeof dateUnits;

/**
 * The calendar of one unit in one time zone. Caches the last bounds, so that a query in the same
 * window costs two comparisons.
 */
export class Calendar {
  readonly unit: CalendarUnit;
  readonly lengthMs: number;
  readonly #timeZone: string;
  #last: WindowBounds = { startMs: 0, endMs: 0 };
  #earlier: { readonly startMs: number; readonly windows: readonly WindowBounds[] } | undefined;

  /** Throws a RangeError for an unknown time zone. */
  constructor(unit: CalendarUnit, timeZone: string) {
    this.unit = unit;
    this.lengthMs = usualLengthMs[unit];
    this.#timeZone = timeZone;
    this.#local(0);
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

  /**
   * Returns the window before the one that starts at `startMs`, and those before it that ended less
   * than `withinMs` before `startMs`; the latest first. Caches the last answer, because all buckets
   * of a quota ask at about the same time. `withinMs` is always the same.
   */
  earlier(startMs: number, withinMs: number): readonly WindowBounds[] {
    if (this.#earlier?.startMs !== startMs) {
      let bounds = this.#find(startMs - 1);
      const windows = [bounds];
      while (bounds.startMs > startMs - withinMs) {
        bounds = this.#find(bounds.startMs - 1);
        windows.push(bounds);
      }
      this.#earlier = { startMs, windows };
    }
    return this.#earlier.windows;
  }

  /** Returns the windows that start less than `withinMs` after `endMs`, the earliest first. */
  later(endMs: number, withinMs: number): readonly WindowBounds[] {
    const windows: WindowBounds[] = [];
    for (let startMs = endMs; startMs < endMs + withinMs; startMs = windows.at(-1)!.endMs) {
      windows.push(this.#find(startMs));
    }
    return windows;
  }

  /** Returns the distance in windows between two window starts: 1 for neighbours. */
  apart(earlierMs: number, laterMs: number): number {
    if (this.unit === 'Month') {
      const earlier = this.#local(earlierMs).toPlainDate().toPlainYearMonth();
      const later = this.#local(laterMs).toPlainDate().toPlainYearMonth();
      return earlier.until(later, { largestUnit: 'month' }).months;
    }
    return Math.round((laterMs - earlierMs) / this.lengthMs);
  }

  /**
   * Returns the start of the window that is `count` windows after the one that starts at
   * `startMs`; an estimate far ahead, because a debt may take centuries to pay back.
   */
  startAfter(startMs: number, count: number): number {
    const { unit } = this;
    const aheadMs = count * this.lengthMs;
    if (isClockUnit(unit) || aheadMs > EXACT_AHEAD_MS) {
      return Math.min(startMs + aheadMs, Number.MAX_SAFE_INTEGER);
    }
    return this.#startOf(
      this.#local(startMs)
        .toPlainDate()
        .add({ [dateUnits[unit]]: count }),
    );
  }

  #find(atMs: number): WindowBounds {
    const { unit } = this;
    return isClockUnit(unit) ? this.#findShort(unit, atMs) : this.#findLong(unit, atMs);
  }

  /** Minutes and hours follow local time. A clock change ends the window and begins another. */
  #findShort(unit: ClockUnit, atMs: number): WindowBounds {
    const local = this.#local(atMs);
    const time = local.toPlainTime();
    const start = local.subtract(time.since(time.round({ smallestUnit: clockUnits[unit], roundingMode: 'floor' })));
    const startMs = start.epochMilliseconds;
    const endMs = startMs + this.lengthMs;
    // A transition of this very instant is not before it.
    const changedMs = isSameOffset(start, local)
      ? undefined
      : local.add({ nanoseconds: 1 }).getTimeZoneTransition('previous')?.epochMilliseconds;
    const changesMs = isSameOffset(this.#local(endMs - 1), local)
      ? undefined
      : local.getTimeZoneTransition('next')?.epochMilliseconds;
    return { startMs: changedMs ?? startMs, endMs: changesMs ?? endMs };
  }

  #findLong(unit: DateUnit, atMs: number): WindowBounds {
    let first = firstDayOf(unit, this.#local(atMs).toPlainDate());
    let startMs = this.#startOf(first);
    // Where clocks go back over the start of a period, the same local time occurs twice. The first
    // one counts, so the instant may be past the end. A skipped day is no window.
    for (;;) {
      first = first.add({ [dateUnits[unit]]: 1 });
      const endMs = this.#startOf(first);
      if (atMs < endMs && endMs > startMs) {
        return { startMs, endMs };
      }
      startMs = endMs;
    }
  }

  /** Returns the first instant of a day, or of the day after it where clocks skip it. */
  #startOf(day: Temporal.PlainDate): number {
    return day.toZonedDateTime(this.#timeZone).epochMilliseconds;
  }

  #local(atMs: number): Temporal.ZonedDateTime {
    // The clock has fractions of milliseconds, and Temporal takes whole ones.
    return Temporal.Instant.fromEpochMilliseconds(Math.floor(atMs)).toZonedDateTimeISO(this.#timeZone);
  }
}

function isClockUnit(unit: CalendarUnit): unit is ClockUnit {
  return unit in clockUnits;
}

function firstDayOf(unit: DateUnit, day: Temporal.PlainDate): Temporal.PlainDate {
  switch (unit) {
    case 'Month':
      return day.with({ day: 1 });
    case 'Week':
      return day.subtract({ days: day.dayOfWeek - 1 });
    default:
      return day;
  }
}

function isSameOffset(one: Temporal.ZonedDateTime, other: Temporal.ZonedDateTime): boolean {
  return one.offsetNanoseconds === other.offsetNanoseconds;
}
