import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TokenWeight } from './tokens.ts';
import { compileWeight, weightFault } from './weight.ts';

const weights: readonly (readonly [text: string, weight: Partial<TokenWeight>])[] = [
  ['usage.output', { perToken: { output: 1000 } }],
  [
    'usage.input + 4 * usage.output - usage.cachedInput / 2',
    { perToken: { input: 1000, output: 4000, cachedInput: -500 } },
  ],
  ['(usage.input + usage.output) * 3 / 2', { perToken: { input: 1500, output: 1500 } }],
  ['usage.input / 3', { perToken: { input: 1000 }, divisor: 3 }],
  ['1 / 3 * usage.input', { perToken: { input: 1000 }, divisor: 3 }],
  ['-(-usage.output) / -2 + usage.input', { perToken: { input: 1000, output: -500 } }],
  ['0.1 * usage.input + 0.2', { perToken: { input: 100 }, constant: 200 }],
  ['1e-4 * usage.input', { perToken: { input: 1 }, divisor: 10 }],
  ['2 * (1 + usage.output) - usage.output', { perToken: { output: 1000 }, constant: 2000 }],
  ['usage.input - usage.input + usage.output', { perToken: { output: 1000 } }],
];

for (const [text, weight] of weights) {
  test(`${text} compiles to exact factors`, () => {
    assert.equal(weightFault(text), undefined);
    assert.deepEqual(compileWeight(text), { perToken: {}, constant: 0, divisor: 1, ...weight });
  });
}

const faults: readonly (readonly [text: string, message: string, position: number | undefined])[] = [
  ['usage.input * usage.output', 'is not linear: it multiplies tokens by tokens', 1],
  ['1 + usage.input / usage.output', 'is not linear: it divides by tokens', 5],
  ['usage.input / (1 - 1)', 'divides by 0', 1],
  ['usage.input + usage.thoughts', 'uses usage.thoughts, which is no kind of tokens', 15],
  ['2 * request.model', 'uses request.model, which is no kind of tokens', 5],
  ['2 * tokens', 'uses tokens, which weights do not have', 5],
  ['usage.input > 5 ? usage.input : 5', 'uses ?:, which is not linear', 1],
  ['usage.input + max(usage.output, 5)', 'uses max(), which is not linear', 15],
  ['usage["input"]', 'uses [], which is not linear', 1],
  ['usage.input % 2', 'uses %, which is not linear', 1],
  ['usage.input + "5"', 'has a value that is no number', 15],
  ['usage.input * true', 'has a value that is no number', 15],
  ['usage.input + ', 'is not valid: Unexpected token: EOF', 15],
  ['5', 'counts no tokens', undefined],
  ['-usage.input', 'counts no tokens', undefined],
  ['usage.input * 10001', 'has a factor beyond 10000', undefined],
  ['usage.input / 1000003', 'has fractions that are too fine', undefined],
  [`usage.input + ${'1'.repeat(1011)}`, 'is too long: 1025 characters, the maximum is 1024', undefined],
];

for (const [text, message, position] of faults) {
  test(`${text.slice(0, 40)} is refused: ${message}`, () => {
    const fault = weightFault(text);
    assert.equal(fault?.message, message);
    assert.equal(fault?.position, position);
  });
}
