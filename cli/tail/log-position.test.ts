import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { LogPosition } from './log-position.ts';

test('a line without a time passes', () => {
  const position = new LogPosition();
  assert.equal(position.read('garbage'), 'garbage');
  assert.equal(position.sinceMs, undefined);
  assert.equal(position.read('2026-11-28T10:00:00.123456789+01:00 text'), 'text');
  assert.equal(position.sinceMs, Date.UTC(2026, 10, 28, 9));
});

test('a log that is read on after any break repeats and leaves out nothing', () => {
  // Many lines are equal, and those of stdout and stderr may be out of order by a moment.
  const line = fc.record({ second: fc.nat(2), fraction: fc.nat(2), text: fc.constantFrom('a', 'b') });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 30 }), fc.array(fc.nat(30)), (drawn, breaks) => {
      const log = drawn
        .sort((one, other) => one.second - other.second)
        .map(({ second, fraction, text }) => `2026-11-28T10:00:0${second}.${fraction}Z ${text}`);
      const position = new LogPosition();
      const shown: string[] = [];
      for (const end of [...breaks, log.length]) {
        const { sinceMs = 0 } = position;
        position.readOn();
        for (const each of log.slice(0, end).filter((one) => Date.parse(one.slice(0, 22)) >= sinceMs)) {
          const text = position.read(each);
          shown.push(...(text === undefined ? [] : [text]));
        }
      }
      assert.deepEqual(
        shown,
        log.map((each) => each.slice(23)),
      );
    }),
    fuzzRuns(200),
  );
});
