import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import type { Finding } from './detector.ts';
import { longestMatch, MAX_PATTERN_MATCH, MAX_STEPS, PatternDetector, readsAhead } from './pattern-detector.ts';
import { findAll, findInPieces, found } from './testing.ts';

describe('a detector of patterns', () => {
  const detector = new PatternDetector(['(?i)\\bproject (falcon|osprey)\\b', 'CASE-[0-9]{3,6}']);

  it('finds each match of each expression', () => {
    assert.deepEqual(found(detector, 'Project Falcon has CASE-123 and CASE-12; myproject falcon.'), [
      'Pattern: Project Falcon',
      'Pattern: CASE-123',
    ]);
  });

  it('finds the same in a text that arrives in pieces', () => {
    const part = fc.constantFrom(
      'project ',
      'Project',
      ' falcon',
      'osprey',
      's',
      ' ',
      'CASE-',
      '12',
      '34567',
      '\u{1F600}',
      '\u200b',
      'о',
      '１',
      '&#4',
      '5;',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), fc.array(fc.nat(80), { maxLength: 6 }), (parts, places) => {
        const whole = parts.join('');
        const cuts = places.filter((place) => place < whole.length);
        assert.deepEqual(findInPieces(detector, whole, cuts), findAll(detector, whole));
      }),
      fuzzRuns(1000),
    );
  });

  for (const [disguise, text] of [
    ['look-alike letters', 'the prоjeсt fаlcon'],
    ['zero-width characters', 'the proj\u200bect fal\u00adcon'],
    ['fullwidth letters', 'the ｐｒｏｊｅｃｔ ｆａｌｃｏｎ'],
    ['fullwidth digits', 'the CASE-１２３'],
    ['HTML entities', 'the CASE&#45;&#49;23'],
    ['Markdown escapes', 'the CASE\\-123'],
  ] as const) {
    it(`finds values behind ${disguise}, with the offsets of the original text`, () => {
      assert.deepEqual(found(detector, text), [`Pattern: ${text.slice(4)}`]);
      for (let cut = 1; cut < text.length; cut += 1) {
        assert.deepEqual(findInPieces(detector, text, [cut]), findAll(detector, text));
      }
    });
  }

  it('finds letters of the expression that are not ASCII', () => {
    assert.deepEqual(found(new PatternDetector(['Müller', 'Жук']), 'Frau Müller und Жук'), [
      'Pattern: Müller',
      'Pattern: Жук',
    ]);
  });

  it('holds back no more than the longest match', () => {
    const text = 'x'.repeat(500);
    assert.equal(text.length - detector.openFrom(text), 17);
    assert.equal(new PatternDetector(['a+']).openFrom('b'.repeat(5000)), 5000 - MAX_PATTERN_MATCH);
  });

  for (const [source, longest] of [
    ['abc', 3],
    ['a|bcd|ef', 3],
    ['(?i)a(?:b|cd){2}', 5],
    ['[a-z]{2,4}\\d?', 10],
    ['\\bx\\b$', 1],
    ['(?P<name>ab)+', Number.POSITIVE_INFINITY],
    ['\\Qa.b*\\E', 4],
    ['a{3,}', Number.POSITIVE_INFINITY],
    ['[]a]\\x{1F600}', 4],
    ['', 0],
  ] as const) {
    it(`knows that ${source} matches at most ${longest} units`, () => {
      assert.equal(longestMatch(source), longest);
    });
  }
});

describe('a search that reads ahead', () => {
  it('is bounded in steps, and hides nothing behind the bound', () => {
    const detector = new PatternDetector(['a.*z|a']);
    const out: Finding[] = [];
    const length = 8192;
    detector.find('a'.repeat(length), 0, length, out);
    const steps = out.reduce((sum, { start }) => sum + length - start, 0);
    assert.ok(steps <= MAX_STEPS + length, `${steps} steps`);
    let end = 0;
    for (const finding of out) {
      assert.equal(finding.start, end);
      end = finding.end;
    }
    assert.equal(end, length);
  });

  it('finds each of many matches of an expression that cannot read ahead', () => {
    const out: Finding[] = [];
    new PatternDetector(['[0-9]+']).find('12,'.repeat(2730), 0, 8190, out);
    assert.equal(out.length, 2730);
  });

  const expressions: Readonly<Record<string, boolean>> = {
    'a.*z|a': true,
    'a(.*z)?': true,
    '(ab*c)+': true,
    '(?:x.*y){2,}': true,
    '[0-9]+': false,
    'a.*z': false,
    '(a|b)c{2,5}': false,
    '[|)?*]+x': false,
    '\\|\\)*x+': false,
    '\\Q(a)*|\\Eb+': false,
    '(project) [a-z]+': false,
  };
  for (const [source, reads] of Object.entries(expressions)) {
    it(`${source} ${reads ? 'reads' : 'does not read'} ahead`, () => {
      assert.equal(readsAhead(source), reads);
    });
  }
});
