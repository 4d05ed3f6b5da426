import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CalendarUnit } from '../../contract/policy.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { Calendar } from './window.ts';

const at = (text: string) => Date.parse(text);
const show = (unit: CalendarUnit, zone: string, text: string) => {
  const { startMs, endMs } = new Calendar(unit, zone).at(at(text));
  return [new Date(startMs).toISOString(), new Date(endMs).toISOString()];
};

test('windows start at local time', () => {
  const cases: readonly (readonly [CalendarUnit, string, string, string, string])[] = [
    ['Minute', 'UTC', '2026-11-22T10:20:30.5Z', '2026-11-22T10:20:00.000Z', '2026-11-22T10:21:00.000Z'],
    ['Hour', 'UTC', '2026-11-22T10:20:30Z', '2026-11-22T10:00:00.000Z', '2026-11-22T11:00:00.000Z'],
    ['Hour', 'Asia/Kolkata', '2026-11-22T10:20:30Z', '2026-11-22T09:30:00.000Z', '2026-11-22T10:30:00.000Z'],
    ['Hour', 'Asia/Kathmandu', '2026-11-22T10:20:30Z', '2026-11-22T10:15:00.000Z', '2026-11-22T11:15:00.000Z'],
    ['Day', 'Asia/Kolkata', '2026-11-22T20:00:00Z', '2026-11-22T18:30:00.000Z', '2026-11-23T18:30:00.000Z'],
    ['Week', 'UTC', '2026-11-22T23:59:59.999Z', '2026-11-16T00:00:00.000Z', '2026-11-23T00:00:00.000Z'],
    ['Week', 'Europe/Berlin', '2026-11-22T23:30:00Z', '2026-11-22T23:00:00.000Z', '2026-11-29T23:00:00.000Z'],
    ['Month', 'America/New_York', '2026-03-31T23:00:00Z', '2026-03-01T05:00:00.000Z', '2026-04-01T04:00:00.000Z'],
    ['Month', 'UTC', '2027-12-31T23:00:00Z', '2027-12-01T00:00:00.000Z', '2028-01-01T00:00:00.000Z'],
    // Clocks go forward: 23 hours. Clocks go back: 25 hours.
    ['Day', 'Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-28T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
    ['Day', 'Europe/Berlin', '2026-10-25T12:00:00Z', '2026-10-24T22:00:00.000Z', '2026-10-25T23:00:00.000Z'],
    // The hour from 1:00 to 2:00 occurs twice; each is a window.
    ['Hour', 'America/New_York', '2026-11-01T05:30:00Z', '2026-11-01T05:00:00.000Z', '2026-11-01T06:00:00.000Z'],
    ['Hour', 'America/New_York', '2026-11-01T06:30:00Z', '2026-11-01T06:00:00.000Z', '2026-11-01T07:00:00.000Z'],
    // Clocks go back from 2:00 to 1:30.
    ['Hour', 'Australia/Lord_Howe', '2026-04-04T14:45:00Z', '2026-04-04T14:00:00.000Z', '2026-04-04T15:00:00.000Z'],
    ['Hour', 'Australia/Lord_Howe', '2026-04-04T15:15:00Z', '2026-04-04T15:00:00.000Z', '2026-04-04T15:30:00.000Z'],
    // Clocks skip midnight: the day starts at 1:00.
    ['Day', 'Africa/Cairo', '2026-04-24T12:00:00Z', '2026-04-23T22:00:00.000Z', '2026-04-24T21:00:00.000Z'],
    // Clocks go back at midnight: the hour before it belongs to the day before.
    ['Day', 'Africa/Cairo', '2026-10-29T20:30:00Z', '2026-10-28T21:00:00.000Z', '2026-10-29T22:00:00.000Z'],
    ['Day', 'Africa/Cairo', '2026-10-29T21:30:00Z', '2026-10-28T21:00:00.000Z', '2026-10-29T22:00:00.000Z'],
    // A skipped day.
    ['Day', 'Pacific/Apia', '2011-12-30T09:00:00Z', '2011-12-29T10:00:00.000Z', '2011-12-30T10:00:00.000Z'],
    ['Day', 'Pacific/Apia', '2011-12-30T11:00:00Z', '2011-12-30T10:00:00.000Z', '2011-12-31T10:00:00.000Z'],
  ];
  for (const [unit, zone, when, start, end] of cases) {
    assert.deepEqual(show(unit, zone, when), [start, end], `${unit} ${zone} ${when}`);
  }
});

test('windows contain their instant, are adjacent, and are the same for each of their instants', () => {
  const zones = ['UTC', 'America/St_Johns', 'Australia/Lord_Howe', 'Africa/Cairo', 'America/Havana', 'Pacific/Chatham'];
  const units: readonly CalendarUnit[] = ['Minute', 'Hour', 'Day', 'Week', 'Month'];
  const calendars = new Map(zones.flatMap((zone) => units.map((unit) => [zone + unit, new Calendar(unit, zone)])));
  fc.assert(
    fc.property(
      fc.constantFrom(...zones),
      fc.constantFrom(...units),
      fc.integer({ min: at('2020-01-01T00:00:00Z'), max: at('2035-01-01T00:00:00Z') }),
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      (zone, unit, atMs, share) => {
        const calendar = calendars.get(zone + unit)!;
        const window = calendar.at(atMs);
        assert(window.startMs <= atMs && atMs < window.endMs);
        const other = window.startMs + Math.floor(share * (window.endMs - window.startMs - 1));
        calendar.at(0);
        assert.deepEqual(calendar.at(other), window);
        const next = calendar.at(window.endMs);
        assert.equal(next.startMs, window.endMs);
        assert.equal(calendar.at(window.startMs - 1).endMs, window.startMs);
        if (window.endMs - window.startMs >= calendar.lengthMs * 0.9) {
          assert.equal(calendar.apart(window.startMs, next.startMs), 1);
        }
      },
    ),
    fuzzRuns(1000),
  );
});

test('an unknown time zone is an error', () => {
  assert.throws(() => new Calendar('Day', 'Mars/Olympus'), RangeError);
});
