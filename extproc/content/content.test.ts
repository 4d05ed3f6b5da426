import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { ContentPolicy } from '../../contract/content.ts';
import { builtinDetectorNames } from '../../contract/guardrails.ts';
import type { RecordedContent } from '../record.ts';
import { compileContentPolicy } from './compile.ts';
import { ContentCapture } from './content-capture.ts';
import { finished } from './content-text.ts';
import { promptTexts } from './prompt-texts.ts';
import { isSampled } from './sampling.ts';

const CARD = '4111 1111 1111 1111';
const EMAIL = 'jane.doe@example.com';

const base: ContentPolicy = {
  name: 'default/reviews',
  content: ['Prompt', 'Response'],
  destinations: ['OTLPLogs'],
  maxBytes: 16 * 1024,
  samplingPercent: 100,
  redact: [{ detector: { type: 'Builtin', detectors: builtinDetectorNames }, placeholder: '<{type}-{index}>' }],
  notifyHeader: true,
  exempt: [],
};

interface KeptExchange {
  readonly prompt?: object | string;
  /** Whole, or events of a stream in the pieces in which they arrive. */
  readonly document?: object | string;
  readonly stream?: readonly string[];
  readonly isComplete?: boolean;
}

function keep(
  { prompt = {}, document, stream = [], isComplete = true }: KeptExchange,
  policy: Partial<ContentPolicy> = {},
): RecordedContent {
  const capture = new ContentCapture([compileContentPolicy({ ...base, ...policy })]);
  const bytes = (value: object | string) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  capture.takePrompt(finished(promptTexts(bytes(prompt), capture.promptBytes)));
  if (document !== undefined) {
    capture.answer?.document(bytes(document));
  }
  for (const piece of stream) {
    const copy = Buffer.from(piece);
    capture.answer?.stream(copy);
    // The bytes of a piece are used again.
    copy.fill(0x78);
  }
  return capture.finish(isComplete).redact()[0]!;
}

const texts = (part: RecordedContent['prompt']) => part?.texts.map(({ scope, text }) => [scope, text]);

const delta = (content: string) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;

test('prompts are kept by role, with values masked alike in prompt and answer', () => {
  const kept = keep({
    prompt: {
      model: 'gpt-test',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: `My card is ${CARD}.` }] },
      ],
    },
    document: { choices: [{ index: 0, message: { role: 'assistant', content: `Yours is ${CARD}, not ${EMAIL}.` } }] },
  });
  assert.deepEqual(texts(kept.prompt), [
    ['system', 'Be brief.'],
    ['user', 'My card is <CreditCard-1>.'],
  ]);
  assert.deepEqual(texts(kept.response), [['assistant', 'Yours is <CreditCard-1>, not <Email-1>.']]);
  assert.deepEqual([kept.prompt?.truncated, kept.response?.truncated, kept.drops], [false, false, []]);
});

test('a value that is split over events is masked, however the bytes are split', () => {
  const text = [...`Card ${CARD}, thanks.`].map(delta).join('');
  for (const size of [1, 7, 1000, text.length]) {
    const stream = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
      text.slice(at * size, (at + 1) * size),
    );
    const { response } = keep({ stream: [...stream, 'data: [DONE]\n\n'] });
    assert.deepEqual(texts(response), [['assistant', 'Card <CreditCard-1>, thanks.']]);
  }
});

test('no part of a value is kept where a text is cut at any place', () => {
  const words = `Pay with ${CARD} or write to ${EMAIL}`;
  for (let length = 0; length <= words.length; length++) {
    const broken = keep({ stream: [delta(words.slice(0, length))], isComplete: false });
    const bounded = keep(
      { prompt: { messages: [{ role: 'user', content: words }] }, stream: [delta(words)] },
      { maxBytes: Math.max(1, length) },
    );
    const all = JSON.stringify([broken, bounded]);
    assert.doesNotMatch(all, /4111|1111|jane|doe@/, `cut at ${length}`);
  }
});

test('of a long prompt, the last messages are kept, and instructions come last', () => {
  const messages = [
    { role: 'system', content: 's'.repeat(60) },
    { role: 'user', content: 'a '.repeat(30) },
    { role: 'user', content: 'b '.repeat(30) },
  ];
  const { prompt } = keep({ prompt: { messages } }, { maxBytes: 100 });
  assert.equal(prompt?.truncated, true);
  assert.deepEqual(
    texts(prompt)?.map(([scope, text]) => [scope, text![0], text!.length <= 60]),
    [
      ['user', 'a', true],
      ['user', 'b', true],
    ],
  );
  const size = prompt!.texts.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  assert.ok(size <= 100, `${size}`);
});

test('the bound counts bytes and leaves whole characters', () => {
  const { response } = keep(
    { document: { choices: [{ message: { content: '€'.repeat(100) } }] } },
    { maxBytes: 50, redact: [] },
  );
  assert.deepEqual(texts(response), [['assistant', '€'.repeat(16)]]);
});

test('arguments of tools stay JSON, and are left out where they are cut', () => {
  const call = (args: string) => ({
    choices: [{ message: { tool_calls: [{ id: 'c', type: 'function', function: { name: 'pay', arguments: args } }] } }],
  });
  const args = JSON.stringify({ to: EMAIL, card: Number(CARD.replaceAll(' ', '')), note: `a\\u0040b` });
  const kept = keep({ document: call(args) }).response!;
  assert.equal(kept.texts[0]?.isJson, true);
  assert.doesNotMatch(kept.texts[0]!.text, /jane|4111111111111111/);
  assert.deepEqual(keep({ document: call(args) }, { maxBytes: 20 }).response, { texts: [], truncated: true });
  const escaped = args.replace('@', '\\u0040');
  assert.doesNotMatch(JSON.stringify(keep({ document: call(escaped) })), /jane/);
});

test('what cannot be read is dropped, with the reason', () => {
  assert.deepEqual(keep({ prompt: '{', document: '{"choices":' }).drops, ['unreadable', 'unreadable']);
  const long = keep({ document: { choices: [{ message: { content: 'x'.repeat(1024 * 1024) } }] } });
  assert.deepEqual([long.response, long.drops], [undefined, ['too_long']]);
});

test('content is dropped where redaction fails', () => {
  const compiled = compileContentPolicy(base);
  const detector = {
    find: () => {
      throw new Error(CARD);
    },
    openFrom: () => 0,
  };
  const broken = { ...compiled, redact: compiled.redact.map((rule) => ({ ...rule, detector })) };
  const capture = new ContentCapture([broken]);
  capture.takePrompt({
    texts: [{ scope: 'user', isJson: false, text: CARD, isCut: false }],
    truncated: false,
  });
  const [kept] = capture.finish(true).redact();
  assert.deepEqual([kept?.prompt, kept?.drops], [undefined, ['redaction']]);
});

test('a policy keeps only the parts that it names', () => {
  const exchanged = {
    prompt: { messages: [{ role: 'user', content: 'hi' }] },
    document: { choices: [{ message: { content: 'hello' } }] },
  };
  const { prompt, response } = keep(exchanged, { content: ['Prompt'] });
  assert.deepEqual([texts(prompt), response], [[['user', 'hi']], undefined]);
  assert.deepEqual(keep(exchanged, { content: ['Response'] }).prompt, undefined);
});

test('policies on one request keep and mask content each on its own', () => {
  const policies: readonly ContentPolicy[] = [
    { ...base, name: 'default/short', content: ['Prompt'], maxBytes: 4, redact: [] },
    { ...base, name: 'default/masked', destinations: ['S3'] },
  ];
  const capture = new ContentCapture(policies.map(compileContentPolicy));
  const prompt = Buffer.from(JSON.stringify({ messages: [{ role: 'user', content: `I am ${EMAIL}` }] }));
  capture.takePrompt(finished(promptTexts(prompt, capture.promptBytes)));
  capture.answer?.stream(Buffer.from(delta(`Hello ${EMAIL}`)));
  const [short, masked] = capture.finish(true).redact();
  assert.deepEqual(
    [texts(short!.prompt), short!.prompt?.truncated, short!.response],
    [[['user', 'I am']], true, undefined],
  );
  assert.deepEqual(
    [texts(masked!.prompt), texts(masked!.response), masked!.destinations],
    [[['user', 'I am <Email-1>']], [['assistant', 'Hello <Email-1>']], ['S3']],
  );
});

test('a hostile stream of many channels and texts is bounded', () => {
  const piece = Array.from(
    { length: 5000 },
    (_, index) => `data: ${JSON.stringify({ choices: [{ index, delta: { content: 'x' } }] })}\n\n`,
  );
  const { response } = keep({ stream: [piece.join('')] });
  assert.equal(response?.truncated, true);
  assert.ok(response!.texts.length <= 1024);
});

test('the id of a request decides whether it is sampled, the same way each time', () => {
  const ids = Array.from({ length: 10_000 }, () => randomUUID());
  const sampled = (percent: number) => ids.filter((id) => isSampled(id, percent));
  const tenth = sampled(10);
  assert.ok(Math.abs(tenth.length - 1000) < 200, `${tenth.length}`);
  assert.deepEqual(sampled(10), tenth);
  const half = new Set(sampled(50));
  assert.ok(tenth.every((id) => half.has(id)));
  assert.deepEqual(
    [sampled(100).length, isSampled(undefined, 50), isSampled(undefined, 100)],
    [ids.length, false, true],
  );
});
