/** Guardrails on responses, through whole sessions. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { GuardrailRule } from '../../../contract/guardrails.ts';
import { fuzz } from '../../../tools/fuzz/cases.ts';
import { type Analysis, DetectorError } from '../../guard/external/external-detector.ts';
import { type AnswerForm, answerForms } from '../../guard/testing/answers.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import type { AnalyzeText } from '../inspections.ts';
import { APIS, type Api, block, exchanged, mask, service } from './testing.ts';

before(() => loadEncodings());

const apiOf = ({ name }: AnswerForm) => name.split(' ')[0] as Api;

const forms = answerForms.filter(({ name }) => name !== 'messages reasoning');

const written = (form: AnswerForm, text: string) => (form.kind === 'arguments' ? JSON.stringify({ to: text }) : text);

function piecesOf(text: string, length: number): string[] {
  return Array.from({ length: Math.ceil(text.length / length) }, (_, at) => text.slice(at * length, (at + 1) * length));
}

describe('a value in a response', () => {
  it('never reaches the client, however its bytes arrive', async () => {
    const value = '4111 1111 1111 1111';
    await fuzz(150, async (random) => {
      const form = random.pick(forms);
      const stream = random.between(0, 2) > 0;
      const text = written(form, `${'word '.repeat(random.between(0, 30))}"${value}" é🙂`);
      const answer = stream ? form.events(piecesOf(text, random.between(1, 9))).join('') : form.document(text);
      const received = await exchanged({
        api: apiOf(form),
        rules: [mask],
        stream,
        answer,
        size: random.pick([1, 7, 100, 1e9]),
        gzip: random.between(0, 3) === 0,
      });
      const copies = stream ? form.read(received.events) : [form.readDocument(received.text)];
      for (const copy of copies) {
        assert.equal(copy, text.replace(value, '<CreditCard-1>'), form.name);
      }
      assert.deepEqual(received.record.guard?.rules[0]?.findings, { CreditCard: 1 }, form.name);
    });
  });

  it('never reaches the client of another API', async () => {
    const value = 'jane@example.com';
    const from = answerForms.filter(({ name }) => /^(chat|messages|generateContent) (text|arguments)/.test(name));
    await fuzz(100, async (random) => {
      const form = random.pick(from);
      const schema = APIS[apiOf(form)].schema;
      const api = random.pick(
        (['chat', 'messages', 'responses', 'generateContent'] as const).filter((one) => APIS[one].schema !== schema),
      );
      const stream = random.between(0, 1) === 0;
      const text = written(form, `To ${value}, "please" é🙂`);
      const answer = stream ? form.events(piecesOf(text, random.between(1, 9))).join('') : form.document(text);
      const { text: got, record } = await exchanged({
        api,
        schema,
        rules: [mask],
        stream,
        answer,
        size: random.pick([7, 1e9]),
      });
      assert.equal(record.status, 200, `${form.name} for ${api}: ${got}`);
      assert.match(got, /Email-1|"partial_json"|"delta"/);
      assert.ok(!got.includes(value), `${form.name} for ${api}: ${got}`);
      assert.deepEqual(record.guard?.rules[0]?.findings, { Email: 1 }, `${form.name} for ${api}: ${got}`);
    });
  });

  it('ends the stream as its API defines if a rule blocks', async () => {
    const reasons: Record<string, RegExp> = {
      chat: /"finish_reason":"content_filter"[\s\S]*data: \[DONE\]/,
      completions: /"finish_reason":"content_filter"[\s\S]*data: \[DONE\]/,
      responses: /"type":"response.incomplete"[\s\S]*"incomplete_details":\{"reason":"content_filter"\}/,
      messages: /"stop_reason":"refusal"[\s\S]*message_stop/,
      generate: /"generated_text":""/,
      generateContent: /"finishReason":"SAFETY"/,
    };
    for (const form of forms) {
      const text = written(form, 'Well: jane@example.com and more');
      for (const length of [3, 1000]) {
        const answer = form.events(piecesOf(text, length)).join('');
        const given = { api: apiOf(form), rules: [block], stream: true, answer, goesOn: true };
        const { text: got, record, isOver } = await exchanged(given);
        assert.ok(isOver, `the provider of ${form.name} is not stopped`);
        assert.match(got, reasons[apiOf(form)]!, `${form.name}: ${got}`);
        assert.ok(!/jane|example|more/.test(got), `${form.name}: ${got}`);
        assert.equal(record.failure?.code, 'content_blocked');
        assert.equal(record.status, 200);
        assert.ok(record.usage!.output > 0, form.name);
      }
    }
  });

  it('leaves only the form of a document if a rule blocks', async () => {
    for (const form of forms) {
      const answer = form.document(written(form, 'Well: jane@example.com and more'));
      const { text, record, removed } = await exchanged({ api: apiOf(form), rules: [block], stream: false, answer });
      assert.ok(!/jane|example|more|Well/.test(text), text);
      assert.match(text, /content_filter|refusal|SAFETY|stop_sequence/);
      assert.equal(record.failure?.code, 'content_blocked');
      assert.ok(removed.includes('content-length'));
    }
  });

  it('gets back where its placeholder stands', async () => {
    const [chat] = answerForms;
    for (const stream of [true, false]) {
      const text = 'Dear <Email-1>!';
      const answer = stream ? chat!.events(piecesOf(text, 2)).join('') : chat!.document(text);
      const rules = [{ ...mask, phases: ['Request' as const] }];
      const received = await exchanged({ api: 'chat', rules, stream, answer, prompt: 'I am jane@example.com' });
      const [got] = stream ? chat!.read(received.events) : [chat!.readDocument(received.text)];
      assert.equal(got, 'Dear jane@example.com!');
    }
  });

  it('does not pass in a response that is no JSON, unless the rule is open', async () => {
    const { status } = await exchanged({ api: 'chat', rules: [mask], stream: false, answer: '{"choices":[' });
    assert.equal(status, 502);
    const open = await exchanged({
      api: 'chat',
      rules: [{ ...mask, onFailure: 'Open' }],
      stream: false,
      answer: '{"a":[',
    });
    assert.equal(open.text, '{"a":[');
    assert.deepEqual(open.record.guard?.failures, [
      { rule: 'default/guard/identifiers', reason: 'unreadable_response' },
    ]);
    const stream = await exchanged({ api: 'chat', rules: [mask], stream: true, answer: 'data: jane\n\ndata: x\n\n' });
    assert.ok(!stream.text.includes('jane'), stream.text);
    assert.match(stream.text, /unreadable_answer/);
  });
});

describe('a service that looks at responses', () => {
  const long = `${'word '.repeat(300)}secret${' word'.repeat(300)}`;

  function finding(asked: string[]): AnalyzeText {
    return async (_detector, text): Promise<Analysis> => {
      asked.push(text);
      await new Promise(setImmediate);
      const start = text.indexOf('secret');
      const findings = start < 0 ? [] : [{ type: 'WORD', start, end: start + 6, score: 1 }];
      return { action: start < 0 ? 'allow' : 'modify', findings };
    };
  }

  it('masks values, and is asked about windows', async () => {
    for (const form of forms) {
      for (const stream of [true, false]) {
        const asked: string[] = [];
        const text = written(form, long);
        const answer = stream ? form.events(piecesOf(text, 5)).join('') : form.document(text);
        const received = await exchanged({
          api: apiOf(form),
          rules: [mask, service],
          analyze: finding(asked),
          stream,
          answer,
          size: 3000,
        });
        const copies = stream ? form.read(received.events) : [form.readDocument(received.text)];
        for (const copy of copies) {
          assert.equal(copy, text.replace('secret', '<WORD-1>'), `${form.name} ${stream}`);
        }
        assert.ok(asked.length <= 24, `${form.name}: ${asked.length}`);
        assert.deepEqual(received.record.guard?.rules, [
          { rule: 'default/guard/service', action: 'mask', findings: { WORD: 1 } },
        ]);
      }
    }
  });

  it('blocks', async () => {
    const analyze: AnalyzeText = async (_detector, text) =>
      text.includes('secret') ? { action: 'block', findings: [], message: 'No.' } : { action: 'allow', findings: [] };
    for (const form of forms) {
      for (const stream of [true, false]) {
        const text = written(form, long);
        const answer = stream ? form.events(piecesOf(text, 5)).join('') : form.document(text);
        const received = await exchanged({ api: apiOf(form), rules: [service], analyze, stream, answer, size: 700 });
        assert.ok(!received.text.includes('secret'), form.name);
        assert.deepEqual(
          [received.record.failure?.code, received.record.failure?.message],
          ['content_blocked', 'No.'],
          form.name,
        );
      }
    }
  });

  it('replaces whole texts, and never JSON by what is none', async () => {
    const analyze: AnalyzeText = async () => ({ action: 'modify', findings: [], replacement: 'new' });
    const asked: GuardrailRule = { ...service, scope: ['Assistant', 'ToolCall'] };
    for (const form of forms.filter(({ kind }) => kind !== 'reasoning')) {
      // Arguments that are an object are texts of their own.
      const isObject = form.document(written(form, 'x')).includes('{"to":"x"}');
      for (const stream of isObject ? [] : [true, false]) {
        const text = written(form, 'Well: a secret');
        const answer = stream ? form.events(piecesOf(text, 5)).join('') : form.document(text);
        const given = { api: apiOf(form), analyze, stream, answer };
        const isJson = form.kind === 'arguments';
        const passed = await exchanged({ ...given, rules: [asked] });
        const copies = stream ? form.read(passed.events) : [form.readDocument(passed.text)];
        assert.equal(copies[0], isJson ? text : 'new', form.name);
        const blocked = await exchanged({ ...given, rules: [{ ...asked, onUnmaskable: 'Block' }] });
        assert.equal(blocked.record.failure?.code, isJson ? 'content_blocked' : undefined, form.name);
        assert.ok(!blocked.text.includes('secret'), form.name);
      }
    }
  });

  it('is recorded where its rule only monitors and its verdict names no place', async () => {
    const analyze: AnalyzeText = async () => ({ action: 'block', findings: [] });
    const monitor: GuardrailRule = { ...service, action: { type: 'Monitor' } };
    const [chat] = answerForms;
    for (const stream of [true, false]) {
      const answer = stream ? chat!.events(['Hel', 'lo']).join('') : chat!.document('Hello');
      const { text, record } = await exchanged({ api: 'chat', rules: [monitor], analyze, stream, answer });
      assert.equal(text, answer);
      assert.deepEqual(record.guard?.rules, [
        { rule: 'default/guard/service', action: 'monitor', findings: { flagged: 1 } },
      ]);
    }
  });

  it('lets nothing through if it fails and its rule is closed', async () => {
    const analyze: AnalyzeText = async () => {
      throw new DetectorError('timeout', 'slow');
    };
    const open: GuardrailRule = { ...service, onFailure: 'Open' };
    const [chat] = answerForms;
    for (const stream of [true, false]) {
      const answer = stream ? chat!.events(piecesOf(long, 5)).join('') : chat!.document(long);
      const closed = await exchanged({ api: 'chat', rules: [service], analyze, stream, answer });
      assert.ok(!closed.text.includes('word'), closed.text);
      assert.match(closed.text, /guardrail_unavailable/);
      const passed = await exchanged({ api: 'chat', rules: [open], analyze, stream, answer });
      assert.equal(passed.text, answer);
      assert.equal(passed.record.guard?.failures[0]?.reason, 'timeout');
    }
  });

  it('gets the text before values are restored', async () => {
    const [chat] = answerForms;
    const asked: string[] = [];
    const rules = [{ ...mask, phases: ['Request' as const] }, service];
    for (const stream of [true, false]) {
      const answer = stream ? chat!.events(piecesOf('Dear <Email-1>!', 2)).join('') : chat!.document('Dear <Email-1>!');
      const prompt = 'I am jane@example.com';
      const received = await exchanged({ api: 'chat', rules, analyze: finding(asked), stream, answer, prompt });
      const [got] = stream ? chat!.read(received.events) : [chat!.readDocument(received.text)];
      assert.equal(got, 'Dear jane@example.com!');
    }
    assert.deepEqual(new Set(asked), new Set(['Dear <Email-1>!']));
  });
});

describe('an event at the bound of the delay', () => {
  const chunk = (index: number, delta: object, finish_reason: string | null = null) =>
    `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [{ index, delta, finish_reason }], usage: null })}\n\n`;
  /** All of one length, so that each arrives at its time. */
  const padded = (events: readonly string[]) => {
    const size = Math.max(...events.map(({ length }) => length));
    return {
      size,
      answer: events.map((event) => event.replace('\n\n', `${' '.repeat(size - event.length)}\n\n`)).join(''),
    };
  };
  const events = [
    chunk(0, { content: 'To 4111 1111 ' }),
    chunk(1, { content: 'One. ' }),
    chunk(0, { content: '1111 1111 now. ' }),
  ];
  const contentOf = (received: readonly string[], index: number) =>
    received
      .filter((event) => event.startsWith('data: {'))
      .flatMap((event) => JSON.parse(event.slice('data: '.length)).choices)
      .map((choice) => (choice.index === index ? (choice.delta?.content ?? '') : ''))
      .join('');

  it('leaves without the beginning of a value, and the value does not pass', async () => {
    for (const [bound, isAtBound] of [
      [2001, false],
      [2002, true],
    ] as const) {
      const { events: got } = await exchanged({
        api: 'chat',
        rules: [mask],
        stream: true,
        ...padded(events),
        atMs: [1, bound, bound],
      });
      assert.equal(contentOf(got.slice(0, 1), 0), isAtBound ? 'To ' : 'To <CreditCard-1>');
      assert.equal(contentOf(got, 0), 'To <CreditCard-1> now. ');
      assert.equal(contentOf(got, 1), 'One. ');
    }
  });

  it('waits for the services, which are asked about a part; without an answer, their rule decides', async () => {
    for (const onFailure of ['Closed', 'Open'] as const) {
      const asked: string[] = [];
      const analyze: AnalyzeText = async (_detector, text) => {
        if (asked.push(text) === 1) {
          throw new DetectorError('timeout', 'slow');
        }
        return { action: 'allow', findings: [] };
      };
      const given = { api: 'chat', rules: [{ ...service, onFailure }], analyze, stream: true } as const;
      const { text, record } = await exchanged({ ...given, ...padded(events), atMs: [1, 2002, 2002] });
      assert.equal(asked[0], 'To 4111 1111 ');
      assert.equal(text.includes('4111'), onFailure === 'Open', text);
      assert.equal(text.includes('guardrail_unavailable'), onFailure === 'Closed', text);
      assert.ok(onFailure === 'Closed' || record.guard?.failures.some(({ reason }) => reason === 'timeout'));
    }
  });
});
