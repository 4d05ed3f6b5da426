import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import { JsonStrings } from './json-strings.ts';
import { escapedUnits, offsetOfUnit, unitsOf } from './string-units.ts';

/** Returns each string with its path, or undefined where the document is broken. */
function walked(document: string, slice = Number.POSITIVE_INFINITY): string[] | undefined {
  const bytes = Buffer.from(document);
  const found: string[] = [];
  const walker: JsonStrings = new JsonStrings({
    string: (start, end) => found.push(`${walker.path.join('.')}=${unitsOf(bytes, start, end)}`),
  });
  walker.begin(bytes, 0, bytes.length);
  while (walker.step(slice)) {}
  return walker.broken ? undefined : found;
}

function expected(value: unknown, path: readonly (string | number)[] = []): string[] {
  if (typeof value === 'string') {
    return [`${path.join('.')}=${value}`];
  }
  if (typeof value !== 'object' || value === null) {
    return [];
  }
  const entries = Array.isArray(value) ? value.map((each, place) => [place, each]) : Object.entries(value);
  return entries.flatMap(([key, each]) => expected(each, [...path, key as string]));
}

const anyText = fc.string({ unit: 'binary', maxLength: 20 });
const anyJson = fc.json({ stringUnit: 'grapheme' });

it('finds each string of a document with its path, in slices of any size', () => {
  fc.assert(
    fc.property(anyJson, fc.nat({ max: 20 }), fc.boolean(), (text, slice, spaced) => {
      const document = spaced ? JSON.stringify(JSON.parse(text), undefined, 2) : text;
      assert.deepEqual(walked(document, slice + 1), expected(JSON.parse(document)));
    }),
    fuzzRuns(300),
  );
});

it('accepts no document that JSON does not allow', () => {
  fc.assert(
    fc.property(anyJson, fc.nat(), fc.constantFrom('"', ',', '{', ']', 'x', ':', '\\', ' 1', ''), (text, at, wrong) => {
      const place = at % (text.length + 1);
      const document = text.slice(0, place) + wrong + text.slice(place + (wrong === '' ? 1 : 0));
      try {
        JSON.parse(document);
      } catch (error) {
        // Numbers and escapes are only read as far as it matters for text.
        if (!/\d/.test(document) && !/unicode|control/i.test(String(error))) {
          assert.equal(walked(document), undefined, document);
        }
      }
    }),
    fuzzRuns(300),
  );
});

it('bounds the depth of a document', () => {
  assert.equal(walked('['.repeat(100_000)), undefined);
  assert.deepEqual(walked(`${'['.repeat(500)}"a"${']'.repeat(500)}`)?.length, 1);
});

it('finds the bytes of each unit of a string, however it is escaped', () => {
  fc.assert(
    fc.property(anyText, fc.nat({ max: 3 }), (text, form) => {
      const escaped = [...escapedUnits(text)]
        .map((unit) => (form === 0 && unit > '~' ? `\\u${hex(unit)}` : unit))
        .join('');
      const raw = Buffer.from(escaped);
      const units = unitsOf(raw, 0, raw.length);
      for (let index = 0; index <= units.length; index++) {
        const at = offsetOfUnit(raw, 0, raw.length, index);
        // A place inside of a character of four bytes is its end.
        const before = unitsOf(raw, 0, at);
        assert.ok(before === units.slice(0, index) || before === units.slice(0, index + 1));
      }
    }),
    fuzzRuns(300),
  );
});

it('reads bytes that are no UTF-8 as decoders do', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
      const raw = bytes.map((byte) => (byte === 0x5c || byte === 0x22 ? 0xe2 : byte));
      const units = unitsOf(raw, 0, raw.length);
      assert.equal(units, new TextDecoder('utf-8', { ignoreBOM: true }).decode(raw));
      assert.equal(offsetOfUnit(raw, 0, raw.length, units.length), raw.length);
      for (let index = 0; index < units.length; index++) {
        // A place inside of a character of four bytes is its end.
        const isInside = units.codePointAt(index - 1)! > 0xffff;
        assert.ok(isInside || offsetOfUnit(raw, 0, raw.length, index) < raw.length);
      }
    }),
    fuzzRuns(500),
  );
});

function hex(text: string): string {
  return Array.from({ length: text.length }, (_, at) => text.charCodeAt(at).toString(16).padStart(4, '0')).join('\\u');
}
