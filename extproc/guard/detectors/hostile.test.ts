import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { builtinDetectorNames } from '../../../contract/guardrails.ts';
import { builtinDetector } from './builtin.ts';
import type { Detector } from './detector.ts';
import { FoldedText } from './folded-text.ts';
import { MAX_STEPS, PatternDetector } from './pattern-detector.ts';
import { PromptInjectionDetector } from './prompt-injection.ts';
import { findAll, found } from './testing.ts';

const nearMatches = [
  '4111 1111 1111 1112 ',
  '1 ',
  '9',
  'a',
  'a@b.',
  'a.',
  '+49 30 ',
  '(0',
  'DE89 3704 ',
  'ab:cd:',
  '::1',
  '1.2.3.',
  'api_key=',
  'password: ',
  'eyJ.',
  'eyJ-',
  'eyJhbGciOiJI.',
  '-----BEGIN PRIVATE KEY-----\n',
  '://a:',
  'sk-',
  'bc1q',
  '0x',
  'ignore all previous ',
  'aWdub3Jl',
  '&#',
  '\\u00',
  '%4',
  '4\u200b',
  '\ud835',
  '\u{e0041}',
];

/** Returns how often a detector looks at a character of a text; so does the engine of patterns. */
function looks(detector: Detector, text: string): number {
  const { at } = FoldedText.prototype;
  const { charCodeAt, codePointAt } = String.prototype;
  let count = 0;
  FoldedText.prototype.at = function (index) {
    count += 1;
    return at.call(this, index);
  };
  String.prototype.charCodeAt = function (index) {
    count += 1;
    return charCodeAt.call(this, index);
  };
  String.prototype.codePointAt = function (index) {
    count += 1;
    return codePointAt.call(this, index);
  };
  try {
    findAll(detector, text);
    detector.openFrom(text.slice(-4096));
    return count;
  } finally {
    FoldedText.prototype.at = at;
    Object.assign(String.prototype, { charCodeAt, codePointAt });
  }
}

/** Whether eight times the text takes at most about eight times the looks. */
function isLinear(detector: Detector, part: string): boolean {
  const short = part.repeat(Math.ceil(1024 / part.length));
  return looks(detector, short.repeat(8)) < 16 * looks(detector, short) + 2000;
}

describe('a text of near-matches', () => {
  it('takes built-in detectors a number of looks in proportion to its length', () => {
    const detector = builtinDetector(builtinDetectorNames, ['DE', 'US']);
    for (const part of nearMatches) {
      const short = part.repeat(Math.ceil(1024 / part.length));
      const long = looks(detector, short.repeat(8));
      // A detector reads at most so much of a text for each of its characters.
      assert.ok(long < 16 * looks(detector, short) + 2000, `${JSON.stringify(part)}: ${long} looks`);
      assert.ok(long < 300 * short.length * 8, `${JSON.stringify(part)}: ${long} looks`);
    }
  });

  it('takes patterns and prompt injection a number of looks in proportion to its length', () => {
    for (const detector of [
      new PatternDetector(['(?i)\\bproject (falcon|osprey)\\b', '[a-z]+[0-9]{3}x', '(a|b)*c', '(?:\\d+[ -]?)+x']),
      new PromptInjectionDetector(0.5),
    ]) {
      for (const part of nearMatches) {
        assert.ok(isLinear(detector, part), part);
      }
    }
  });

  it('takes an expression a bounded number of looks that looks for a longer match up to the end each time', () => {
    // What inspects a text gives a detector 8 KB of it at once.
    const count = looks(new PatternDetector(['a.*z|a']), 'a'.repeat(8192));
    assert.ok(count < 4 * MAX_STEPS, `${count} looks`);
  });
});

describe('a value in hostile text', () => {
  const detector = builtinDetector(['CreditCard', 'Email', 'Secret']);
  const card = '4111111111111111';

  for (const [place, text] of [
    ['a code block', `\`\`\`\n${card}\n\`\`\``],
    ['emphasis', `**${card}**`],
    ['a link', `[pay](https://example.com/?card=${card})`],
    ['a table', `| card | ${card} |`],
    ['an HTML element', `<b>${card}</b>`],
    ['an HTML attribute', `<input value="${card}">`],
    ['a comment', `<!-- ${card} -->`],
    ['JSON inside a string', `{\\"card\\":\\"${card}\\"}`],
    ['text from right to left', `\u202e${card}\u202c`],
    ['text after a lone surrogate', `\ud800 ${card}`],
    ['text after a combining mark', `e\u0301 ${card}`],
  ] as const) {
    it(`is found in ${place}`, () => {
      assert.deepEqual(found(detector, text), [`CreditCard: ${card}`]);
    });
  }

  for (const [disguise, text] of [
    ['numeric entities of every digit', [...card].map((digit) => `&#${digit.charCodeAt(0)};`).join('')],
    ['hexadecimal entities', [...card].map((digit) => `&#x${digit.charCodeAt(0).toString(16)};`).join('')],
    ['JSON escapes of every digit', [...card].map((digit) => `\\u00${digit.charCodeAt(0).toString(16)}`).join('')],
    ['an invisible character after every digit', [...card].join('\u2063')],
    ['variation selectors', [...card].join('\ufe0f')],
    ['superscript digits', '⁴¹¹¹¹¹¹¹¹¹¹¹¹¹¹¹'],
    ['circled digits', '④①①①①①①①①①①①①①①①'],
  ] as const) {
    it(`is found as ${disguise}`, () => {
      assert.deepEqual(found(detector, `see ${text} now`), [`CreditCard: ${text}`]);
    });
  }

  // The page of detectors says that these are not promised.
  for (const [disguise, text] of [
    ['Base64', Buffer.from(card).toString('base64')],
    ['reversed digits', [...card].toReversed().join('')],
    ['words', 'four one one one, one one one one, one one one one, one one one one'],
    ['one part of two messages', card.slice(0, 8)],
  ] as const) {
    it(`is not found as ${disguise}`, () => {
      assert.deepEqual(found(detector, `see ${text} now`), []);
    });
  }
});
