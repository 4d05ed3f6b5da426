/** Content that policies keep, through whole sessions of every client API. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { ContentPolicy } from '../../../contract/content.ts';
import { builtinDetectorNames } from '../../../contract/guardrails.ts';
import { fuzz } from '../../../tools/fuzz/cases.ts';
import { type AnswerForm, answerForms } from '../../guard/testing/answers.ts';
import type { RequestRecord } from '../../record.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import { APIS, type Api, block, exchanged, mask } from './testing.ts';

before(() => loadEncodings());

const VALUE = '4111 1111 1111 1111';

const policy: ContentPolicy = {
  name: 'default/reviews',
  content: ['Prompt', 'Response'],
  destinations: ['OTLPLogs'],
  maxBytes: 16 * 1024,
  samplingPercent: 100,
  redact: [{ detector: { type: 'Builtin', detectors: builtinDetectorNames }, placeholder: '<{type}-{index}>' }],
  notifyHeader: true,
  exempt: [],
};

const apiOf = ({ name }: AnswerForm) => name.split(' ')[0] as Api;

const written = (form: AnswerForm, text: string) => (form.kind === 'arguments' ? JSON.stringify({ to: text }) : text);

function answerOf(form: AnswerForm, text: string, stream: boolean, length: number): string {
  const pieces = Array.from({ length: Math.ceil(text.length / length) }, (_, at) =>
    text.slice(at * length, (at + 1) * length),
  );
  return stream ? form.events(pieces).join('') : form.document(text);
}

const answered = ({ content }: RequestRecord) => content?.redact()[0]?.response?.texts.map(({ text }) => text);

describe('the content of an exchange', () => {
  it('is kept once and masked, in every API, however its bytes arrive', async () => {
    await fuzz(150, async (random) => {
      const form = random.pick(answerForms);
      const stream = random.between(0, 2) > 0;
      const text = written(form, `Well, "${VALUE}" it is é🙂`);
      const { record, text: got } = await exchanged({
        api: apiOf(form),
        rules: [],
        content: policy,
        stream,
        answer: answerOf(form, text, stream, random.between(1, 9)),
        size: random.pick([1, 7, 100, 1e9]),
        gzip: random.between(0, 3) === 0,
        prompt: `I pay with ${VALUE}`,
      });
      const kept = answered(record)?.filter((each) => each.includes('<CreditCard-1>'));
      assert.equal(kept?.length, 1, `${form.name} ${JSON.stringify(record.content?.redact())}`);
      // Some APIs have arguments as an object, whose strings are the texts.
      const [one] = kept;
      const plain = one!.startsWith('{') ? (JSON.parse(one!) as { readonly to: string }).to : one;
      assert.equal(plain, 'Well, "<CreditCard-1>" it is é🙂', form.name);
      assert.match(JSON.stringify(record.content?.redact()[0]?.prompt), /I pay with <CreditCard-1>/);
      assert.doesNotMatch(JSON.stringify(record.content?.redact()), /4111/);
      assert.ok(got.length > 0);
    });
  });

  it('is that of the client where a provider speaks another API', async () => {
    const from = answerForms.filter(({ name }) => /^(chat|messages|generateContent) text/.test(name));
    await fuzz(60, async (random) => {
      const form = random.pick(from);
      const { schema } = APIS[apiOf(form)];
      const api = random.pick(
        (['chat', 'messages', 'responses'] as const).filter((one) => APIS[one].schema !== schema),
      );
      const stream = random.between(0, 1) === 0;
      const answer = answerOf(form, `Paid with ${VALUE}, done.`, stream, random.between(1, 9));
      const { record } = await exchanged({ api, schema, rules: [], content: policy, stream, answer });
      assert.deepEqual(
        answered(record)?.filter((text) => text.includes('Paid')),
        ['Paid with <CreditCard-1>, done.'],
        `${form.name} to ${api}`,
      );
      assert.doesNotMatch(JSON.stringify(record.content?.redact()), /4111/);
    });
  });

  it('is what guardrails let pass, and values that they restore are masked again', async () => {
    const [chat] = answerForms;
    for (const stream of [true, false]) {
      const restored = await exchanged({
        api: 'chat',
        rules: [{ ...mask, phases: ['Request'] }],
        content: policy,
        stream,
        answer: answerOf(chat!, 'Dear <Email-1>!', stream, 2),
        prompt: 'I am jane@example.com',
      });
      assert.match(restored.text.replaceAll(/[^a-z@.]/g, ''), /jane|j/);
      assert.doesNotMatch(JSON.stringify(restored.record.content?.redact()), /jane/);
      const answer = answerOf(chat!, 'Well: jane@example.com and more', stream, 3);
      const blocked = await exchanged({ api: 'chat', rules: [block], content: policy, stream, answer });
      assert.doesNotMatch(JSON.stringify(blocked.record.content?.redact()), /jane|more/);
    }
  });

  it('of a stream that breaks has no part of a value', async () => {
    const [chat] = answerForms;
    const text = `Card ${VALUE}`;
    for (let length = 6; length < text.length; length++) {
      const answer = chat!.events([text.slice(0, length)])[0]!;
      const { record } = await exchanged({ api: 'chat', rules: [], content: policy, stream: true, answer });
      assert.doesNotMatch(JSON.stringify(record.content?.redact()[0]?.response), /4|11/, String(length));
    }
  });

  it('is not kept of a refused request, without a policy, or where the condition is not true', async () => {
    const [chat] = answerForms;
    const answer = chat!.document('Hello');
    const given = { api: 'chat', rules: [], stream: false, answer } as const;
    const off = await exchanged(given);
    assert.deepEqual([off.record.content, off.headers.includes('x-tallygate-content')], [undefined, false]);
    const other = await exchanged({ ...given, content: { ...policy, when: 'caller.tenant == "search"' } });
    assert.equal(other.record.content, undefined);
    const on = await exchanged({ ...given, content: { ...policy, when: 'request.endpoint == "chat"' } });
    assert.deepEqual([answered(on.record), on.headers.includes('x-tallygate-content')], [['Hello'], true]);
    const quiet = await exchanged({ ...given, content: { ...policy, notifyHeader: false } });
    assert.deepEqual([answered(quiet.record), quiet.headers.includes('x-tallygate-content')], [['Hello'], false]);
  });
});
