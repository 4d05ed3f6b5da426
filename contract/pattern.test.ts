import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RE2Set } from 're2js';
import { fuzzRuns } from '../tools/fuzz/cases.ts';
import { MAX_MATCHED_CHARACTERS, MAX_PATTERN_SIZE, patternFault, patternMatcher, patternSize } from './pattern.ts';

/** Patterns that take exponential time in a backtracking engine. */
const exponential: readonly (readonly [pattern: string, value: string])[] = [
  [`${'(?:a|a)'.repeat(25)}b`, 'a'],
  ['a?'.repeat(40) + 'a'.repeat(40), 'a'],
  ['(a+)+b', 'a'],
  ['(a|aa)*b', 'a'],
  ['(?:a{0,9}){0,9}b', 'a'],
  ['.*.*.*.*.*.*x', 'a'],
  ['[ab]*a[ab]{40}c', 'ab'],
];

for (const [pattern, letters] of exponential) {
  test(`${pattern.slice(0, 30)} is matched without backtracking`, () => {
    assert.equal(patternFault(pattern), undefined);
    const matches = patternMatcher(pattern);
    const value = Array.from({ length: MAX_MATCHED_CHARACTERS - 1 }, (_, index) =>
      letters.charAt(Math.floor((((index * 7919) % 101) / 101) * letters.length)),
    ).join('');
    matches('warm');
    const least = Math.min(...[0, 0, 0].map(() => timed(() => matches(`${value}!`))));
    assert.ok(least < 20, `${least} ms, where backtracking takes longer than anybody waits`);
  });
}

test('no accepted pattern blocks the event loop', () => {
  const atom = fc.constantFrom('a', 'b', '.', '[ab]', '\\w', 'a?', 'b*', '\\b', '^', '$', '|', '(?i)a');
  const pattern = fc.letrec<{ readonly any: string }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      atom,
      fc.tuple(tie('any'), tie('any')).map((pair) => pair.join('')),
      tie('any').map((inner) => `(${inner})*`),
      tie('any').map((inner) => `(?:${inner}|${inner})+`),
      fc.tuple(tie('any'), fc.nat(60)).map(([inner, count]) => `(?:${inner}){0,${count}}`),
    ),
  })).any;
  fc.assert(
    fc.property(
      pattern,
      fc.string({ unit: fc.constantFrom('a', 'b', 'A', '-'), minLength: 200, maxLength: 256 }),
      (made, value) => {
        if (patternFault(made) !== undefined) {
          return;
        }
        const matches = patternMatcher(made);
        matches('');
        const least = Math.min(...[0, 0, 0].map(() => timed(() => matches(value))));
        assert.ok(least < 20, `${made}: ${least} ms`);
      },
    ),
    fuzzRuns(300),
  );
});

/** Returns the processor time of a run in milliseconds. */
function timed(run: () => void): number {
  const before = process.threadCpuUsage();
  run();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}

test('a pattern has RE2 semantics and matches the whole value', () => {
  const cases: readonly (readonly [pattern: string, value: string, matches: boolean])[] = [
    ['red|blue', 'blue', true],
    ['red|blue', 'bluer', false],
    ['team-[a-z]{2,8}', 'team-red', true],
    ['.*@example\\.com', 'a@example.com', true],
    ['.*@example\\.com', 'a@example.com.org', false],
    ['(?i)gold', 'GOLD', true],
    ['(a+)+', 'aaa', true],
    ['\\p{L}+', 'äöü', true],
    ['(?P<n>a)b', 'ab', true],
  ];
  for (const [pattern, value, expected] of cases) {
    assert.equal(patternFault(pattern), undefined, pattern);
    assert.equal(patternMatcher(pattern)(value), expected, `${pattern} ${value}`);
  }
});

test('an overlong value never matches', () => {
  assert.equal(patternMatcher('a*')('a'.repeat(MAX_MATCHED_CHARACTERS)), true);
  assert.equal(patternMatcher('a*')('a'.repeat(MAX_MATCHED_CHARACTERS + 1)), false);
});

for (const pattern of ['(?=a)b', '(a)\\1', '[', 'a**', '(', '\\C', '(?<=a)b']) {
  test(`${pattern} is not valid, and the fix names the syntax`, () => {
    const fault = patternFault(pattern);
    assert.match(fault?.message ?? '', /^is not valid: /);
    assert.match(fault?.fix ?? '', /RE2 syntax/);
  });
}

for (const pattern of [
  'a{0,99}'.repeat(6),
  '((a{20}){20}){20}',
  'a'.repeat(MAX_PATTERN_SIZE + 1),
  '(?:[ab]c{30}){30}',
]) {
  test(`${pattern.slice(0, 30)} is found too large without being compiled`, () => {
    assert.ok(timed(() => assert.match(patternFault(pattern)?.message ?? '', /too large/)) < 20);
  });
}

test('the size bounds the compiled program', () => {
  const cases = [
    ...['a', '(a|b)', 'a{0,99}', '(?:a{0,9}){0,9}', '[]a]{9}', '[^]a]{9}', '\\Qa{9}\\E', '\\p{L}{9}', 'a{,5}', 'a{3,}'],
    ...[
      '(?P<name>a{10}){9}',
      '(?<name>a{10}){9}',
      '(?i:a{5}){9}',
      '\\x{41}{9}',
      '\\{9}',
      '[\\]{9}]',
      '(?:😀{9}){9}',
      '(?i)a{9}',
    ],
    ...[
      '[[:alpha:]]{9}',
      '\\pL{9}',
      '((((a{3}){3}){3}){3})',
      '(?:(?:|a){9}b){5}',
      '\\Qab\\E{9}',
      '(?s-i:a{9}){9}',
      '(\\({9}){9}',
    ],
  ];
  for (const pattern of cases) {
    const size = patternSize(pattern);
    const program = programSize(pattern);
    assert.ok(program <= 4 * size + 8, `${pattern}: size ${size}, program ${program}`);
  }
});

function programSize(pattern: string): number {
  const set = new RE2Set(RE2Set.ANCHOR_BOTH);
  set.add(pattern);
  set.compile();
  return (set as unknown as { readonly prog: { numInst(): number } }).prog.numInst();
}
