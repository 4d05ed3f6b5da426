import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import { responses } from '../../providers/openai/responses.ts';
import { conversionFor, serves } from '../registry.ts';
import {
  type ConversionCase,
  type ConvertedCase,
  convertedCase,
  convertedDocument,
  convertedStream,
} from '../testing.ts';

const user = { role: 'user', content: 'Hi' };

function caseOf(more: object, rest: Partial<ConversionCase> = {}): ConversionCase {
  const body = JSON.stringify({ model: 'm', input: [user], ...more });
  return { client: 'responses', providerApi: 'Anthropic', body, ...rest };
}

function converted(given: ConversionCase): ConvertedCase {
  const made = convertedCase(given);
  assert.ok(typeof made !== 'string', String(made));
  return made;
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes.
const bodyOf = (given: ConversionCase): any => JSON.parse(converted(given).body);

const input = (...items: readonly object[]) => ({ input: items });
const content = (...parts: readonly object[]) => input({ role: 'user', content: parts });

describe('a field of the Responses API that another API does not have', () => {
  const unsupported: readonly (readonly [field: string, more: object])[] = [
    ['service_tier', { service_tier: 'flex' }],
    ['top_logprobs', { top_logprobs: 3 }],
    ['include', { include: ['message.output_text.logprobs'] }],
    ['tools[0]', { tools: [{ type: 'web_search' }] }],
    ['tools[0].tools[0]', { tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'mcp' }] }] }],
    ['tool_choice', { tool_choice: { type: 'file_search' } }],
    ['text.format', { text: { format: { type: 'grammar' } } }],
    ['text.format', { text: { format: { type: 'json_object' } } }],
    ['my_own_field', { my_own_field: 1 }],
    ['input[0]', input({ type: 'web_search_call', id: 'ws_1', status: 'completed' })],
    ['input[0].content[0]', content({ type: 'input_image', file_id: 'file-1' })],
    ['input[0].content[0]', content({ type: 'input_file', file_id: 'file-1' })],
    ['input[0].content[0]', content({ type: 'hologram' })],
  ];
  for (const [field, more] of unsupported) {
    it(`is refused by name, or dropped where the rule says so: ${field}`, () => {
      const refused = convertedCase(caseOf(more));
      assert.ok(typeof refused === 'string' && refused.startsWith(`\`${field}\` cannot be converted`), String(refused));
      assert.ok(converted(caseOf(more, { drops: true })).dropped.includes(field));
    });
  }

  for (const [field, more] of [
    ['previous_response_id', { previous_response_id: 'resp_1' }],
    ['conversation', { conversation: { id: 'conv_1' } }],
    ['prompt', { prompt: { id: 'pmpt_1' } }],
    ['background', { background: true }],
    ['input[1]', input(user, { type: 'item_reference', id: 'msg_1' })],
    ['input[0]', input({ id: 'rs_1' })],
  ] as const) {
    it(`is refused whatever the rule says if its meaning is stored elsewhere: ${field}`, () => {
      for (const drops of [false, true]) {
        const refused = convertedCase(caseOf(more, { drops }));
        assert.match(String(refused), /needs stored .*, which the Anthropic API of the backend does not have\. \w/);
        assert.ok(String(refused).startsWith(`\`${field}\``));
      }
    });
  }

  it('is named where nothing depends on it', () => {
    const given = { metadata: { a: 'b' }, store: true, truncation: 'auto', text: { verbosity: 'high' } };
    assert.deepEqual(converted(caseOf(given)).dropped, ['metadata', 'store', 'truncation', 'text.verbosity']);
  });

  it('is neither refused nor dropped where it asks for nothing', () => {
    const given = {
      store: false,
      background: false,
      previous_response_id: null,
      truncation: 'disabled',
      top_logprobs: 0,
      service_tier: 'auto',
      include: ['reasoning.encrypted_content'],
      text: { verbosity: 'medium' },
      tools: [],
      reasoning: { effort: null, summary: 'auto' },
      stream_options: { include_obfuscation: false },
    };
    assert.deepEqual(converted(caseOf(given)).dropped, []);
  });
});

describe('a server of OpenAI’s API without responses', () => {
  it('is reached by chat completions, and others as they are', () => {
    const { path, body } = converted(caseOf({ max_output_tokens: 50 }, { providerApi: 'OpenAI', dialect: 'Mistral' }));
    assert.equal(path, '/v1/chat/completions');
    assert.equal(JSON.parse(body).max_tokens, 50);
    const served = [undefined, 'VLLM', 'Groq', 'Mistral', 'DeepSeek'] as const;
    const backends = served.map((dialect) => ({ schema: 'OpenAI' as const, ...(dialect && { dialect }) }));
    assert.deepEqual(
      backends.map((backend) => serves(responses, backend, 'm')),
      [true, true, true, false, false],
    );
    assert.deepEqual(
      backends.map((backend) => conversionFor(responses, backend, 'm') === undefined),
      [true, true, true, false, false],
    );
  });
});

describe('a choice among tools', () => {
  const tools = ['a', 'b'].map((name) => ({ type: 'function', name }));

  it('leaves out the tools that are not allowed', () => {
    const choice = { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'b' }] };
    const body = bodyOf(caseOf({ tools, tool_choice: choice }));
    assert.deepEqual(
      body.tools.map(({ name }: { name: string }) => name),
      ['b'],
    );
    assert.deepEqual(body.tool_choice, { type: 'any' });
  });

  it('names one tool, also of a namespace', () => {
    const namespace = { type: 'namespace', name: 'n', tools: [{ type: 'custom', name: 'c' }] };
    const choice = { type: 'custom', name: 'c', namespace: 'n' };
    const body = bodyOf(caseOf({ tools: [namespace], tool_choice: choice }));
    assert.deepEqual(body.tool_choice, { type: 'tool', name: body.tools[0].name });
  });
});

const tools = [
  { type: 'function', name: 'shell' },
  { type: 'custom', name: 'patch' },
  { type: 'namespace', name: 'mcp__db__', tools: [{ type: 'function', name: 'query' }] },
];
const id = fc.stringMatching(/^toolu_[\w-]{1,20}$/);
const base64 = fc.stringMatching(/^[\w+/]{1,80}={0,2}$/);
const text = fc.string({ minLength: 1, unit: 'grapheme' });
const args = fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.jsonValue(), { maxKeys: 4 });
const block = fc.oneof(
  fc.record({ type: fc.constant('thinking'), thinking: text, signature: base64 }),
  fc.record({ type: fc.constant('redacted_thinking'), data: base64 }),
  fc.record({ type: fc.constant('text'), text }),
  fc.record({ type: fc.constant('tool_use'), id, name: fc.constantFrom('shell', 'mcp__db__query'), input: args }),
  fc.record({ type: fc.constant('tool_use'), id, name: fc.constant('patch'), input: fc.record({ input: text }) }),
);
const blocks = fc.array(block, { minLength: 1, maxLength: 8 });
type Block = Record<string, unknown>;

const message = (parts: readonly unknown[]) => {
  return { id: 'msg_1', type: 'message', role: 'assistant', model: 'c', content: parts, stop_reason: 'tool_use' };
};

/** The stream of a message, with the text of each block in two deltas. */
function streamOf(parts: readonly Block[]): string {
  const events: object[] = [{ type: 'message_start', message: { ...message([]), stop_reason: null } }];
  for (const [index, part] of parts.entries()) {
    const [start, deltas] = startAndDeltas(part);
    events.push({ type: 'content_block_start', index, content_block: start });
    events.push(...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })));
    events.push({ type: 'content_block_stop', index });
  }
  events.push({ type: 'message_delta', delta: { stop_reason: 'tool_use' } }, { type: 'message_stop' });
  return events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
}

function startAndDeltas(part: Block): readonly [Block, readonly Block[]] {
  const halves = (value: unknown) => {
    const points = [...String(value)];
    return [points.slice(0, points.length >> 1).join(''), points.slice(points.length >> 1).join('')];
  };
  switch (part['type']) {
    case 'thinking': {
      const deltas = halves(part['thinking']).map((thinking) => ({ type: 'thinking_delta', thinking }));
      return [
        { type: 'thinking', thinking: '', signature: '' },
        [...deltas, { type: 'signature_delta', signature: part['signature'] }],
      ];
    }
    case 'text':
      return [{ type: 'text', text: '' }, halves(part['text']).map((half) => ({ type: 'text_delta', text: half }))];
    case 'tool_use': {
      const deltas = halves(JSON.stringify(part['input'])).map((json) => ({
        type: 'input_json_delta',
        partial_json: json,
      }));
      return [{ ...part, input: {} }, deltas];
    }
    default:
      return [part, []];
  }
}

interface StreamedEvent {
  readonly type: string;
  readonly sequence_number: number;
  readonly item?: object;
  readonly response?: { readonly output: readonly object[] };
}

function eventsIn(stream: string): readonly StreamedEvent[] {
  const lines = stream.split('\n').filter((line) => line.startsWith('data: '));
  return lines.map((line) => JSON.parse(line.slice('data: '.length)) as StreamedEvent);
}

describe('a round trip through the form of the Responses API', () => {
  it('loses nothing of the calls and the reasoning of Anthropic', () => {
    fc.assert(
      fc.property(blocks, (given) => {
        const parts = JSON.parse(JSON.stringify(given)) as readonly Block[];
        const made = converted(caseOf({ tools }));
        const document = convertedDocument(made.newAdapter(), Buffer.from(JSON.stringify(message(parts))));
        const { output } = JSON.parse(document) as { output: readonly object[] };
        const body = bodyOf(caseOf({ tools, ...input(user, ...output) }));
        assert.deepEqual(body.messages[1].content, parts);
      }),
      fuzzRuns(150),
    );
  });

  it('gives the same items in streams, in the events of items and at the end', () => {
    fc.assert(
      fc.property(blocks, (given) => {
        const parts = JSON.parse(JSON.stringify(given)) as readonly Block[];
        const made = converted(caseOf({ tools, stream: true }));
        const events = eventsIn(convertedStream(made.newAdapter(), [Buffer.from(streamOf(parts))]));
        assert.deepEqual(
          events.map((event) => event.sequence_number),
          [...events.keys()],
        );
        const document = convertedDocument(made.newAdapter(), Buffer.from(JSON.stringify(message(parts))));
        const { output } = JSON.parse(document) as { output: readonly object[] };
        const done = events.filter(({ type }) => type === 'response.output_item.done').map(({ item }) => item);
        assert.deepEqual(done, output);
        assert.deepEqual(events.at(-1)!.response!.output, output);
      }),
      fuzzRuns(100),
    );
  });

  it('loses no thought signature of Gemini', () => {
    const call = fc.record({ name: fc.constantFrom('shell', 'mcp__db__query'), args });
    const signed = fc.tuple(call, fc.option(base64, { nil: undefined }));
    fc.assert(
      fc.property(fc.array(signed, { minLength: 1, maxLength: 5 }), (calls) => {
        const parts = calls.map(([functionCall, thoughtSignature], index) => ({
          functionCall: { id: `f${index}`, ...(JSON.parse(JSON.stringify(functionCall)) as object) },
          thoughtSignature: thoughtSignature ?? (index === 0 ? 'c2ln' : undefined),
        }));
        const gemini = { providerApi: 'GoogleGemini', model: 'gemini-3-pro' } as const;
        const given = { responseId: 'r', candidates: [{ content: { parts, role: 'model' }, finishReason: 'STOP' }] };
        const made = converted(caseOf({ tools }, gemini));
        const document = convertedDocument(made.newAdapter(), Buffer.from(JSON.stringify(given)));
        const { output } = JSON.parse(document) as { output: readonly object[] };
        const body = bodyOf(caseOf({ tools, ...input(user, ...output) }, gemini));
        assert.deepEqual(body.contents[1].parts, JSON.parse(JSON.stringify(parts)));
      }),
      fuzzRuns(100),
    );
  });

  it('leaves reasoning behind that OpenAI has encrypted, and says so', () => {
    const item = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAAAABoISQ24OyVRYbkYfukdJoqdzWT' };
    const answer = { role: 'assistant', content: [{ type: 'output_text', text: 'Hello' }] };
    const made = converted(caseOf(input(user, item, answer, user)));
    assert.deepEqual(JSON.parse(made.body).messages[1].content, [{ type: 'text', text: 'Hello' }]);
    assert.equal(made.dropped.length, 1);
  });
});

describe('a response', () => {
  it('repeats no more of its request than a bound', () => {
    const many = Array.from({ length: 2_000 }, (_, place) => ({ type: 'function', name: `tool_${place}` }));
    const made = converted(caseOf({ tools: many, instructions: 'Be brief.' }));
    const document = JSON.parse(convertedDocument(made.newAdapter(), Buffer.from(JSON.stringify(message([])))));
    assert.deepEqual([document.tools, document.instructions], [[], 'Be brief.']);
  });
});

describe('a hostile client of the Responses API', () => {
  const field = fc.constantFrom(
    ...['input', 'instructions', 'tools', 'tool_choice', 'text', 'reasoning', 'include', 'metadata', 'store'],
    ...['prompt', 'temperature', 'user', '__proto__', 'prompt_cache_key', 'parallel_tool_calls'],
  );
  const type = fc.constantFrom(
    ...['message', 'function_call', 'function_call_output', 'custom_tool_call', 'custom_tool_call_output', 'reasoning'],
    ...['input_text', 'input_image', 'input_file', 'output_text', 'function', 'custom', 'namespace', 'allowed_tools'],
  );
  const typed = fc.tuple(fc.jsonValue(), type).map(([more, name]) => Object.assign({}, more, { type: name }));
  const name = fc.constantFrom(
    'content',
    'output',
    'arguments',
    'input',
    'summary',
    'encrypted_content',
    'name',
    'tools',
  );
  const item = fc
    .tuple(typed, fc.dictionary(name, fc.oneof(fc.jsonValue(), fc.array(typed))))
    .map(([one, more]) => Object.assign({}, one, more));

  it('gets a failure or a request and a response, whatever its fields contain', () => {
    fc.assert(
      fc.property(
        fc.dictionary(field, fc.oneof(fc.jsonValue(), fc.array(item))),
        fc.constantFrom('Anthropic', 'HuggingFaceTGI', 'GoogleGemini', 'AWSBedrock'),
        fc.boolean(),
        (more, providerApi, drops) => {
          const made = convertedCase(caseOf(more, { providerApi, drops }));
          if (typeof made !== 'string') {
            JSON.parse(made.body);
            convertedDocument(made.newAdapter(), Buffer.from('{}'));
          }
        },
      ),
      fuzzRuns(200),
    );
  });
});
