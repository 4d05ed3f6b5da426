import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { failure } from '../../extproc/errors.ts';
import type { RequestRecord } from '../../extproc/record.ts';
import { accessLine } from '../../extproc/telemetry/access-line.ts';
import { outcomeOfStream } from '../../extproc/telemetry/testing.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { columnsOf, lineOf } from '../terminal/text.ts';
import { readEntry } from './access-entry.ts';
import { entryParts, unknownParts } from './entry-text.ts';
import { filterOf } from './filter.ts';

const caller = { tenant: 'acme', user: 'ada', groups: [], apiKey: undefined, claim: () => undefined };
const access = { decision: 'admitted', caller, method: 'jwt', group: undefined } as const;

function entryOf(more: Partial<RequestRecord> = {}) {
  return readEntry(JSON.parse(accessLine({ ...outcomeOfStream, access, ...more }, [])))!;
}

const shown = (more: Partial<RequestRecord> = {}, columns = 500) => lineOf(entryParts(entryOf(more)), columns, false);

test('a request is one line with what matters first', () => {
  assert.equal(
    shown({ cost: { nanos: 1_200_000, currency: 'USD', catalog: undefined }, decision: { type: 'none' } }),
    '12:00:01 200   1.3s acme/ada          small > default/openai  100+51 tokens  0.0012 USD  default/chat  r1',
  );
  const refused = { status: 429, backend: undefined, usage: undefined } as const;
  assert.equal(
    shown({ ...refused, decision: { type: 'refused', reason: 'spent', quota: 'default/teams/hour' } }),
    '12:00:01 429   1.3s acme/ada          small  refused spent default/teams/hour  default/chat  r1',
  );
  assert.match(shown({ status: undefined, failure: failure('internal_error', 'x') }), / --- .* {2}internal_error {2}/);
  assert.match(shown({ clientLeft: true, stoppedBy: 'ops/eve' }), / {2}stopped by ops\/eve {2}client left {2}/);
  assert.equal(shown({}, 22), '12:00:01 200   1.3s a…');
});

test('names of others cannot reach the terminal as commands', () => {
  const evil = '\u001b]0;owned\u0007\u009b2J\u202e';
  const line = shown({ model: evil, access: { ...access, caller: { ...caller, tenant: evil } } });
  assert.ok(!/[\p{Cc}\p{Cf}]/u.test(line), line);
  assert.equal(lineOf(unknownParts(`{"a${evil}`), 80, false), '? {"a\\u001b]0;owned\\u0007\\u009b2J\\u202e');
});

test('filters choose the requests that have all they name', () => {
  const has = (flags: object, more: Partial<RequestRecord> = {}) => {
    const filter = filterOf({ errors: false, ...flags });
    return typeof filter === 'string' ? filter : filter(entryOf(more));
  };
  assert.equal(has({}), true);
  assert.equal(has({ tenant: 'acme', user: 'ada', route: 'default/chat', backend: 'default/openai' }), true);
  assert.equal(has({ tenant: 'acme', user: 'eve' }), false);
  assert.equal(has({ tenant: 'red' }), true, 'by the header of a quota key');
  assert.deepEqual([has({ model: 'small' }), has({ model: 'small-2026' }), has({ model: 'sma' })], [true, true, false]);
  assert.deepEqual([has({ slow: '1.2s' }), has({ slow: '1300ms' }), has({ slow: '1m' })], [true, false, false]);
  assert.deepEqual([has({ status: '2xx' }), has({ status: '429,5xx' })], [true, false]);
  assert.deepEqual(
    [has({ status: '429,5xx' }, { status: 503 }), has({ status: '429' }, { status: 429 })],
    [true, true],
  );
  assert.deepEqual([has({ errors: true }), has({ errors: true }, { status: 400 })], [false, true]);
  assert.equal(has({ errors: true }, { failure: failure('internal_error', 'x') }), true);
  assert.equal(has({ status: '4x' }), '--status 4x is neither a status such as 429 nor a class such as 4xx');
  assert.equal(has({ slow: '5' }), '--slow 5 is no span such as 500ms, 5s or 1m');
});

test('any line of any program becomes one line in the columns', () => {
  assert.equal(readEntry(JSON.parse('{"level":"info","msg":"x","time":"2026"}')), undefined);
  assert.equal(readEntry(null), undefined);
  const field = fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' }), fc.double());
  const names = Object.keys(JSON.parse(accessLine({ ...outcomeOfStream, access }, [])));
  const line = fc.dictionary(fc.constantFrom(...names, 'error', 'guardrails', 'overdrafts', 'cost'), field);
  const known = fc.record({ time: fc.string(), decision: fc.string(), durationMs: fc.double() });
  fc.assert(
    fc.property(line, known, fc.integer({ min: 1, max: 120 }), (fields, more, columns) => {
      const entry = readEntry({ ...fields, ...more })!;
      const text = lineOf(entryParts(entry), columns, false);
      assert.ok(columnsOf(text) <= columns && !/[\p{Cc}\p{Cf}\p{Cs}\u2028]/u.test(text), text);
    }),
    fuzzRuns(50),
  );
});
