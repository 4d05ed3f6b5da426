import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import type { HeaderList } from '../exchange.ts';
import { cookieValue, headerCredential, MAX_CREDENTIAL_CHARACTERS } from './credentials.ts';

const cases: readonly (readonly [title: string, headers: HeaderList, expected: string])[] = [
  ['no header is no credential', [], 'none'],
  ['OpenAI clients send a bearer token', [['authorization', 'Bearer k1']], 'k1'],
  ['the scheme has any case', [['authorization', 'bEARER k1']], 'k1'],
  ['spaces around the value are ignored', [['authorization', 'Bearer   k1 ']], 'k1'],
  ['Anthropic clients send x-api-key', [['x-api-key', 'k1']], 'k1'],
  ['Azure clients send api-key', [['api-key', 'k1']], 'k1'],
  ['Google clients send x-goog-api-key', [['x-goog-api-key', 'k1']], 'k1'],
  [
    'the same value in two headers is one credential',
    [
      ['authorization', 'Bearer k1'],
      ['x-api-key', 'k1'],
    ],
    'k1',
  ],
  [
    'the same value in two lines is one credential',
    [
      ['x-api-key', 'k1'],
      ['x-api-key', 'k1'],
    ],
    'k1',
  ],
  [
    'two values are refused',
    [
      ['authorization', 'Bearer k1'],
      ['x-api-key', 'k2'],
    ],
    'several',
  ],
  [
    'two lines with different values are refused',
    [
      ['authorization', 'Bearer k1'],
      ['authorization', 'Bearer k2'],
    ],
    'several',
  ],
  [
    'values that differ in case are refused',
    [
      ['x-api-key', 'k1'],
      ['api-key', 'K1'],
    ],
    'several',
  ],
  ['joined lines are one value, which no key has', [['authorization', 'Bearer k1, Bearer k2']], 'k1, Bearer k2'],
  [
    'an empty value is no credential',
    [
      ['authorization', 'Bearer '],
      ['x-api-key', ''],
    ],
    'none',
  ],
  ['a scheme without value is no credential', [['authorization', 'Bearer']], 'none'],
  [
    'an empty value beside a value does not count',
    [
      ['authorization', ''],
      ['x-api-key', 'k1'],
    ],
    'k1',
  ],
  [
    'another scheme is refused',
    [
      ['authorization', 'Basic azE6'],
      ['x-api-key', 'k1'],
    ],
    'malformed',
  ],
  ['a scheme that begins like Bearer is refused', [['authorization', 'Bearerk1']], 'malformed'],
  ['a value without scheme is refused', [['authorization', 'k1']], 'malformed'],
  ['an overlong value is refused', [['x-api-key', 'k'.repeat(MAX_CREDENTIAL_CHARACTERS + 1)]], 'malformed'],
  [
    'headers with similar names are ignored',
    [
      ['x_api_key', 'k1'],
      ['x-api-key2', 'k1'],
      ['proxy-authorization', 'Bearer k1'],
      ['x-forwarded-authorization', 'Bearer k1'],
    ],
    'none',
  ],
];

for (const [title, headers, expected] of cases) {
  test(title, () => {
    const found = headerCredential(headers);
    assert.equal(found.type === 'secret' ? found.value : found.type, expected);
  });
}

test('the order of headers does not matter', () => {
  const name = fc.constantFrom('authorization', 'x-api-key', 'api-key', 'x-goog-api-key', 'x-other');
  const value = fc.constantFrom('', 'k1', 'k2', 'Bearer k1', 'Bearer k2', 'Bearer', 'Basic k1');
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 5 }), (headers) => {
      const [first, second] = [headerCredential(headers), headerCredential(headers.toReversed())];
      assert.equal(first.type === 'secret', second.type === 'secret');
      if (first.type === 'secret') {
        assert.deepEqual(second, first);
        const values = headers.filter(([header]) => header !== 'x-other').map(([, text]) => text);
        assert.ok(values.every((text) => ['', 'Bearer', first.value, `Bearer ${first.value}`].includes(text)));
      }
    }),
    fuzzRuns(500),
  );
});

test('a cookie is found by its exact name', () => {
  const headers: HeaderList = [
    ['cookie', 'a=1; IdToken=x.y.z; idtoken=other'],
    ['cookie', 'b="quoted"; empty='],
  ];
  assert.equal(cookieValue(headers, 'IdToken'), 'x.y.z');
  assert.equal(cookieValue(headers, 'b'), 'quoted');
  assert.equal(cookieValue(headers, 'empty'), undefined);
  assert.equal(cookieValue(headers, 'Token'), undefined);
  assert.equal(cookieValue([['Cookie2', 'IdToken=x']], 'IdToken'), undefined);
});

test('a cookie with two values is not used', () => {
  assert.equal(cookieValue([['cookie', 't=1; t=2']], 't'), undefined);
  assert.equal(
    cookieValue(
      [
        ['cookie', 't=1'],
        ['cookie', 't=2'],
      ],
      't',
    ),
    undefined,
  );
  assert.equal(cookieValue([['cookie', 't=1; t=1']], 't'), '1');
  assert.equal(cookieValue([['cookie', `t=${'a'.repeat(MAX_CREDENTIAL_CHARACTERS + 1)}`]], 't'), undefined);
});
