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
