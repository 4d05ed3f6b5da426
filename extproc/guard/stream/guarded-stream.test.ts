import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fuzz } from '../../../tools/fuzz/cases.ts';
import { type AnswerForm, answerForms } from '../testing/answers.ts';
import { guardWith, MASK } from '../testing/guards.ts';
import { LIMITS, pass } from './testing.ts';

const VALUES = [
  '4111 1111 1111 1111',
  'jane.doe@example.com',
  'DE89 3704 0044 0532 0130 00',
  '+49 30 901820',
  '536-22-8145',
  '192.168.17.204',
  'sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD',
];

const asText = (form: AnswerForm, text: string) =>
  form.kind === 'arguments' ? JSON.stringify({ 'to "whom"': text, more: ['a\nb'] }) : text;

/** Anthropic signs its reasoning, so it is not masked. */
const forms = answerForms.filter(({ name }) => name !== 'messages reasoning');

function expectMasked(form: AnswerForm, value: string, pieces: readonly string[]): void {
  const events = form.events(pieces);
  const { events: got, stream } = pass(events);
  assert.equal(stream.unreadable, false);
  assert.equal(got.length, events.length);
  const whole = pieces.join('');
  const parsed = form.kind === 'arguments' ? JSON.stringify(JSON.parse(whole)) : whole;
  for (const [copy, text] of form.read(got).entries()) {
    assert.ok(!text.includes(value), text);
    const [before = '', after = ''] = parsed.split(value);
    assert.match(text, /<\w+-1>/);
    assert.ok(text.startsWith(before) && text.endsWith(after), `${copy}: ${text}`);
    if (form.kind === 'arguments') {
      JSON.parse(text);
    }
  }
}

describe('a value in a stream', () => {
  for (const form of forms) {
    it(`is masked wherever it is split: ${form.name}`, () => {
      for (const value of VALUES) {
        const text = asText(form, `Write to ${value}, "please"\té🙂.`);
        for (let at = 1; at < text.length; at++) {
          expectMasked(form, value, [text.slice(0, at), text.slice(at)]);
        }
        expectMasked(form, value, [...text]);
        expectMasked(form, value, text.split(''));
      }
    });
  }

  it('is masked by any splits', async () => {
    await fuzz(300, (random) => {
      const form = forms[random.between(0, forms.length - 1)]!;
      const value = VALUES[random.between(0, VALUES.length - 1)]!;
      const text = asText(
        form,
        `${'word '.repeat(random.between(0, 200))}${value}${' \\ "é🙂\u0001'.repeat(random.between(0, 20))}`,
      );
      const pieces: string[] = [];
      for (let at = 0; at < text.length; ) {
        const length = 1 + random.between(0, 12);
        pieces.push(text.slice(at, at + length));
        at += length;
      }
      expectMasked(form, value, pieces);
    });
  });
});

describe('a stream without findings', () => {
  it('passes byte for byte', () => {
    for (const form of answerForms) {
      const events = form.events(
        form.kind === 'arguments' ? ['{"a":"b, \\"c\\" ', 'd"}'] : ['Hello ', 'wor', 'ld, "quoted" é🙂', '.'],
      );
      assert.equal(pass(events).events.join(''), events.join(''), form.name);
    }
  });

  it('waits only for text that may be the beginning of a value', () => {
    const [chat] = answerForms;
    const { left } = pass(chat!.events(['One two. ', 'three ', 'jane', ' four. ']));
    assert.deepEqual(left.slice(0, 5), [1, 2, 3, 3, 5]);
  });
});

describe('a placeholder of the request', () => {
  it('is replaced by its value wherever it is split', () => {
    for (const form of forms) {
      const value = 'jane@example.com';
      const text = asText(form, 'Dear <Email-1>, "thanks".');
      for (let at = 1; at < text.length; at++) {
        const guard = guardWith(MASK, ['Request']);
        const finding = { type: 'Email', start: 0, end: value.length, score: 1, rule: guard.rules[0] };
        guard.resolve('request', value, [finding], true);
        const { events } = pass(form.events([text.slice(0, at), text.slice(at)]), guard);
        for (const copy of form.read(events)) {
          assert.equal(copy, text.replace('<Email-1>', value), form.name);
        }
      }
    }
  });
});

describe('a text that is open while others wait', () => {
  const chunk = (index: number, delta: object) => `data: ${JSON.stringify({ choices: [{ index, delta }] })}\n\n`;
  const call = (args: string) => chunk(0, { tool_calls: [{ index: 0, function: { arguments: args } }] });

  const open = () => guardWith(MASK, ['Response'], undefined, 'Open');

  it('is released when the model writes for another purpose, by an open rule', () => {
    const { left } = pass([chunk(0, { content: 'Hello jane' }), call('{"key": '), call('"b. "')], open());
    assert.deepEqual(left, [0, 2, 3]);
  });

  it('holds back little of values that overlap without end, and passes none of them', () => {
    const [chat] = answerForms;
    const guard = guardWith({ type: 'Mask', placeholder: '<{index}>', restore: false }, ['Response'], {
      type: 'Builtin',
      detectors: ['IndianAadhaar'],
    });
    const text = `${'4111 '.repeat(1000)}end. `;
    const { events, left } = pass(chat!.events(text.match(/.{1,4}/g)!), guard);
    assert.ok(left.every((count, place) => place - count < 250));
    const [got] = chat!.read(events);
    assert.match(got!, /^(<\d+>\s?)+(4111 )?end\. $/);
  });

  it('is released at the bounds, by an open rule', () => {
    const choices = [chunk(0, { content: 'jane' }), chunk(1, { content: 'One. ' }), chunk(1, { content: 'Two. ' })];
    assert.deepEqual(pass(choices, open(), LIMITS, [0, 10, 20]).left, [0, 0, 0]);
    assert.deepEqual(pass(choices, open(), LIMITS, [0, 10, 2001]).left, [0, 0, 3]);
    assert.deepEqual(pass(choices, open(), { bytes: 150, ms: 2000 }).left, [0, 0, 3]);
  });
});
