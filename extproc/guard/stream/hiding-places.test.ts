/** Places where a value could hide from the detectors. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fuzz } from '../../../tools/fuzz/cases.ts';
import { type AnswerForm, answerForms } from '../testing/answers.ts';
import { guardWith, MASK } from '../testing/guards.ts';
import { guardDocument } from './guarded-document.ts';
import { pass } from './testing.ts';

const CARD = '4111111111111111';

const calls = answerForms.filter(({ kind }) => kind === 'arguments');

const data = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;

function guarded(document: string, guard = guardWith()): string {
  const work = guardDocument(Buffer.from(document), guard, undefined);
  let step = work.next();
  while (!step.done) {
    step = work.next();
  }
  return Buffer.from(step.value!).toString();
}

/** Expects the same of all copies in a stream, and of the document. */
function expectArguments(form: AnswerForm, args: string, pieces: readonly string[], expected: unknown): void {
  const { events, stream } = pass(form.events(pieces));
  assert.equal(stream.unreadable, false);
  for (const copy of form.read(events)) {
    assert.deepEqual(JSON.parse(copy), expected, form.name);
  }
  assert.deepEqual(JSON.parse(form.readDocument(guarded(form.document(args)))), expected, form.name);
}

const NUMBERS = [
  [`{"card":${CARD}}`, { card: '<CreditCard-1>' }],
  [
    `{"card": ${CARD} , "n": [1, -2.5e3, ${CARD}, true, null]}`,
    {
      card: '<CreditCard-1>',
      n: [1, -2500, '<CreditCard-1>', true, null],
    },
  ],
  [`[${CARD}]`, ['<CreditCard-1>']],
  [`{"n": 1234567890123, "to": "jane@example.com"}`, { n: 1234567890123, to: '<Email-1>' }],
] as const;

describe('a number in the arguments of a tool', () => {
  for (const form of calls) {
    it(`is masked wherever it is split: ${form.name}`, () => {
      for (const [args, expected] of NUMBERS) {
        for (let at = 1; at < args.length; at++) {
          expectArguments(form, args, [args.slice(0, at), args.slice(at)], expected);
        }
        expectArguments(form, args, args.split(''), expected);
      }
    });
  }

  it('passes byte for byte without a finding', () => {
    for (const form of calls) {
      const events = form.events(['{"a": -1', '2.5e3, "b": [tr', 'ue, 17', '6125', '0000000]}']);
      assert.equal(pass(events).events.join(''), events.join(''), form.name);
    }
  });

  it('blocks where it is too long to be replaced', () => {
    const guard = guardWith(MASK, ['Response'], undefined, 'Closed', 'Block');
    const [chat] = calls;
    const args = `{"card": ${'/'.repeat(1400)}${CARD} }`;
    const { events } = pass(chat!.events(args.match(/.{1,100}/g)!), guard);
    assert.ok(guard.block !== undefined);
    assert.ok(!events.join('').includes('4111'));
  });

  it('is masked by any splits', async () => {
    await fuzz(200, (random) => {
      const form = random.pick(calls);
      const [args, expected] = random.pick(NUMBERS);
      const pieces: string[] = [];
      for (let at = 0; at < args.length; ) {
        const length = 1 + random.between(0, 7);
        pieces.push(args.slice(at, at + length));
        at += length;
      }
      expectArguments(form, args, pieces, expected);
    });
  });
});

describe('a key', () => {
  const args = '{"jane@example.com": {"4111 1111 1111 1111": 1}, "to": ["x"]}';

  for (const form of calls) {
    it(`of the arguments of a tool is masked wherever it is split: ${form.name}`, () => {
      const expected = { '<Email-1>': { '<CreditCard-1>': 1 }, to: ['x'] };
      for (let at = 1; at < args.length; at++) {
        expectArguments(form, args, [args.slice(0, at), args.slice(at)], expected);
      }
    });
  }

  it('of any object of an event is masked', () => {
    const hidden = { 'jane@example.com': 'x', more: { DE89370400440532013000: [] } };
    for (const event of [
      { choices: [{ index: 0, delta: { content: 'a', ...hidden } }] },
      { choices: [{ index: 0, delta: { content: 'a' } }], ...hidden },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'a' }, ...hidden },
      { type: 'response.output_text.delta', delta: 'a', ...hidden },
      { candidates: [{ content: { parts: [{ text: 'a', ...hidden }] } }] },
      { token: { text: 'a', ...hidden } },
    ]) {
      const { events } = pass([data(event)]);
      assert.match(events[0]!, /"<Email-1>":"x","more":\{"<IBAN-1>":\[\]\}/);
    }
  });
});

describe('a key whose placeholder other values have, too', () => {
  const shared = (onUnmaskable: 'Block' | 'Pass') =>
    guardWith({ type: 'Mask', placeholder: '[x]', restore: false }, ['Response'], undefined, 'Closed', onUnmaskable);
  const args = '{"l": [{"a": "bob@example.com"}, "x"], "jane@example.com": [["bob@example.com"]]}';

  it('blocks', () => {
    for (const form of calls) {
      for (const pieces of [[args], args.split('')]) {
        const guard = shared('Block');
        const { events } = pass(form.events(pieces), guard);
        assert.ok(guard.block !== undefined, form.name);
        assert.ok(!events.join('').includes('jane@'), form.name);
      }
      const guard = shared('Block');
      guarded(form.document(args), guard);
      assert.ok(guard.block !== undefined, form.name);
    }
  });

  it('passes where the rule says so, and strings are masked', () => {
    const expected = { l: [{ a: '[x]' }, 'x'], 'jane@example.com': [['[x]']] };
    for (const form of calls) {
      for (const pieces of [[args], args.split('')]) {
        for (const copy of form.read(pass(form.events(pieces), shared('Pass')).events)) {
          assert.deepEqual(JSON.parse(copy), expected, form.name);
        }
      }
      const document = guarded(form.document(args), shared('Pass'));
      assert.deepEqual(JSON.parse(form.readDocument(document)), expected, form.name);
    }
  });
});

describe('a member whose name is that of an identifier', () => {
  it('is masked in arguments of tools and in objects that no API has', () => {
    const hidden = { id: 'jane@example.com', name: 'jane@example.com', type: 'jane@example.com' };
    const masked = '{"id":"<Email-1>","name":"<Email-1>","type":"<Email-1>"}';
    for (const event of [
      { choices: [{ index: 0, delta: { content: 'a', who: hidden } }] },
      { who: [hidden] },
      { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', input: { who: hidden } } },
      { type: 'response.output_text.delta', delta: 'a', who: hidden },
      { candidates: [{ content: { parts: [{ functionCall: { name: 'f', args: { who: hidden } } }] } }] },
    ]) {
      const { events } = pass([data(event)]);
      assert.ok(events[0]!.includes(masked), events[0]);
    }
  });

  it('is masked as `name` and `id` where the API has none', () => {
    const card = { name: CARD, id: CARD };
    assert.ok(!pass([data({ choices: [{ index: 0, delta: { content: 'a', ...card } }] })]).events[0]!.includes(CARD));
    assert.ok(!pass([data({ name: CARD, choices: [] })]).events[0]!.includes(CARD));
  });

  it('passes where the API has it', () => {
    const call = { index: 0, id: CARD, type: 'function', function: { name: CARD, arguments: '{}' } };
    for (const event of [
      { id: CARD, choices: [{ index: 0, delta: { tool_calls: [call] } }] },
      { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id: CARD, name: CARD, input: {} } },
      { type: 'response.output_item.added', item: { type: 'function_call', id: CARD, call_id: CARD, name: CARD } },
      { candidates: [{ content: { parts: [{ functionCall: { name: CARD, id: CARD, args: {} } }] } }] },
    ]) {
      assert.deepEqual(pass([data(event)]).events, [data(event)]);
    }
  });
});

describe('a number of an event', () => {
  it('is masked in a member that no API has', () => {
    const { events } = pass([data({ choices: [{ index: 0, delta: { content: 'a', card: Number(CARD) } }] })]);
    assert.match(events[0]!, /"card":"<CreditCard-1>"/);
    assert.deepEqual(pass(['data: {"some":{"card": 4.111111111111111e15 }}\n\n']).events, [
      'data: {"some":{"card": "<CreditCard-1>" }}\n\n',
    ]);
    assert.deepEqual(pass([`data: ${CARD}\n\n`, `data: [${CARD}]\n\n`]).events, [
      'data: "<CreditCard-1>"\n\n',
      'data: ["<CreditCard-1>"]\n\n',
    ]);
  });
});

describe('a line of an event', () => {
  const chunk = data({ choices: [{ index: 0, delta: { content: 'a' } }] });
  const sent = (event: string, guard = guardWith()) => pass([event], guard).events.join('');

  it('passes where the APIs have it', () => {
    for (const event of [chunk, `event: response.output_text.delta\n${chunk}`, ':\n\n', `retry: 3000\n${chunk}`]) {
      assert.equal(sent(event), event);
      assert.equal(sent(event.replaceAll('\n', '\r\n')), event.replaceAll('\n', '\r\n'));
    }
  });

  it('loses everything where a provider could write anything', () => {
    const hidden = 'jane@example.com';
    assert.equal(sent(`: ${hidden}\n\n`), ':\n\n');
    assert.equal(sent(`: ${hidden}\n${chunk}`), `:\n${chunk}`);
    for (const line of [
      `id: ${hidden}`,
      `id:${CARD}`,
      `event: ${hidden}`,
      `retry: ${CARD}`,
      hidden,
      `other: ${hidden}`,
    ]) {
      assert.equal(sent(`${line}\n${chunk}`), chunk);
      assert.equal(sent(`${chunk.slice(0, -1)}${line}\n\n`), chunk);
      assert.equal(sent(`${line}\r\n${chunk.replaceAll('\n', '\r\n')}`), chunk);
    }
    assert.ok(!sent(`: ${hidden}\ndata: {"choices":\ndata: []}\n\n`).includes(hidden));
  });

  it('passes as it is where rules only record', () => {
    const event = `: OPENROUTER PROCESSING\nid: 1\n${chunk}`;
    assert.equal(sent(event, guardWith({ type: 'Monitor' })), event);
  });

  it('does not pass behind a block', () => {
    const guard = guardWith({ type: 'Block', message: 'No.' });
    const blocked = data({ choices: [{ index: 0, delta: { content: 'jane@example.com ' } }] });
    const behind = [': jane\n\n', 'data: jane\n\n', `id: jane\n${chunk}`, 'data: [DONE]\n\n'];
    const { events } = pass([blocked, ...behind], guard);
    assert.ok(!events.join('').includes('jane'), events.join(''));
    assert.equal(events.at(-1), 'data: [DONE]\n\n');
  });
});

describe('signed reasoning', () => {
  const signed = [
    { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'jane@example.com. ' } },
    { candidates: [{ content: { parts: [{ text: 'jane@example.com. ', thought: true, thoughtSignature: 'c2ln' }] } }] },
    {
      choices: [
        {
          index: 0,
          delta: {
            reasoning_details: [
              { type: 'reasoning.text', text: 'jane@example.com. ', format: 'anthropic-claude-v1', index: 0 },
            ],
          },
        },
      ],
    },
  ];

  it('passes as it is, or is blocked', () => {
    for (const event of signed) {
      assert.deepEqual(pass([data(event)]).events, [data(event)]);
      const guard = guardWith(MASK, ['Response'], undefined, 'Closed', 'Block');
      const { events } = pass([data(event)], guard);
      assert.match(guard.block!.message, /signed/);
      assert.ok(!events.join('').includes('jane'), events.join(''));
    }
  });

  it('has encrypted parts that are no text', () => {
    const details = [{ type: 'reasoning.encrypted', data: CARD, format: 'google-gemini-v1' }];
    const event = data({ choices: [{ index: 0, delta: { reasoning_details: details } }] });
    assert.deepEqual(pass([event]).events, [event]);
  });
});
