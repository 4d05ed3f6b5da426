/** Streams in which an event may wait no longer although its text is not decided. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fuzz } from '../../../tools/fuzz/cases.ts';
import { answerForms } from '../testing/answers.ts';
import { guardWith } from '../testing/guards.ts';
import { LIMITS, pass } from './testing.ts';

const data = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;
const chunk = (index: number, delta: object, finish_reason: string | null = null) =>
  data({ id: 'c', object: 'chat.completion.chunk', choices: [{ index, delta, finish_reason }], usage: null });

const TIGHT = { bytes: 150, ms: 2000 };

interface Delta {
  readonly content?: string;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly [{ readonly function: { readonly arguments: string } }];
}

const chunks = (events: readonly string[]) =>
  events.map((event) => JSON.parse(event.slice('data: '.length)).choices[0] as { index: number; delta: Delta });

const contentOf = (events: readonly string[], index: number) =>
  chunks(events)
    .map((choice) => (choice.index === index ? (choice.delta.content ?? '') : ''))
    .join('');

describe('a text that may wait no longer', () => {
  it('goes with the next event of its channel, and others leave at the bounds', () => {
    const events = [
      chunk(0, { content: 'To 4111 1111 ' }),
      chunk(1, { content: 'One. ' }),
      chunk(1, { content: 'Two. ' }),
      chunk(0, { content: '1111 1111 now. ' }),
    ];
    for (const [limits, atMs] of [
      [TIGHT, []],
      [LIMITS, [0, 2001, 4002, 4003]],
    ] as const) {
      const { events: sent, left } = pass(events, guardWith(), limits, atMs);
      assert.ok(left[2]! >= 3, `${left}`);
      assert.deepEqual(sent, [
        chunk(0, { content: 'To ' }),
        chunk(1, { content: 'One. ' }),
        chunk(1, { content: 'Two. ' }),
        chunk(0, { content: '<CreditCard-1> now. ' }),
      ]);
    }
  });

  it('goes with an event of its own before the one with which its choice ends', () => {
    const { events } = pass(
      [
        chunk(0, { role: 'assistant', content: 'To jane' }),
        chunk(1, { content: 'One. ' }),
        chunk(1, { content: 'Two. ' }),
        chunk(0, {}, 'stop'),
      ],
      guardWith(),
      TIGHT,
    );
    assert.deepEqual(events.slice(0, 1), [chunk(0, { role: 'assistant', content: 'To ' })]);
    const tail =
      '{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"finish_reason":null,"delta":{"content":"jane"}}]}';
    assert.deepEqual(events.slice(3), [`data: ${tail}\n\n`, chunk(0, {}, 'stop')]);
  });

  it('goes at the end of a stream without an end', () => {
    const { events } = pass(
      [chunk(0, { content: 'To jane' }), chunk(1, { content: 'a. ' }), chunk(1, { content: 'b. ' })],
      guardWith(),
      TIGHT,
    );
    assert.equal(contentOf(events, 0), 'To jane');
  });

  it('is masked in arguments of tools, whose call is named once', () => {
    const call = (args: string, name?: string) =>
      chunk(0, { tool_calls: [{ index: 0, function: { name, arguments: args } }] });
    const { events } = pass(
      [
        call('{"a": "jane@exam', 'f'),
        chunk(1, { content: 'One. ' }),
        chunk(1, { content: 'Two. ' }),
        chunk(0, {}, 'tool_calls'),
      ],
      guardWith(),
      TIGHT,
    );
    const args = chunks(events).map(({ delta }) => delta.tool_calls?.[0].function.arguments ?? '');
    assert.equal(args.join(''), '{"a": "jane@exam');
    assert.equal(events.join('').split('"name":"f"').length, 2);
  });

  it('never lets a value pass, and nothing else is lost, by any splits and interleavings', async () => {
    const values = ['4111 1111 1111 1111', 'jane.doe@example.com', 'DE89 3704 0044 0532 0130 00'];
    await fuzz(300, (random) => {
      const texts = [0, 1, 2].map(() => {
        const words = Array.from({ length: random.between(1, 6) }, () =>
          random.pick([...values, 'word', 'é🙂', '"4', 'jane']),
        );
        return `${words.join(' and ')}.`;
      });
      const places = texts.map(() => 0);
      const events: string[] = [];
      while (texts.some((text, index) => places[index]! < text.length)) {
        const index = random.between(0, texts.length - 1);
        const length = 1 + random.between(0, 9);
        const piece = [...texts[index]!].slice(places[index]!, places[index]! + length).join('');
        places[index]! += length;
        if (piece !== '') {
          events.push(chunk(index, { content: piece }));
        }
      }
      const limits = { bytes: random.between(1, 600), ms: random.between(1, 50) };
      const atMs = events.map((_, place) => place * random.between(0, 20));
      const { events: got } = pass(events, guardWith(), limits, atMs);
      for (const [index, text] of texts.entries()) {
        const whole = contentOf(pass([chunk(index, { content: text })]).events, index).replaceAll(/-\d+>/g, '>');
        assert.equal(contentOf(got, index).replaceAll(/-\d+>/g, '>'), whole);
        for (const value of values) {
          assert.ok(!contentOf(got, index).includes(value));
        }
      }
    });
  });

  it('goes with a later event of Gemini', () => {
    const form = answerForms.find(({ name }) => name === 'generateContent text')!;
    const other = data({ candidates: [{ content: { parts: [{ text: 'One. ' }] }, index: 1 }] });
    const [first, end] = [form.events(['To jane']).at(0)!, form.events([]).at(-1)!];
    const { events } = pass([first, other, other, end], guardWith(), TIGHT);
    assert.equal(events.length, 5);
    const texts = events.map((event) => JSON.parse(event.slice('data: '.length)).candidates[0]);
    assert.equal(texts[3].content.parts[0].text, 'jane');
    assert.deepEqual(events[4], end);
  });

  it('ends where a message has a block of another kind', () => {
    const start = (type: string) => data({ type: 'content_block_start', index: 1, content_block: { type } });
    const delta = (type: string, key: string, text: string) =>
      data({ type: 'content_block_delta', index: 1, delta: { type, [key]: text } });
    for (const [first, then] of [
      [delta('text_delta', 'text', 'To jane'), 'tool_use'],
      [delta('text_delta', 'text', 'To jane'), 'thinking'],
      [delta('input_json_delta', 'partial_json', '{"a": "jane'), 'text'],
    ] as const) {
      assert.deepEqual(pass([first, start(then)]).left, [0, 2]);
    }
    assert.deepEqual(pass([delta('text_delta', 'text', 'To jane'), start('text')]).left, [0, 0]);
  });

  it('is not sent by a closed rule where its API allows no later event', () => {
    const delta = (text: string) =>
      data({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } });
    const ping = data({ type: 'ping', padding: '. '.repeat(100) });
    const { events, stream } = pass([delta('To 4111 1111 '), ping, ping], guardWith(), TIGHT);
    assert.equal(stream.exceeded, true);
    assert.deepEqual(events, []);
  });
});
