import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { builtinDetectorNames } from '../../../contract/guardrails.ts';
import { builtinDetector } from './builtin.ts';
import type { Detector } from './detector.ts';
import { PatternDetector } from './pattern-detector.ts';
import { PromptInjectionDetector } from './prompt-injection.ts';
import { findAll } from './testing.ts';

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

/** Returns the fewest milliseconds of several runs. */
function fewestMs(detector: Detector, text: string): number {
  let fewest = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 4; run += 1) {
    const startedMs = performance.now();
    findAll(detector, text);
    detector.openFrom(text.slice(-4096));
    fewest = Math.min(fewest, performance.now() - startedMs);
  }
  return fewest;
}

describe('a text of near-matches', () => {
  for (const [name, detector] of [
    ['built-in detectors', builtinDetector(builtinDetectorNames, ['DE', 'US'])],
    ['patterns', new PatternDetector(['(?i)\\bproject (falcon|osprey)\\b', 'a+b', '(a|b)*c'])],
    ['prompt injection', new PromptInjectionDetector(0.5)],
  ] as const) {
    it(`takes ${name} time in proportion to its length`, () => {
      for (const part of nearMatches) {
        const short = part.repeat(Math.ceil(8192 / part.length));
        // Quadratic time would be 64 times. A busy machine may disturb one measurement, not three.
        const ratios = [0, 1, 2].map(() => fewestMs(detector, short.repeat(8)) / fewestMs(detector, short));
        assert.ok(Math.min(...ratios) < 24, `${JSON.stringify(part)}: ${ratios.join(', ')} times`);
      }
    });
  }
});
