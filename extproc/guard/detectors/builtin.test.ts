import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import { builtinDetector, builtinNames } from './builtin.ts';
import { findAll, findInPieces, found } from './testing.ts';

const detector = builtinDetector(builtinNames);

/** Values of each type, and near misses. */
const values = ['4111 1111 1111 1111', '4111111111111112', '3782-822463-10005', 'jane.doe@example.com', 'a@b@c.org.'];
const words = [
  'the ',
  'x',
  ' ',
  '.',
  '-',
  ',\n',
  '12',
  '2024 ',
  '+',
  '@',
  '\\',
  '%2',
  '&#6',
  '4;',
  '\u200b',
  'ü',
  '世界',
  '😀',
];
const text = fc
  .array(fc.oneof(fc.constantFrom(...values), fc.constantFrom(...words)), { maxLength: 12 })
  .map((parts) => parts.join(''));

describe('a text that arrives in pieces', () => {
  it('has the findings of the whole text, for any cuts', () => {
    fc.assert(
      fc.property(text, fc.array(fc.nat(200), { maxLength: 8 }), (whole, places) => {
        const cuts = places.filter((place) => place < whole.length);
        assert.deepEqual(findInPieces(detector, whole, cuts), findAll(detector, whole));
      }),
      fuzzRuns(2000),
    );
  });

  it('has them when it arrives one character at a time', () => {
    fc.assert(
      fc.property(text, (whole) => {
        const cuts = Array.from({ length: whole.length }, (_, index) => index);
        assert.deepEqual(findInPieces(detector, whole, cuts), findAll(detector, whole));
      }),
      fuzzRuns(500),
    );
  });

  it('holds nothing back of prose that ends with a space', () => {
    const prose = 'Since 2019, the 3 teams (and 4 others) have met twice: in May - and in June. ';
    assert.equal(detector.openFrom(prose), prose.length);
  });
});

describe('values in disguise', () => {
  for (const [disguise, whole, expected] of [
    [
      'zero-width characters',
      'card 4111\u200b1111\u00ad1111\u20601111!',
      'CreditCard: 4111\u200b1111\u00ad1111\u20601111',
    ],
    ['digits of other scripts', '٤١١١ １１１１ ११११ 𝟭𝟭𝟭𝟭', 'CreditCard: ٤١١١ １１１１ ११११ 𝟭𝟭𝟭𝟭'],
    ['Cyrillic letters', 'to jаne@exаmple.соm', 'Email: jаne@exаmple.соm'],
    ['HTML entities', 'to jane&#64;example&period;com', 'Email: jane&#64;example&period;com'],
    ['Markdown escapes', 'to jane\\_doe\\@example.com', 'Email: jane\\_doe\\@example.com'],
    ['JSON escapes', '{\\"to\\":\\"jane\\u0040example.com\\"}', 'Email: jane\\u0040example.com'],
    ['percent-encoding', '?to=jane%40example.com&x', 'Email: jane%40example.com'],
    ['dashes', '4111–1111—1111‑1111', 'CreditCard: 4111–1111—1111‑1111'],
  ] as const) {
    it(`are found behind ${disguise}`, () => {
      assert.deepEqual(found(detector, whole), [expected]);
    });
  }
});

describe('CreditCard', () => {
  it('finds numbers of each issuer with their check digit', () => {
    for (const number of [
      '4111111111111111',
      '5555 5555 5555 4444',
      '378282246310005',
      '6011-1111-1111-1117',
      '30569309025904',
      '3530.1113.3330.0000',
      '2223003122003222',
    ]) {
      assert.deepEqual(found(detector, `paid with ${number}, thanks`), [`CreditCard: ${number}`]);
    }
  });

  it('leaves numbers without issuer, check digit or boundary', () => {
    for (const number of [
      '4111111111111112',
      '1111111111111117',
      'a4111111111111111',
      '0.4111111111111111',
      '41111111111111110',
    ]) {
      assert.deepEqual(found(detector, `id ${number}, thanks`), []);
    }
  });
});

describe('Email', () => {
  it('finds addresses without the punctuation around them', () => {
    assert.deepEqual(found(detector, "Mail <o'hara+a@mail.example.co.uk>, (b@c.org)."), [
      "Email: o'hara+a@mail.example.co.uk",
      'Email: b@c.org',
    ]);
  });

  it('leaves versions, files and the user of repositories', () => {
    assert.deepEqual(found(detector, 'zod@4.6.7 icon@2x.png git@github.com:a/b @decorator a@localhost'), []);
  });
});
