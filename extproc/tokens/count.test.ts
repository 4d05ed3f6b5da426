import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { Tiktoken } from 'js-tiktoken/lite';
import { fixtures } from '../../fixtures/fixtures.ts';
import { recordings } from '../../fixtures/recordings.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { isFailure } from '../errors.ts';
import { newScanner } from '../json/json-tokenizer.ts';
import { cuts, pieces, pushAll } from '../json/testing.ts';
import { leastTokens, newBodyCount, newSlicedCount } from './count.ts';
import { loadEncodings } from './encodings.ts';

const oracles = new Map<'o200k_base' | 'cl100k_base', Tiktoken>();

before(async () => {
  await loadEncodings();
  for (const name of ['o200k_base', 'cl100k_base'] as const) {
    const { default: ranks } = await import(`js-tiktoken/ranks/${name}`);
    oracles.set(name, new Tiktoken(ranks));
  }
});

const rawContents = (text: string): Buffer => Buffer.from(JSON.stringify(text).slice(1, -1));

function count(
  raw: Uint8Array | readonly Uint8Array[],
  encoding: 'o200k_base' | 'o200k_harmony' | 'cl100k_base' = 'o200k_base',
): number {
  const counting = newSlicedCount(raw instanceof Uint8Array ? [raw] : raw, { encoding }, '');
  while (!counting.step(1000)) {}
  return counting.tokens;
}

describe('a count', () => {
  it('equals the oracle’s on ordinary text', () => {
    const here = new URL('../../', import.meta.url);
    const texts = ['README.md', 'package.json', 'biome.json', 'extproc/json/scanner.ts', 'LICENSE'].map((name) =>
      readFileSync(new URL(name, here), 'utf8').slice(0, 15_000),
    );
    texts.push(
      ...[...fixtures.filter(({ stream }) => !stream), ...recordings()].map(({ answer }) => answer.slice(0, 3_000)),
    );
    texts.push(
      'Der Zürcher Fluß, ΑΒΓ λόγος, Привет МИР, こんにちは世界、東京。 안녕하세요 हिन्दी में ไทยภาษา עברית العَرَبِيَّة 👩‍👩‍👧 🇨🇭 e\u0301\n\n\t x=1234567;\r\n',
    );
    for (const encoding of ['o200k_base', 'cl100k_base'] as const) {
      for (const text of texts) {
        const trimmed = text.trimEnd();
        assert.equal(count(rawContents(trimmed), encoding), oracles.get(encoding)!.encode(trimmed, [], []).length);
      }
    }
  });

  it('is never below the bound from the length', () => {
    const runs = fc.array(fc.tuple(fc.constantFrom(' ', '=', 'a', '\n', '\u0001', 'é', '\t\t', '-'), fc.nat(600)), {
      maxLength: 8,
    });
    const text = runs.map((parts) => parts.map(([unit, times]) => unit.repeat(times)).join(''));
    fc.assert(
      fc.property(
        fc.oneof(text, fc.string({ unit: 'binary', maxLength: 500 })),
        fc.constantFrom('o200k_base', 'cl100k_base'),
        (some, encoding) => {
          const raw = rawContents(some);
          assert.ok(leastTokens(raw.length, { encoding }, '') <= count(raw, encoding));
        },
      ),
      { numRuns: 40 },
    );
    assert.ok(leastTokens(1024 * 1024, { encoding: 'o200k_base' }, '') > 1_000);
  });

  it('equals the oracle’s on any text', () => {
    const unit = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 3 }),
      fc.constantFrom(' ', 'the', 'Ing', "'ll", '\n', '12', '中文', '=='),
    );
    const text = fc.array(unit, { maxLength: 30 }).map((parts) =>
      parts
        .join('')
        .replace(/[\ufeff\u0085]/g, '')
        .toWellFormed()
        .trimEnd(),
    );
    fc.assert(
      fc.property(text, (value) => {
        for (const encoding of ['o200k_base', 'cl100k_base'] as const) {
          assert.equal(count(rawContents(value), encoding), oracles.get(encoding)!.encode(value, [], []).length);
        }
      }),
      fuzzRuns(500),
    );
  });

  it('counts special tokens as plain text', () => {
    for (const special of ['<|endoftext|>', '<|im_start|>system', '<|start|>assistant<|channel|>']) {
      const expected = oracles.get('o200k_base')!.encode(special, [], []).length;
      assert.equal(count(rawContents(special)), expected);
      assert.equal(count(rawContents(special), 'o200k_harmony'), expected);
      assert.ok(expected > 3);
    }
  });

  it('does not depend on escapes or cuts', () => {
    const text = 'naïve 中文 😀 "quoted" \\ tab\t it’s I’ll';
    const escaped = Array.from(
      { length: text.length },
      (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`,
    ).join('');
    const expected = count(rawContents(text));
    fc.assert(
      fc.property(cuts, (places) => {
        assert.equal(count(pieces(rawContents(text), places)), expected);
        assert.equal(count(pieces(Buffer.from(escaped), places)), expected);
      }),
    );
  });

  it('stops early at a limit, and applies a factor', () => {
    const raw = rawContents('one two three four five six seven '.repeat(10_000));
    const limited = newSlicedCount([raw], { encoding: 'o200k_base' }, '', 1000);
    assert.equal(limited.step(10_000), true);
    assert.ok(limited.tokens > 1000 && limited.tokens < 2000);
    const scaled = newSlicedCount([rawContents('one two three')], { encoding: 'o200k_base', factorPercent: 150 }, '');
    while (!scaled.step(1000)) {}
    assert.equal(scaled.tokens, 5);
  });

  it('works in slices by the given clock', () => {
    let now = 0;
    const raw = rawContents('one two three four five six seven '.repeat(10_000));
    const counting = newSlicedCount([raw], { encoding: 'o200k_base' }, '', undefined, () => now++);
    let steps = 0;
    while (!counting.step(2)) {
      steps++;
    }
    assert.ok(steps > 50);
    assert.equal(counting.tokens, count(raw));
    assert.equal(counting.step(2), true);
  });
});

describe('a count of a body', () => {
  it('counts each string on its own', () => {
    const shape = { object: { a: { items: { text: true } }, b: { text: true } } };
    const texts = ['hel', 'lo', '', ' wor\n"ld"', '中文', 'x'.repeat(5000)];
    const bytes = Buffer.from(JSON.stringify({ a: texts, b: 'and more', c: 'not this' }));
    const expected = [...texts, 'and more'].reduce((sum, text) => sum + count(rawContents(text)), 0);
    fc.assert(
      fc.property(cuts, (places) => {
        const body = pushAll(newScanner(shape), pieces(bytes, places));
        assert.ok(!isFailure(body));
        const counting = newBodyCount(body, { encoding: 'o200k_base' }, '');
        while (!counting.step(1000)) {}
        assert.equal(counting.tokens, expected);
      }),
    );
  });

  it('is 0 without text', () => {
    const body = pushAll(newScanner({}), [Buffer.from('{}')]);
    assert.ok(!isFailure(body));
    const counting = newBodyCount(body, { encoding: 'Auto' }, 'gpt-4o');
    assert.equal(counting.step(1), true);
    assert.equal(counting.tokens, 0);
  });
});

describe('adversarial text', () => {
  const random = (count: number, first: number, range: number): string => {
    let state = 1;
    return Array.from({ length: count }, () => {
      state = (state * 48271) % 0x7fffffff;
      return String.fromCharCode(first + (state % range));
    }).join('');
  };
  const texts: Readonly<Record<string, (size: number) => string>> = {
    letters: (size) => random(size, 97, 26),
    chinese: (size) => random(size, 0x4e00, 20_000),
    'one letter': (size) => 'a'.repeat(size * 5),
    spaces: (size) => ' '.repeat(size * 2),
    'spaces and newlines': (size) => `${' '.repeat(40)}\n`.repeat(size / 20),
    emoji: (size) => '👩‍👩‍👧‍👦'.repeat(size / 10),
    marks: (size) => 'e\u0301\u0302'.repeat(size / 3),
    equals: (size) => '='.repeat(size),
  };

  /** Processor time, the best of several runs: the machine may be busy. */
  function cpuMs(raw: Uint8Array): number {
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 4; run++) {
      const began = process.cpuUsage();
      count(raw);
      const { user, system } = process.cpuUsage(began);
      best = Math.min(best, (user + system) / 1000);
    }
    return best;
  }

  for (const [name, make] of Object.entries(texts)) {
    it(`${name}: takes time in proportion to its length`, () => {
      const small = rawContents(make(20_000));
      const large = rawContents(make(160_000));
      cpuMs(small);
      const short = cpuMs(small);
      const long = cpuMs(large);
      // Eight times the text. Quadratic time would be 64 times the time.
      assert.ok(long < Math.max(20, short * 24), `${short} ms and ${long} ms`);
    });

    it(`${name}: reads the clock every kilobyte`, () => {
      const raw = rawContents(make(20_000));
      let looks = 0;
      const counting = newSlicedCount([raw], { encoding: 'o200k_base' }, '', undefined, () => looks++);
      while (!counting.step(0)) {}
      assert.ok(looks >= raw.length / 1024, `${looks} looks`);
    });
  }
});
