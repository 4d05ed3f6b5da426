import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { EventTemplates, type Hole } from './template.ts';

/** Alternating fixed runs and holes, as bytes with the positions of the holes. */
function event(fixed: readonly string[], values: readonly (string | number)[]): { bytes: Buffer; holes: Hole[] } {
  let text = '';
  const holes: Hole[] = [];
  for (const [place, run] of fixed.entries()) {
    text += run;
    const value = values[place];
    if (value === undefined) {
      continue;
    }
    const start = Buffer.byteLength(text);
    text += typeof value === 'string' ? JSON.stringify(value).slice(1, -1) : String(value);
    holes.push({ start, end: Buffer.byteLength(text), kind: typeof value === 'string' ? 'string' : 'number' });
  }
  return { bytes: Buffer.from(text), holes };
}

const FIXED = ['data: {"n":', ',"text":"', '","more":"', '"}\n\n'];
const value = fc.tuple(fc.integer(), fc.string({ unit: 'binary' }), fc.string());

describe('EventTemplates', () => {
  it('recognizes an event that differs in its holes only, and finds the holes', () => {
    fc.assert(
      fc.property(value, value, fc.nat(9), (first, second, before) => {
        const templates = new EventTemplates<string>();
        const learned = event(FIXED, first);
        templates.learn(learned.bytes, 0, learned.bytes.length, learned.holes, 'facts');
        const { bytes, holes } = event(FIXED, second);
        const shifted = Buffer.concat([Buffer.alloc(before, '"'), bytes, Buffer.from('"}')]);
        assert.equal(templates.match(shifted, before, before + bytes.length), 'facts');
        for (const [place, hole] of holes.entries()) {
          assert.equal(templates.holeStarts[place], hole.start + before);
          assert.equal(templates.holeEnds[place], hole.end + before);
        }
      }),
    );
  });

  it('does not confuse different events', () => {
    const templates = new EventTemplates<string>();
    const { bytes, holes } = event(FIXED, [1, 'a', 'b']);
    templates.learn(bytes, 0, bytes.length, holes, 'facts');
    for (const other of [
      event(['data: {"n":', ',"text":"', '","more":"', '","finish":1}\n\n'], [1, 'a', 'b']).bytes,
      event(['data: {"N":', ',"text":"', '","more":"', '"}\n\n'], [1, 'a', 'b']).bytes,
      Buffer.from('data: {"n":true,"text":"a","more":"b"}\n\n'),
      bytes.subarray(0, -1),
      Buffer.concat([bytes, Buffer.from('\n')]),
      Buffer.from('data: {"n":1,"text":"a\\","more":"b"}\n\n'),
      Buffer.from(''),
    ]) {
      assert.equal(templates.match(other, 0, other.length), undefined, other.toString());
    }
  });

  it('keeps the latest few forms', () => {
    const templates = new EventTemplates<number>();
    const forms = Array.from({ length: 6 }, (_, form) => event([`${form}:"`, '"\n\n'], ['x']));
    for (const [form, { bytes, holes }] of forms.entries()) {
      templates.learn(bytes, 0, bytes.length, holes, form);
    }
    const known = forms.map(({ bytes }) => templates.match(bytes, 0, bytes.length));
    assert.deepEqual(known, [undefined, undefined, 2, 3, 4, 5]);
  });

  it('does not keep long events', () => {
    const templates = new EventTemplates<string>();
    const long = event([`${'x'.repeat(5_000)}"`, '"\n\n'], ['a']);
    templates.learn(long.bytes, 0, long.bytes.length, long.holes, 'facts');
    assert.equal(templates.match(long.bytes, 0, long.bytes.length), undefined);
  });
});
