import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splice } from '../json/splice.ts';
import { builtinDetector } from './detectors/builtin.ts';
import { type GuardRule, RequestGuard } from './guard.ts';
import { type InspectedRequest, inspectJson } from './request-inspection.ts';

const scopes = ['system', 'user', 'assistant', 'toolCall', 'toolResult', 'reasoning'] as const;

const mask: GuardRule = {
  name: 'identifiers',
  policy: 'default/company',
  phases: new Set(['request']),
  scopes: new Set(scopes),
  detector: builtinDetector(['Email']),
  action: { type: 'Mask', placeholder: '<{type}-{index}>', restore: false },
  onFailure: 'Closed',
  onUnmaskable: 'Block',
};

function inspected(body: Uint8Array, guard: RequestGuard): InspectedRequest {
  const steps = inspectJson(body, guard);
  for (;;) {
    const { done, value } = steps.next();
    if (done) {
      return value;
    }
  }
}

function masked(
  text: string,
  rules: readonly GuardRule[] = [mask],
): { readonly text: string; readonly guard: RequestGuard } {
  const guard = new RequestGuard(rules);
  const body = Buffer.from(text);
  return { text: Buffer.concat(splice([body], inspected(body, guard).splices)).toString(), guard };
}

const ADDRESS = 'jane@example.com';

/** Ways to write the address in a JSON string. */
const spellings = [
  ADDRESS,
  ADDRESS.replace('@', '\\u0040'),
  ADDRESS.replace('.', '\\u002E'),
  [...ADDRESS].map((one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
];

/** What may stand before the address, so that the ends of windows cut everything somewhere. */
const fillers = ['x ', '\\n', '\\" ', '\\u00e9 ', 'é ', '\u{1f600} ', '\\ud83d\\ude00 ', '\\\\ '];

for (const filler of fillers) {
  test(`a value at the end of a window is masked, however it is written, after ${filler}`, () => {
    for (const spelling of spellings) {
      const whole = Math.ceil(8192 / Buffer.byteLength(filler));
      for (let less = 0; less <= Math.ceil(130 / Buffer.byteLength(filler)); less++) {
        const before = `${filler.repeat(Math.max(0, whole - less))} `;
        const body = (value: string) => `{"messages":[{"content":"${before}${value} after"}]}`;
        assert.equal(masked(body(spelling)).text, body('<Email-1>'));
      }
    }
  });
}

test('arguments of tools stay valid JSON, and only their strings are masked', () => {
  const body = (args: string) =>
    JSON.stringify({ messages: [{ role: 'assistant', tool_calls: [{ function: { arguments: args } }] }] });
  const args = '{"to": "jane\\u0040example.com", "n": 1,\n "more": ["a \\"b\\""]}';
  assert.equal(masked(body(args)).text, body('{"to": "<Email-1>", "n": 1,\n "more": ["a \\"b\\""]}'));
  assert.equal(masked(body(`{"to": "${ADDRESS}`)).text, body('{"to": "<Email-1>'), 'cut off');
});

const CARD = 4111111111111111;
const cards: GuardRule = { ...mask, detector: builtinDetector(['CreditCard']) };

test('numbers become strings where they are masked, however they are written', () => {
  const body = (number: string) => `{"messages":[{"content":[{"type":"tool_use","input":{"n":${number},"m":1.5}}]}]}`;
  for (const number of [`${CARD}`, '4.111111111111111e15', '4111111111111111.0', '4.111111111111111E+15']) {
    assert.equal(masked(body(number), [cards]).text, body('"<CreditCard-1>"'));
  }
  assert.equal(masked(body(`-${CARD}`), [cards]).text, body('"-<CreditCard-1>"'));
  assert.equal(masked(body('4111111111111112'), [cards]).text, body('4111111111111112'));
});

test('keys and numbers in the arguments of a tool are masked', () => {
  const body = (args: string) =>
    JSON.stringify({ messages: [{ role: 'assistant', tool_calls: [{ function: { arguments: args } }] }] });
  const { text } = masked(body(`{"n":${CARD},"${CARD}":[${CARD}]}`), [cards]);
  assert.equal(text, body('{"n":"<CreditCard-1>","<CreditCard-1>":["<CreditCard-1>"]}'));
});

test('keys are masked, and block where a placeholder would make two keys one', () => {
  const body = `{"messages":[],"metadata":{"${CARD}":"a","5555555555554444":"b","${CARD}0":"c"}}`;
  assert.equal(
    masked(body, [cards]).text,
    `{"messages":[],"metadata":{"<CreditCard-1>":"a","<CreditCard-2>":"b","${CARD}0":"c"}}`,
  );
  const vague: GuardRule = { ...cards, action: { type: 'Mask', placeholder: '[card]', restore: false } };
  assert.equal(masked(body, [vague]).guard.block?.rule, vague);
  const passing: GuardRule = { ...vague, onUnmaskable: 'Pass' };
  const { text, guard } = masked(body, [passing]);
  assert.deepEqual([text, guard.block, guard.counts()[0]?.count], [body, undefined, 2]);
  const repeated = `{"metadata":[${Array(3).fill(`{"${CARD}":1}`).join()}]}`;
  assert.equal(masked(repeated, [cards]).text, repeated.replaceAll(`${CARD}`, '<CreditCard-1>'));
});

test('values of several types have placeholders of their own where these do not name the type', () => {
  const detector = builtinDetector(['CreditCard', 'Email']);
  const untyped: GuardRule = { ...mask, detector, action: { type: 'Mask', placeholder: '<{index}>', restore: true } };
  const { text } = masked(`{"metadata":{"${CARD}":"a","${ADDRESS}":"b"}}`, [untyped]);
  assert.equal(text, '{"metadata":{"<1>":"a","<2>":"b"}}');
});

test('keys beyond the values that are told apart block, because they have one placeholder', () => {
  const addresses = Array.from({ length: 10_000 }, (_, index) => `a${index}@example.com`).join(' ');
  const body = (members: string) => JSON.stringify({ input: addresses }).replace('}', `,"metadata":${members}}`);
  assert.equal(masked(body('{"a7@example.com":1}')).guard.block, undefined);
  assert.equal(masked(body('{"a":"b1@example.com"}')).guard.block, undefined);
  assert.equal(masked(body('{"b1@example.com":1}')).guard.block?.rule, mask);
});

test('a key that is longer than any name blocks where something is found in it', () => {
  const body = `{"${'x '.repeat(5000)}${ADDRESS}":1}`;
  assert.equal(masked(body).guard.block?.rule, mask);
});

const signed = (text: string) =>
  JSON.stringify({
    messages: [{ role: 'assistant', content: [{ type: 'thinking', thinking: text, signature: 's' }] }],
  });

test('a finding in signed reasoning blocks, or passes where the rule says so', () => {
  const body = signed(`Ask ${ADDRESS}`);
  assert.equal(masked(body).guard.block?.rule, mask);
  const { text, guard } = masked(body, [{ ...mask, onUnmaskable: 'Pass' }]);
  assert.deepEqual([text, guard.block], [body, undefined]);
  assert.equal(guard.counts()[0]?.count, 1);
  assert.equal(masked(signed('Ask nobody')).guard.block, undefined);
});

test('a rule reads the scopes that it names only', () => {
  const body = JSON.stringify({ system: ADDRESS, messages: [{ role: 'user', content: ADDRESS }] });
  const { text } = masked(body, [{ ...mask, scopes: new Set(['user'] as const) }]);
  assert.equal(text, JSON.stringify({ system: ADDRESS, messages: [{ role: 'user', content: '<Email-1>' }] }));
});

test('a body with more strings than are read is a fault', () => {
  const body = Buffer.from(JSON.stringify({ input: Array.from({ length: 200_001 }, () => 'x') }));
  assert.equal(inspected(body, new RequestGuard([mask])).fault, 'too_many_texts');
});
