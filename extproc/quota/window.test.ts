import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import type { CalendarUnit } from '../../contract/policy.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { bound, bucket, charge, demand, quota, reserve, settle, simulate } from './testing.ts';
import { Calendar } from './window.ts';

const at = (text: string) => Date.parse(text);
const show = (unit: CalendarUnit, zone: string, text: string) => {
  const { startMs, endMs } = new Calendar(unit, zone).at(at(text));
  return [new Date(startMs).toISOString(), new Date(endMs).toISOString()];
};

test('a window is found at a fraction of a millisecond', () => {
  for (const unit of ['Minute', 'Hour', 'Day', 'Week', 'Month'] as const) {
    const calendar = new Calendar(unit, 'Europe/Vienna');
    const whole = at('2026-11-22T10:20:30Z');
    assert.deepEqual(calendar.at(whole + 0.826), new Calendar(unit, 'Europe/Vienna').at(whole));
  }
});

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
    // Clocks skip midnight, also at the start of a month.
    ['Month', 'America/Asuncion', '2017-10-15T00:00:00Z', '2017-10-01T04:00:00.000Z', '2017-11-01T03:00:00.000Z'],
    ['Day', 'America/Sao_Paulo', '2018-11-04T12:00:00Z', '2018-11-04T03:00:00.000Z', '2018-11-05T02:00:00.000Z'],
    ['Day', 'America/Sao_Paulo', '2018-02-18T02:30:00Z', '2018-02-17T02:00:00.000Z', '2018-02-18T03:00:00.000Z'],
    ['Week', 'America/Sao_Paulo', '2018-11-04T12:00:00Z', '2018-10-29T03:00:00.000Z', '2018-11-05T02:00:00.000Z'],
    // Clocks go back from 0:01 to 23:01: midnight occurs twice, and the first one counts.
    ['Day', 'America/St_Johns', '2010-11-07T02:29:59Z', '2010-11-06T02:30:00.000Z', '2010-11-07T02:30:00.000Z'],
    ['Day', 'America/St_Johns', '2010-11-07T03:00:00Z', '2010-11-07T02:30:00.000Z', '2010-11-08T03:30:00.000Z'],
    ['Hour', 'America/St_Johns', '2010-11-07T02:30:30Z', '2010-11-07T02:30:00.000Z', '2010-11-07T02:31:00.000Z'],
    ['Hour', 'America/St_Johns', '2010-11-07T02:31:00Z', '2010-11-07T02:31:00.000Z', '2010-11-07T03:30:00.000Z'],
    // Clocks change by half an hour.
    ['Day', 'Australia/Lord_Howe', '2026-04-04T20:00:00Z', '2026-04-04T13:00:00.000Z', '2026-04-05T13:30:00.000Z'],
    ['Day', 'Australia/Lord_Howe', '2026-10-03T20:00:00Z', '2026-10-03T13:30:00.000Z', '2026-10-04T13:00:00.000Z'],
    // The ends of months: leap day, a year that is none, and the year of a century that is one.
    ['Month', 'UTC', '2028-02-29T23:59:59.999Z', '2028-02-01T00:00:00.000Z', '2028-03-01T00:00:00.000Z'],
    ['Day', 'Asia/Tokyo', '2028-02-29T12:00:00Z', '2028-02-28T15:00:00.000Z', '2028-02-29T15:00:00.000Z'],
    ['Month', 'Asia/Tokyo', '2027-02-28T15:00:00Z', '2027-02-28T15:00:00.000Z', '2027-03-31T15:00:00.000Z'],
    ['Month', 'UTC', '2100-02-28T12:00:00Z', '2100-02-01T00:00:00.000Z', '2100-03-01T00:00:00.000Z'],
    ['Month', 'UTC', '2000-02-29T12:00:00Z', '2000-02-01T00:00:00.000Z', '2000-03-01T00:00:00.000Z'],
    ['Month', 'America/Los_Angeles', '2027-01-01T07:59:59Z', '2026-12-01T08:00:00.000Z', '2027-01-01T08:00:00.000Z'],
    ['Month', 'Pacific/Kiritimati', '2026-12-31T10:00:00Z', '2026-12-31T10:00:00.000Z', '2027-01-31T10:00:00.000Z'],
    // Weeks start on Monday, also in the first days of a year.
    ['Week', 'Europe/London', '2027-01-01T12:00:00Z', '2026-12-28T00:00:00.000Z', '2027-01-04T00:00:00.000Z'],
    ['Week', 'Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-22T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
    ['Week', 'Pacific/Apia', '2011-12-31T00:00:00Z', '2011-12-26T10:00:00.000Z', '2012-01-01T10:00:00.000Z'],
    // Clocks changed twice in a year more often than daylight saving does: Ramadan.
    ['Day', 'Africa/Casablanca', '2026-02-15T12:00:00Z', '2026-02-14T23:00:00.000Z', '2026-02-16T00:00:00.000Z'],
    // A skipped day.
    ['Day', 'Pacific/Apia', '2011-12-30T09:00:00Z', '2011-12-29T10:00:00.000Z', '2011-12-30T10:00:00.000Z'],
    ['Day', 'Pacific/Apia', '2011-12-30T11:00:00Z', '2011-12-30T10:00:00.000Z', '2011-12-31T10:00:00.000Z'],
  ];
  for (const [unit, zone, when, start, end] of cases) {
    assert.deepEqual(show(unit, zone, when), [start, end], `${unit} ${zone} ${when}`);
  }
});

test('windows contain their instant, and tile the time in every zone', () => {
  const zones = ['UTC', '+05:45', ...Intl.supportedValuesOf('timeZone')];
  const units: readonly CalendarUnit[] = ['Minute', 'Hour', 'Day', 'Week', 'Month'];
  fc.assert(
    fc.property(
      fc.constantFrom(...zones),
      fc.constantFrom(...units),
      fc.oneof(
        fc.integer({ min: at('1970-01-01T00:00:00Z'), max: at('2100-01-01T00:00:00Z') }),
        fc.constant(undefined),
      ),
      fc.integer({ min: -2 * 86_400_000, max: 2 * 86_400_000 }),
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      (zone, unit, anywhereMs, distanceMs, share) => {
        const calendar = new Calendar(unit, zone);
        const atMs = anywhereMs ?? nearChangeMs(zone, share) + distanceMs;
        const window = calendar.at(atMs);
        assert(window.startMs <= atMs && atMs < window.endMs);
        const other = window.startMs + Math.floor(share * (window.endMs - window.startMs - 1));
        calendar.at(0);
        assert.deepEqual(calendar.at(other), window);
        const next = calendar.at(window.endMs);
        assert.equal(next.startMs, window.endMs);
        assert.equal(calendar.at(window.startMs - 1).endMs, window.startMs);
        const differs = Math.abs((window.endMs - window.startMs) / calendar.lengthMs - 1);
        if (differs < 0.1) {
          assert.equal(calendar.apart(window.startMs, next.startMs), 1);
        }
        if (differs === 0 || (differs < 0.1 && unit !== 'Minute' && unit !== 'Hour')) {
          assert.equal(calendar.startAfter(window.startMs, 1), next.startMs);
        }
      },
    ),
    fuzzRuns(2000),
  );
});

/** Returns the instant of a clock change, or any instant in a zone that has none. */
function nearChangeMs(zone: string, share: number): number {
  const fromMs =
    at('1970-01-01T00:00:00Z') + Math.floor(share * (at('2030-01-01T00:00:00Z') - at('1970-01-01T00:00:00Z')));
  const from = Temporal.Instant.fromEpochMilliseconds(fromMs).toZonedDateTimeISO(zone);
  return from.getTimeZoneTransition('previous')?.epochMilliseconds ?? fromMs;
}

test('the start of a later window is exact for ten years, and then an estimate', () => {
  const month = new Calendar('Month', 'Europe/Berlin');
  const fromMs = at('2026-11-30T23:00:00Z');
  assert.equal(month.startAfter(fromMs, 0), fromMs);
  assert.equal(month.startAfter(fromMs, 3), at('2027-02-28T23:00:00Z'));
  assert.equal(month.startAfter(fromMs, 7), at('2027-06-30T22:00:00Z'));
  assert.equal(month.startAfter(fromMs, 1000), fromMs + 1000 * month.lengthMs);
  assert.equal(month.startAfter(fromMs, Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
  const day = new Calendar('Day', 'America/New_York');
  assert.equal(day.startAfter(at('2026-10-31T04:00:00Z'), 2), at('2026-11-02T05:00:00Z'));
});

test('months and years lie apart by their number, whatever their lengths are', () => {
  const month = new Calendar('Month', 'Pacific/Auckland');
  const start = (text: string) => month.at(at(text)).startMs;
  assert.equal(month.apart(start('2026-01-15T00:00:00Z'), start('2026-02-15T00:00:00Z')), 1);
  assert.equal(month.apart(start('2026-01-15T00:00:00Z'), start('2036-03-15T00:00:00Z')), 122);
  const day = new Calendar('Day', 'Pacific/Apia');
  assert.equal(day.apart(at('2011-12-29T10:00:00Z'), at('2011-12-31T10:00:00Z')), 2);
});

test('a monthly budget refills at each local month end, through a year of hours', () => {
  for (const [zone, lengthsHours] of [
    ['UTC', [744, 696, 744, 720, 744, 720, 744, 744, 720, 744, 720, 744]],
    ['America/New_York', [744, 696, 743, 720, 744, 720, 744, 744, 720, 744, 721, 744]],
    ['Australia/Lord_Howe', [744, 696, 744, 720.5, 744, 720, 744, 744, 720, 743.5, 720, 744]],
    ['Africa/Cairo', [744, 696, 744, 719, 744, 720, 744, 744, 720, 745, 720, 744]],
  ] as const) {
    const { store } = simulate();
    const of = [bucket(quota('Requests', 1, { window: { type: 'Calendar', unit: 'Month', timeZone: zone } }))];
    const refills: number[] = [];
    const endMs = at('2029-01-03T00:00:00Z');
    for (let nowMs = at('2027-12-30T00:00:00Z'); nowMs < endMs; nowMs += 1_800_000) {
      const decision = reserve(store, demand(of, nowMs, 0));
      if (decision?.type === 'granted') {
        settle(store, decision.hold, charge(0, 0), nowMs);
        refills.push(nowMs);
      }
    }
    const hours = refills.slice(1).map((ms, index) => (ms - (refills[index] ?? 0)) / 3_600_000);
    assert.deepEqual(hours.slice(1), lengthsHours, zone);
  }
});

test('a clock that jumps keeps what was spent for two windows back, and not beyond', () => {
  const { store } = simulate();
  const of = [bucket(quota('Requests', 1, { window: { type: 'Calendar', unit: 'Day', timeZone: 'Europe/Berlin' } }))];
  const spend = (text: string) => reserve(store, demand(of, at(text), 0))?.type;
  assert.equal(spend('2026-10-25T12:00:00Z'), 'granted');
  assert.equal(spend('2026-10-24T21:59:59Z'), 'refused', 'back into the day before');
  assert.equal(spend('2026-10-23T12:00:00Z'), 'refused', 'back by less than two days');
  assert.equal(spend('2031-10-25T12:00:00Z'), 'granted', 'ahead by five years');
  assert.equal(spend('2026-10-25T13:00:00Z'), 'granted', 'back by five years: no refusal for that long');
  assert.equal(spend('1970-01-01T00:00:00Z'), 'granted', 'a clock that was never set');
  assert.equal(spend('2026-10-25T13:00:00Z'), 'granted');
  assert.equal(spend('2026-10-25T13:00:01Z'), 'refused');
});

test('the retry-after of a debt is the start of the month that has paid it', () => {
  const { store } = simulate();
  const of = [
    bucket(quota('OutputTokens', 100, { window: { type: 'Calendar', unit: 'Month', timeZone: 'Asia/Tokyo' } })),
  ];
  const nowMs = at('2028-01-15T00:00:00Z');
  const decision = reserve(store, demand(of, nowMs, 0, bound(60)));
  assert(decision?.type === 'granted');
  settle(store, decision.hold, { inputTokens: 0, outputTokens: 350, cause: 'bound_ignored' }, nowMs);
  const refusal = reserve(store, demand(of, nowMs, 0, bound(1)));
  assert(refusal?.type === 'refused');
  assert.equal(nowMs + refusal.retryAfterMs!, at('2028-03-31T15:00:00Z'));
  assert.equal(store.snapshot(of, nowMs)[0]?.resetAtMs, at('2028-01-31T15:00:00Z'));
});

test('a query in the same window computes nothing', () => {
  const calendar = new Calendar('Month', 'Europe/Berlin');
  const window = calendar.at(at('2026-11-22T10:00:00Z'));
  assert.equal(calendar.at(window.startMs), window);
  assert.equal(calendar.at(window.endMs - 1), window);
  assert.notEqual(calendar.at(window.endMs), window);
});

test('an unknown time zone is an error', () => {
  assert.throws(() => new Calendar('Day', 'Mars/Olympus'), RangeError);
});
