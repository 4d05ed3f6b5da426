import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import type { Usage } from '../usage.ts';
import type { ClientApi } from './adapter.ts';
import { messages } from './anthropic/messages.ts';
import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { embeddings } from './openai/embeddings.ts';
import { responses } from './openai/responses.ts';
import { NO_TEXT, newAdapter, PLAIN_REQUEST, relayed } from './testing/recordings.ts';
import { generateEndpoints } from './tgi/generate.ts';

const [generate, generateStream] = generateEndpoints as [ClientApi, ClientApi];

function whole(endpoint: ClientApi, document: string): Usage | undefined {
  const reader = endpoint.response!(PLAIN_REQUEST, { hideUsage: false, model: 'm' }).unary;
  reader.push(Buffer.from(document), NO_TEXT);
  return reader.usage;
}

function streamed(endpoint: ClientApi, events: readonly string[]): Usage | undefined {
  const adapter = newAdapter(endpoint);
  relayed(adapter, [Buffer.from(events.map((data) => `data: ${data}\n\n`).join(''))], NO_TEXT);
  return adapter.reader.usage;
}

const sums = (usage: Usage | undefined) => usage && [usage.input, usage.output];

/** All forms of a usage like OpenAI's (or TGI's). */
const FORMS: readonly ((usage: string) => Usage | undefined)[] = [
  (usage) => whole(chat, `{"choices":[],"usage":${usage}}`),
  (usage) => whole(completions, `{"choices":[],"usage":${usage}}`),
  (usage) => whole(embeddings, `{"data":[],"usage":${usage}}`),
  (usage) => whole(responses, `{"output":[],"usage":${usage}}`),
  (usage) => whole(messages, `{"content":[],"usage":${usage}}`),
  (usage) => whole(generate, `{"generated_text":"","details":${usage}}`),
  (usage) => streamed(chat, [`{"choices":[],"usage":${usage}}`]),
  (usage) => streamed(chat, [`{"choices":[],"x_groq":{"usage":${usage}}}`]),
  (usage) => streamed(responses, [`{"type":"response.completed","response":{"usage":${usage}}}`]),
  (usage) => streamed(messages, [`{"type":"message_start","message":{"usage":${usage}}}`]),
  (usage) => streamed(messages, [`{"type":"message_delta","delta":{},"usage":${usage}}`]),
  (usage) => streamed(generateStream, [`{"generated_text":"","details":${usage}}`]),
];

describe('numbers of a usage', () => {
  const name = fc.constantFrom(
    ...['prompt', 'completion', 'total', 'input', 'output', 'cache_read_input', 'cache_creation_input', 'generated'],
  );
  const value = fc.oneof(
    fc.double().map((number) => (Number.isFinite(number) ? String(number) : '1e999')),
    fc.constantFrom(
      '-1',
      '-0',
      '0',
      '0.5',
      '1e300',
      '9007199254740993',
      `1${'0'.repeat(60)}`,
      '"7"',
      'null',
      '{}',
      '[1]',
    ),
    fc.nat().map(String),
  );
  const member = fc.tuple(name, value).map(([key, number]) => `"${key}_tokens":${number}`);
  const nested = fc
    .tuple(fc.constantFrom('prompt', 'completion', 'output'), member)
    .map(([key, inner]) => `"${key}_tokens_details":{${inner},"cached_tokens":2.5,"reasoning_tokens":1e40}`);
  const iterations = fc
    .array(fc.tuple(fc.constantFrom('message', 'compaction', 'new'), fc.array(member, { maxLength: 4 })), {
      maxLength: 4,
    })
    .map(
      (all) =>
        `"iterations":[${all.map(([type, inner]) => `{${[...inner, `"type":"${type}"`].join(',')}}`).join(',')}]`,
    );
  const usage = fc.array(fc.oneof(member, nested, iterations), { maxLength: 8 }).map((all) => `{${all.join(',')}}`);

  it('are non-negative safe integers, whatever the provider writes', () => {
    fc.assert(
      fc.property(usage, (text) => {
        for (const told of FORMS.map((form) => form(text))) {
          for (const number of Object.values(told ?? {})) {
            assert.ok(Number.isSafeInteger(number) && number >= 0 && !Object.is(number, -0), `${number} of ${text}`);
          }
        }
      }),
      fuzzRuns(500),
    );
  });

  it('are rounded up', () => {
    const usage =
      '{"prompt_tokens":10.2,"completion_tokens":5.5,"input_tokens":10.2,"output_tokens":5.5,"generated_tokens":5.5}';
    for (const form of FORMS) {
      assert.equal(form(usage)?.output, 6);
    }
  });

  it('of OpenAI include reasoning if the total does, and report it separately', () => {
    const xai =
      '{"prompt_tokens":12,"completion_tokens":2,"total_tokens":354,"completion_tokens_details":{"reasoning_tokens":340}}';
    const google = '{"prompt_tokens":12,"completion_tokens":2,"total_tokens":354}';
    for (const told of [xai, google]) {
      const usage = whole(chat, `{"usage":${told}}`);
      assert.deepEqual([usage?.output, usage?.reasoningOutput], [342, 340]);
    }
  });

  it('of Anthropic report the cache writes that last an hour, also once a stream ends without them', () => {
    const started =
      '{"input_tokens":6,"output_tokens":1,"cache_creation_input_tokens":300,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200}}';
    const ended = '{"output_tokens":9,"cache_creation_input_tokens":300}';
    const events = [
      `{"type":"message_start","message":{"usage":${started}}}`,
      `{"type":"message_delta","delta":{},"usage":${ended}}`,
    ];
    for (const usage of [whole(messages, `{"content":[],"usage":${started}}`), streamed(messages, events)]) {
      assert.deepEqual([usage?.input, usage?.cacheWriteInput, usage?.cacheWrite1hInput], [306, 300, 200]);
    }
  });

  it('of OpenAI derive the input from the total if nothing else reports it', () => {
    assert.deepEqual(sums(whole(chat, '{"usage":{"completion_tokens":5,"total_tokens":15}}')), [10, 5]);
    assert.deepEqual(sums(whole(chat, '{"usage":{"completion_tokens":5}}')), [0, 5]);
  });
});

describe('usage that is reported several times', () => {
  it('does not decrease', () => {
    const chunk = (input: number, output: number) =>
      `{"choices":[],"usage":{"prompt_tokens":${input},"completion_tokens":${output}}}`;
    assert.deepEqual(sums(streamed(chat, [chunk(100, 900), chunk(1, 1)])), [100, 900]);
    const ended = (input: number, output: number) =>
      `{"type":"response.completed","response":{"usage":{"input_tokens":${input},"output_tokens":${output}}}}`;
    assert.deepEqual(sums(streamed(responses, [ended(100, 900), ended(1, 1)])), [100, 900]);
  });

  it('is not final if only message_start reports output', () => {
    const final = (usage: string) => {
      const adapter = newAdapter(messages);
      const events = [
        '{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}',
        `{"type":"message_delta","delta":{"stop_reason":"end_turn"}${usage}}`,
        '{"type":"message_stop"}',
      ];
      relayed(adapter, [Buffer.from(events.map((data) => `data: ${data}\n\n`).join(''))], NO_TEXT);
      return adapter.reader.usageFinal;
    };
    assert.equal(final(''), false);
    assert.equal(final(',"usage":{}'), false);
    assert.equal(final(',"usage":{"output_tokens":44}'), true);
  });

  it('counts the input of message_start if message_delta repeats it as 0', () => {
    assert.deepEqual(
      sums(
        streamed(messages, [
          '{"type":"message_start","message":{"usage":{"input_tokens":5000,"cache_read_input_tokens":7,"output_tokens":1}}}',
          '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":10}}',
        ]),
      ),
      [5007, 10],
    );
  });
});

describe("iterations of Anthropic's usage", () => {
  const COMPACTED =
    '{"input_tokens":23000,"output_tokens":1000,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"iterations":[' +
    '{"type":"compaction","input_tokens":180000,"output_tokens":3500,"cache_read_input_tokens":5},' +
    '{"input_tokens":23000,"output_tokens":1000,"type":"message"},' +
    '{"input_tokens":300,"output_tokens":40,"model":"claude-opus-4-6","type":"advisor_message"}]}';

  it('are added if the top level does not include them, unary and streamed', () => {
    for (const usage of [
      whole(messages, `{"content":[],"usage":${COMPACTED}}`),
      streamed(messages, [
        '{"type":"message_start","message":{"usage":{"input_tokens":23000,"output_tokens":1}}}',
        `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":${COMPACTED}}`,
        `{"type":"message_delta","delta":{},"usage":${COMPACTED}}`,
      ]),
    ]) {
      assert.deepEqual(sums(usage), [203_305, 4_540]);
      assert.equal(usage?.cachedInput, 5);
    }
  });

  it('of messages are not added, but count if they exceed the top level', () => {
    const usage = (top: number) =>
      `{"input_tokens":${top},"output_tokens":5,"iterations":[{"type":"message","input_tokens":10,"output_tokens":2},{"type":"fallback_message","input_tokens":20,"output_tokens":3}]}`;
    assert.deepEqual(sums(whole(messages, `{"usage":${usage(30)}}`)), [30, 5]);
    assert.deepEqual(sums(whole(messages, `{"usage":${usage(10)}}`)), [30, 5]);
  });
});
