import assert from 'node:assert/strict';
import { it } from 'node:test';
import { answerForms } from '../testing/answers.ts';
import { guardWith } from '../testing/guards.ts';
import { guardDocument } from './guarded-document.ts';

function guarded(document: string, guard = guardWith()): string | undefined {
  const work = guardDocument(Buffer.from(document), guard, undefined);
  let step = work.next();
  while (!step.done) {
    step = work.next();
  }
  return step.value && Buffer.from(step.value).toString();
}

for (const form of answerForms) {
  it(`masks a whole answer: ${form.name}`, () => {
    const text = (value: string) =>
      form.kind === 'arguments' ? JSON.stringify({ 'to "whom"': `${value}\n` }) : `Write to ${value}, "please"\té🙂`;
    const document = form.document(text('jane@example.com'));
    const got = guarded(document);
    const isSigned = form.name === 'messages reasoning';
    assert.equal(form.readDocument(got!), isSigned ? text('jane@example.com') : text('<Email-1>'));
    assert.equal(got!.replaceAll('<Email-1>', 'jane@example.com'), document);
  });
}

it('leaves only the form of an answer that a rule blocks', () => {
  const guard = guardWith({ type: 'Block', message: 'Not here.' });
  const [chat] = answerForms;
  assert.deepEqual(JSON.parse(guarded(chat!.document('jane@example.com'), guard)!).choices, [
    { index: 0, message: { content: '' }, finish_reason: 'content_filter' },
  ]);
  assert.equal(guard.block?.message, 'Not here.');
});

it('removes what spells the text token by token', () => {
  const choice = { index: 0, text: 'a', logprobs: { tokens: ['a'] }, finish_reason: 'stop' };
  assert.deepEqual(JSON.parse(guarded(JSON.stringify({ choices: [choice] }))!).choices, [
    { ...choice, logprobs: null },
  ]);
});

it('does not read what is no JSON', () => {
  assert.equal(guarded('{"choices":'), undefined);
});

it('masks a value wherever it is in a long answer, however the answer is written', () => {
  const [chat] = answerForms;
  for (const filler of ['word ', '🙂é ', '"\\\n ']) {
    const length = Math.ceil(8192 / filler.length);
    for (let less = 0; less < 24; less++) {
      const text = (value: string) => `${filler.repeat(length - less)}${value} ${filler.repeat(length)}${value}`;
      const got = guarded(chat!.document(text('jane@example.com')));
      assert.equal(chat!.readDocument(got!), text('<Email-1>'));
    }
  }
});

it('masks thousands of values in a long answer in short steps', () => {
  const [chat] = answerForms;
  const text = (value: string) => `🙂 é\n${value} `.repeat(20_000);
  const work = guardDocument(Buffer.from(chat!.document(text('a@b.com'))), guardWith(), undefined);
  let steps = 0;
  let step = work.next();
  for (; !step.done; step = work.next()) {
    assert.ok(step.value === 'answers' || step.value <= 16 * 1024, `a step of ${step.value}`);
    steps++;
  }
  assert.ok(steps > 20, `${steps} steps`);
  assert.equal(chat!.readDocument(Buffer.from(step.value!).toString()), text('<Email-1>'));
});

it('masks a value that is longer than a step', () => {
  const [chat] = answerForms;
  const key = `-----BEGIN PRIVATE KEY-----\n${'MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIB\n'.repeat(60)}-----END PRIVATE KEY-----`;
  const text = (value: string) => `${'word '.repeat(1400)}${value} ${'word '.repeat(2000)}`;
  const got = chat!.readDocument(guarded(chat!.document(text(key)))!);
  assert.ok(!got.includes('MII'), got.slice(6990, 7100));
});
