/** Guardrails on responses, through whole sessions. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { GuardrailRule } from '../../../contract/guardrails.ts';
import { guardrailScopes } from '../../../contract/guardrails.ts';
import { fuzz } from '../../../tools/fuzz/cases.ts';
import { type Analysis, DetectorError } from '../../guard/external/external-detector.ts';
import { type AnswerForm, answerForms } from '../../guard/testing/answers.ts';
import type { RequestRecord } from '../../record.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import type { AnalyzeText } from '../inspections.ts';
import { basePolicy, ENTRY, newExchange, newRig } from '../testing.ts';

before(() => loadEncodings());

const messages = [{ role: 'user', content: 'Say it' }];
const gemini = '/v1beta/models/gemini-2.5-flash';

/** Where a client of an API sends requests: of streams and of documents. */
const APIS = {
  chat: { schema: 'OpenAI', paths: ['/v1/chat/completions'], body: { model: 'gpt-4o-mini', messages } },
  completions: { schema: 'OpenAI', paths: ['/v1/completions'], body: { model: 'gpt-4o-mini', prompt: 'Say it' } },
  responses: { schema: 'OpenAI', paths: ['/v1/responses'], body: { model: 'gpt-4o-mini', input: 'Say it' } },
  messages: {
    schema: 'Anthropic',
    paths: ['/v1/messages'],
    body: { model: 'claude-haiku-4-5', max_tokens: 500, messages },
  },
  generate: { schema: 'HuggingFaceTGI', paths: ['/generate_stream', '/generate'], body: { inputs: 'Say it' } },
  generateContent: {
    schema: 'GoogleGemini',
    paths: [`${gemini}:streamGenerateContent?alt=sse`, `${gemini}:generateContent`],
    body: { contents: [{ role: 'user', parts: [{ text: 'Say it' }] }] },
  },
} as const;

type Api = keyof typeof APIS;
type Schema = (typeof APIS)[Api]['schema'];

const mask: GuardrailRule = {
  name: 'identifiers',
  phases: ['Response'],
  scope: guardrailScopes,
  detector: { type: 'Builtin', detectors: ['CreditCard', 'Email'] },
  action: { type: 'Mask', placeholder: '<{type}-{index}>', restore: true },
  onFailure: 'Closed',
  timeoutMs: 100,
  onUnmaskable: 'Pass',
};

const block: GuardrailRule = { ...mask, action: { type: 'Block', message: 'Not here.' } };

const service: GuardrailRule = {
  ...mask,
  name: 'service',
  detector: { type: 'Webhook', service: { url: 'http://127.0.0.1:1' } },
  action: { type: 'FromDetector', placeholder: '<{type}-{index}>', restore: false, message: 'Default.' },
};

interface Exchanged {
  readonly api: Api;
  /** The API of the backend; absent: that of the client. */
  readonly schema?: Schema;
  readonly rules: readonly GuardrailRule[];
  readonly analyze?: AnalyzeText;
  readonly stream: boolean;
  readonly answer: string;
  /** Bytes of each piece in which the answer arrives. */
  readonly size?: number;
  readonly gzip?: boolean;
  readonly prompt?: string;
}

interface Received {
  readonly text: string;
  readonly events: readonly string[];
  readonly headers: readonly string[];
  readonly removed: readonly string[];
  readonly record: RequestRecord;
  /** Of a reply of the gateway itself. */
  readonly status: number | undefined;
}

function policyOf(schema: Schema, rules: readonly GuardrailRule[]) {
  const [host] = basePolicy.virtualHosts;
  const [rule] = host!.rules;
  return {
    backends: [{ name: 'b', schema, tokenizer: { encoding: 'Auto' as const }, models: [] }],
    quotas: [],
    guardrailPolicies: [{ name: 'default/guard', rules, exempt: [], holdBack: { bytes: 65_536, ms: 2000 } }],
    virtualHosts: [
      {
        ...host!,
        passthrough: [],
        rules: [
          {
            ...rule!,
            models: ['*'],
            quotas: [],
            targets: [{ id: 'b', backend: 'b', weight: 1, priority: 0 }],
            guardrails: ['default/guard'],
          },
        ],
      },
    ],
  };
}

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; !holds(); turn++) {
    assert.ok(turn < 5_000, 'nothing happens');
    await new Promise(turn < 100 ? setImmediate : (next) => setTimeout(next, 1));
  }
}

async function exchanged({ api, rules, analyze, stream, answer, size = 1e9, gzip, ...given }: Exchanged) {
  const { schema, paths, body } = APIS[api];
  const rig = newRig({
    policy: policyOf(given.schema ?? schema, rules),
    ...(analyze && { shared: () => ({ analyze }) }),
  });
  let forwarded = false;
  let status: number | undefined;
  const pieces: Buffer[] = [];
  const headers: string[] = [];
  const removed: string[] = [];
  const handler = rig.open({
    ...newExchange(),
    requestHeaders: () => {
      forwarded = true;
    },
    responseHeaders: ({ set = [], remove = [] }) => {
      headers.push(...set.map(([name]) => name));
      removed.push(...remove);
    },
    responseBody: (piece) => pieces.push(Buffer.from(piece)),
    immediateResponse: (reply) => {
      status = reply.status;
      pieces.push(Buffer.from(reply.body));
    },
  });
  const path = stream ? paths[0] : paths.at(-1)!;
  handler.requestHeaders(
    [
      [':method', 'POST'],
      [':path', path],
    ],
    false,
    ENTRY,
  );
  const asked = { ...body, ...(paths.length === 1 && { stream }) };
  const text = JSON.stringify(asked).replace('Say it', given.prompt ?? 'Say it');
  handler.requestBody(Buffer.from(text), true);
  await until(() => forwarded);
  const bytes = gzip ? gzipSync(answer) : Buffer.from(answer);
  const type = stream ? 'text/event-stream' : 'application/json';
  const encoding = gzip ? [['content-encoding', 'gzip'] as const] : [];
  handler.responseHeaders([[':status', '200'], ['content-type', type], ...encoding], false, new Map());
  for (let at = 0; at < bytes.length; at += size) {
    const piece = Buffer.from(bytes.subarray(at, at + size));
    handler.responseBody(piece, at + size >= bytes.length);
    piece.fill(0xdb);
  }
  await until(() => rig.records.length > 0);
  assert.deepEqual(rig.faults, []);
  rig.store.close();
  const received = Buffer.concat(pieces).toString();
  const events = received.split(/(?<=\n\n)/);
  return { text: received, events, headers, removed, record: rig.records[0]!, status } satisfies Received;
}

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
        const { text: got, record } = await exchanged({ api: apiOf(form), rules: [block], stream: true, answer });
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
