import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { reportedUsage } from '../../fixtures/exchange.ts';
import { fixtures } from '../../fixtures/fixtures.ts';
import { noRecordings } from '../../fixtures/recordings.ts';
import { type Failure, isFailure } from '../errors.ts';
import { spansOf } from '../json/testing.ts';
import type { ClientApi, RequestFacts } from './adapter.ts';
import { countTokens, messages } from './anthropic/messages.ts';
import { chat } from './openai/chat.ts';
import { completions } from './openai/completions.ts';
import { embeddings } from './openai/embeddings.ts';
import { responses } from './openai/responses.ts';
import { exchanges, scanned } from './testing/recordings.ts';
import { generateEndpoints } from './tgi/generate.ts';

const [generate, generateStream, root] = generateEndpoints as [ClientApi, ClientApi, ClientApi];

const ADDRESS = addressOf('/');

function addressOf(target: string) {
  const [path = '', query] = target.split('?');
  return { path, query: new URLSearchParams(query) };
}

function read(endpoint: ClientApi, body: object | string, address = ADDRESS): RequestFacts | Failure {
  return endpoint.readRequest(scanned(endpoint, typeof body === 'string' ? body : JSON.stringify(body)), address);
}

function facts(endpoint: ClientApi, body: object | string, address = ADDRESS): RequestFacts {
  const result = read(endpoint, body, address);
  if (isFailure(result)) {
    throw new Error(result.message);
  }
  return result;
}

const user = (content: unknown) => [{ role: 'user', content }];
const ask = (more: object = {}) => ({ model: 'gpt-4o', messages: user('Hello'), ...more });
const claude = (more: object = {}) => ({
  model: 'claude-haiku-4-5',
  max_tokens: 100,
  messages: user('Hello'),
  ...more,
});
const respond = (more: object = {}) => ({ model: 'gpt-4o', input: 'Hello', ...more });

const bound = (of: RequestFacts) => of.textBytes + of.overheadTokens + of.mediaTokens + of.givenTokens;

describe('requests that were answered', () => {
  for (const exchange of exchanges()) {
    const { name, endpoint, request } = exchange;
    if (request === undefined || name.startsWith('chat-bad-request')) {
      continue;
    }
    const searches = name.includes('search');

    it(`${name}: the bound of the input is not below the provider's count`, () => {
      const read = facts(endpoint, request, addressOf(exchange.path));
      const inPath = /models\/([^:]+):/.exec(exchange.path)?.[1];
      assert.equal(read.model, inPath ?? (JSON.parse(request) as { model?: string }).model ?? 'tgi');
      assert.deepEqual(read.unbounded, searches ? ['server_tool'] : []);
      assert.equal(read.mediaTokens > 0, name.includes('image'));
      const input = reportedUsage(exchange)?.input;
      // Search results are input too, and a cached prompt is longer than the fixture shows.
      if (input === undefined || searches || name === 'messages-cache.stream') {
        return;
      }
      assert.ok(bound(read) >= input, `${bound(read)} ${input}`);
    });
  }

  it('include recordings of real clients', { skip: noRecordings }, () => {
    assert.ok(exchanges().filter(({ request }) => request !== undefined).length > fixtures.length);
  });

  it('have exact counts of token ids', () => {
    const withIds = exchanges().filter(({ request }) => /"(input|prompt)":\s*\[+\d/.test(request ?? ''));
    assert.ok(withIds.length >= 2);
    for (const exchange of withIds) {
      const read = facts(exchange.endpoint, exchange.request as string);
      assert.equal(read.textBytes, 0);
      assert.equal(read.givenTokens, reportedUsage(exchange)?.input, exchange.name);
    }
  });
});

describe('the model', () => {
  for (const [endpoint, body] of [
    [chat, ask()],
    [completions, { model: 'm', prompt: 'a' }],
    [embeddings, { model: 'm', input: 'a' }],
    [responses, respond()],
    [messages, claude()],
    [countTokens, claude()],
  ] as const) {
    it(`is required by ${endpoint.path}: a non-empty string of bounded length`, () => {
      const { model, ...without } = body;
      assert.equal(facts(endpoint, body).model, model);
      const missing = read(endpoint, without);
      assert.ok(isFailure(missing));
      assert.deepEqual([missing.code, missing.status, missing.param], ['missing_model', 400, 'model']);
      for (const wrong of [1, null, '', 'm'.repeat(257), 'm'.repeat(10_240), ['m'], { m: 1 }, true]) {
        const problem = read(endpoint, { ...body, model: wrong });
        assert.ok(isFailure(problem), JSON.stringify(wrong).slice(0, 40));
        assert.deepEqual([problem.code, problem.status, problem.param], ['invalid_value', 400, 'model']);
        assert.ok(problem.message.length < 200);
      }
    });
  }
});

describe('invalid values', () => {
  for (const [endpoint, body, param] of [
    [chat, ask({ stream: 'yes' }), 'stream'],
    [chat, ask({ n: 0 }), 'n'],
    [chat, ask({ n: 129 }), 'n'],
    [chat, ask({ max_completion_tokens: '5' }), 'max_completion_tokens'],
    [chat, ask({ stream_options: { include_usage: 1 } }), 'stream_options.include_usage'],
    [completions, { model: 'm', best_of: 1e9 }, 'best_of'],
    [completions, { model: 'm', n: 128, prompt: Array(64).fill('a') }, 'prompt'],
    [responses, respond({ background: 'no' }), 'background'],
    [messages, claude({ max_tokens: undefined }), 'max_tokens'],
    [messages, claude({ thinking: { type: 'enabled', budget_tokens: 'many' } }), 'thinking.budget_tokens'],
    [generate, { inputs: 'a', parameters: { best_of: 129 } }, 'parameters.best_of'],
  ] as const) {
    it(`${endpoint.path}: ${param} of ${JSON.stringify(body).slice(0, 80)}`, () => {
      const problem = read(endpoint, body);
      assert.ok(isFailure(problem));
      assert.equal(problem.param, param);
      assert.equal(problem.status, 400);
    });
  }

  it('null counts as absent', () => {
    const read = facts(chat, ask({ stream: null, n: null, max_tokens: null, stream_options: null }));
    assert.deepEqual(
      [read.stream, read.choices, read.askedOutputTokens, read.usageAsked],
      [false, 1, undefined, false],
    );
  });
});

describe('output bounds', () => {
  it('are the smaller of two, for each choice', () => {
    const read = facts(chat, ask({ n: 3, max_tokens: 50, max_completion_tokens: 40, stream: true }));
    assert.deepEqual([read.choices, read.askedOutputTokens, read.stream], [3, 40, true]);
    assert.equal(facts(chat, ask({ max_tokens: 50 })).askedOutputTokens, 50);
    assert.equal(facts(responses, respond({ max_output_tokens: 16 })).askedOutputTokens, 16);
    assert.equal(facts(responses, respond()).leastOutputTokens, 16);
    assert.equal(facts(generate, { inputs: 'a', parameters: { max_new_tokens: 9 } }).askedOutputTokens, 9);
  });

  it('are left to the provider if they are invalid', () => {
    for (const [endpoint, body] of [
      [chat, ask({ max_tokens: -1 })],
      [chat, ask({ max_completion_tokens: 1.5 })],
      [completions, { model: 'm', prompt: 'a', max_tokens: -1 }],
      [responses, respond({ max_output_tokens: 15 })],
      [messages, claude({ max_tokens: 0 })],
      [messages, claude({ max_tokens: 1e300 })],
      [generate, { inputs: 'a', parameters: { max_new_tokens: 0 } }],
    ] as const) {
      assert.equal(facts(endpoint, body).askedOutputTokens, undefined);
      assert.deepEqual(endpoint.edit(scanned(endpoint, JSON.stringify(body)), {}, { schema: 'OpenAI' }), []);
    }
    assert.equal(facts(chat, ask({ max_tokens: -1, max_completion_tokens: 7 })).askedOutputTokens, 7);
  });

  it('stay above a thinking budget', () => {
    const thinking = (budget_tokens: number, max_tokens: number) =>
      facts(messages, claude({ max_tokens, thinking: { type: 'enabled', budget_tokens } }));
    assert.equal(thinking(1024, 4000).leastOutputTokens, 1025);
    // Interleaved thinking may have a budget above the bound.
    assert.equal(thinking(5000, 4000).leastOutputTokens, 4000);
    assert.equal(thinking(1024, 4000).hiddenOutput, true);
  });

  it('apply to each prompt and each candidate of completions', () => {
    const read = facts(completions, { model: 'm', prompt: ['a', 'b', 'c'], n: 2, best_of: 4 });
    assert.deepEqual([read.choices, read.hiddenOutput], [12, true]);
    const ids = facts(completions, { model: 'm', prompt: [[1, 2], [3]] });
    assert.deepEqual([ids.choices, ids.givenTokens, ids.hiddenOutput], [2, 3, false]);
  });

  it('are replaced for hidden output', () => {
    assert.equal(facts(chat, ask({ model: 'o3' })).hiddenOutput, true);
    assert.equal(facts(chat, ask({ modalities: ['text', 'audio'] })).hiddenOutput, true);
    assert.equal(facts(chat, ask({ prediction: { type: 'content', content: 'a' } })).hiddenOutput, true);
    for (const [effort, hidden] of [
      ['none', false],
      ['low', true],
      [null, true],
    ] as const) {
      assert.equal(facts(chat, ask({ model: 'gpt-5.1', reasoning_effort: effort })).hiddenOutput, hidden);
      const asked = { model: 'gpt-5.1', input: 'Hi', reasoning: { effort } };
      assert.equal(facts(responses, asked).hiddenOutput, hidden);
    }
    const { hidesOutput } = chat;
    assert.equal(hidesOutput!('gpt-5.1', facts(chat, ask({ reasoning_effort: 'none' }))), false);
    assert.equal(facts(chat, ask()).hiddenOutput, false);
    assert.equal(facts(messages, claude()).hiddenOutput, false);
    assert.equal(facts(messages, claude({ thinking: { type: 'adaptive' } })).hiddenOutput, true);
    assert.equal(facts(messages, claude({ model: 'claude-opus-5' })).hiddenOutput, true);
    assert.equal(
      facts(messages, claude({ model: 'claude-opus-5', thinking: { type: 'disabled' } })).hiddenOutput,
      false,
    );
    // The model at the backend may be another one.
    const hides = (more: object) => messages.hidesOutput!('claude-opus-5', facts(messages, claude(more)));
    assert.deepEqual([hides({}), hides({ thinking: { type: 'disabled' } })], [true, false]);
  });
});

describe('requests without an upper bound', () => {
  const image = (url: string) => [{ type: 'image_url', image_url: { url } }];
  const source = (of: object) => [{ type: 'image', source: of }];
  for (const [endpoint, body, reason] of [
    [chat, ask({ messages: user(image('https://example.com/a.png')) }), 'remote_url'],
    [chat, ask({ messages: user([{ type: 'file', file: { file_id: 'file-1' } }]) }), 'file_reference'],
    [chat, ask({ messages: [{ role: 'assistant', audio: { id: 'audio_1' } }] }), 'file_reference'],
    [chat, ask({ web_search_options: {} }), 'server_tool'],
    [chat, ask({ tools: [{ type: 'browser_search' }] }), 'server_tool'],
    [chat, ask({ model: 'gpt-4o-search-preview' }), 'server_tool'],
    [responses, respond({ background: true }), 'background'],
    [responses, respond({ previous_response_id: 'resp_1' }), 'stored_conversation'],
    [responses, respond({ conversation: { id: 'conv_1' } }), 'stored_conversation'],
    [responses, respond({ input: [{ type: 'item_reference', id: 'msg_1' }] }), 'stored_conversation'],
    [responses, respond({ prompt: { id: 'pmpt_1' } }), 'stored_prompt'],
    ...[
      'web_search',
      'web_search_preview',
      'file_search',
      'code_interpreter',
      'mcp',
      'image_generation',
      'computer_use_preview',
      'shell',
      'something_new',
    ].map((type) => [responses, respond({ tools: [{ type }] }), 'server_tool'] as const),
    [
      responses,
      respond({ input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'http://a/b' }] }] }),
      'remote_url',
    ],
    [
      responses,
      respond({ input: [{ role: 'user', content: [{ type: 'input_file', file_url: 'http://a/b' }] }] }),
      'remote_url',
    ],
    [
      responses,
      respond({ input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }] }),
      'file_reference',
    ],
    [
      responses,
      respond({ input: [{ type: 'computer_call_output', output: { type: 'computer_screenshot', file_id: 'f' } }] }),
      'file_reference',
    ],
    ...[
      'web_search_20250305',
      'web_fetch_20250910',
      'code_execution_20250825',
      'tool_search_tool_regex_20251119',
      'mcp_toolset',
      'new_tool_20300101',
    ].map((type) => [messages, claude({ tools: [{ type, name: 'x' }] }), 'server_tool'] as const),
    [messages, claude({ mcp_servers: [{ type: 'url', url: 'https://a', name: 'b' }] }), 'server_tool'],
    [messages, claude({ container: 'container_1' }), 'server_tool'],
    [messages, claude({ thread: { type: 'create' } }), 'stored_conversation'],
    [messages, claude({ messages: user(source({ type: 'url', url: 'https://a/b.png' })) }), 'remote_url'],
    [messages, claude({ messages: user(source({ type: 'file', file_id: 'file_1' })) }), 'file_reference'],
    [
      messages,
      claude({ messages: user([{ type: 'tool_result', content: source({ type: 'url', url: 'http://a' }) }]) }),
      'remote_url',
    ],
    [messages, claude({ messages: user([{ type: 'container_upload', file_id: 'file_1' }]) }), 'file_reference'],
    [generate, { inputs: 'See ![](https://example.com/a.png)' }, 'remote_url'],
    ...[{ id: 'msg_1' }, { id: 'msg_1', type: null }, { type: null, id: 'msg_1', role: null }].map(
      (item) => [responses, respond({ input: [{ role: 'user', content: 'a' }, item] }), 'stored_conversation'] as const,
    ),
    ...[
      { type: 'document_url', document_url: 'https://a/1000-pages.pdf' },
      { type: 'document_url', document_url: { url: 'https://a/b.pdf' } },
      { type: 'audio_url', audio_url: { url: 'https://a/b.mp3' } },
      { type: 'video_url', video_url: { url: 'gs://a/b.mp4' } },
      { type: 'input_audio', input_audio: { data: 'https://a/b.mp3' } },
      { type: 'input_audio', input_audio: 'https://a/b.mp3' },
      { type: 'file', file: { file_data: 'https://a/b.pdf' } },
      { type: 'file', file: { file_url: 'https://a/b.pdf' } },
      { type: 'hologram', hologram: { at: ['https://a/b'] } },
    ].map((part) => [chat, ask({ messages: user([{ type: 'text', text: 'a' }, part]) }), 'remote_url'] as const),
    ...[
      { type: 'input_file', file_data: 'https://a/b.pdf' },
      { type: 'input_audio', input_audio: { data: 'https://a/b.mp3' } },
      { type: 'hologram', hologram_url: 'https://a/b' },
    ].map((part) => [responses, respond({ input: [{ role: 'user', content: [part] }] }), 'remote_url'] as const),
    [messages, claude({ messages: user([{ type: 'hologram', from: 'https://a/b' }]) }), 'remote_url'],
    ...[
      { context_management: { edits: [{ type: 'clear_thinking_20251015' }, { type: 'compact_20260112' }] } },
      { context_management: { edits: [{ type: 'new_edit_20300101' }] } },
      { compaction: { type: 'summarize' } },
    ].map((more) => [messages, claude(more), 'server_tool'] as const),
  ] as const) {
    it(`${endpoint.path}: ${reason} in ${JSON.stringify(body).slice(0, 120)}`, () => {
      assert.deepEqual(facts(endpoint, body).unbounded, [reason]);
    });
  }

  it('do not include tools that the client runs', () => {
    const tool = { type: 'function', function: { name: 'f', parameters: { type: 'object' } } };
    assert.deepEqual(facts(chat, ask({ tools: [tool, { type: 'custom', custom: { name: 'c' } }] })).unbounded, []);
    const own = ['function', 'custom', 'local_shell', 'apply_patch'].map((type) => ({ type, name: 'f' }));
    assert.deepEqual(facts(responses, respond({ tools: own })).unbounded, []);
    const tools = [
      { name: 'a', input_schema: {} },
      { type: 'custom', name: 'b' },
      { type: 'bash_20250124', name: 'bash' },
    ];
    assert.deepEqual(facts(messages, claude({ tools })).unbounded, []);
    assert.deepEqual(facts(messages, claude({ mcp_servers: [], container: null })).unbounded, []);
    const clearing = { context_management: { edits: [{ type: 'clear_tool_uses_20250919' }] }, compaction: null };
    assert.deepEqual(facts(messages, claude(clearing)).unbounded, []);
    const items = [
      { id: 'msg_1', role: 'assistant', content: 'a' },
      { id: 'rs_1', type: 'reasoning', summary: [] },
    ];
    assert.deepEqual(facts(responses, respond({ input: items })).unbounded, []);
    const data = 'data:image/png;base64,AAAA';
    for (const part of [
      { type: 'image_url', image_url: { url: data } },
      { type: 'audio_url', audio_url: { url: data } },
      { type: 'input_audio', input_audio: { data: 'AAAA/+8=' } },
      { type: 'file', file: { file_data: data, filename: 'https://a' } },
      { type: 'hologram', hologram: { data } },
      { type: 'text', text: 'see https://a' },
    ]) {
      assert.deepEqual(facts(chat, ask({ messages: user([part]) })).unbounded, [], JSON.stringify(part));
    }
  });

  it('include addresses in any spelling', () => {
    const written = (part: string) => {
      const body = `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},${part}]}]}`;
      const read = chat.readRequest(scanned(chat, body), ADDRESS);
      assert.ok(!isFailure(read));
      return read.unbounded;
    };
    for (const address of ['\\u0068ttps://a/b', 'https:\\/\\/a/b', 'HTTPS://a/b', ' https://a/b']) {
      assert.deepEqual(written(`{"type":"input_audio","input_audio":{"data":"${address}"}}`), ['remote_url'], address);
      assert.deepEqual(written(`{"type":"hologram","x":"${address}"}`), ['remote_url'], address);
    }
    assert.deepEqual(written('{"type":"input_audio","input_audio":{"data":"AA\\/A"}}'), []);
    assert.deepEqual(written(Array(40).fill('{"type":"hologram"}').join(',')), ['remote_url']);
  });
});

describe('media and unknown parts', () => {
  const base64 = 'A'.repeat(400_000);

  it('are counted roughly, and not as text', () => {
    const url = `data:image/png;base64,${base64}`;
    for (const [endpoint, body] of [
      [chat, ask({ messages: user([{ type: 'image_url', image_url: { url } }]) })],
      [chat, ask({ messages: user([{ type: 'input_audio', input_audio: { data: base64, format: 'wav' } }]) })],
      [responses, respond({ input: [{ role: 'user', content: [{ type: 'input_image', image_url: url }] }] })],
      [
        messages,
        claude({
          messages: user([{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: base64 } }]),
        }),
      ],
      [chat, ask({ messages: user([{ type: 'hologram' }]) })],
      [messages, claude({ messages: user([{ type: 'hologram' }]) })],
      [responses, respond({ input: [{ role: 'user', content: [{ type: 'hologram' }] }] })],
    ] as const) {
      const read = facts(endpoint, body);
      assert.ok(read.mediaTokens > 80 && read.mediaTokens < 4_000, `${read.mediaTokens}`);
      assert.ok(read.textBytes < 1_000);
    }
  });

  it('include documents by their type', () => {
    const document = (media_type: string, type: string) =>
      facts(messages, claude({ messages: user([{ type: 'document', source: { type, media_type, data: base64 } }]) }))
        .mediaTokens;
    assert.ok(document('application/pdf', 'base64') > 10_000);
    assert.ok(document('text/plain', 'text') > 100_000);
  });
});

describe('text', () => {
  const marks = ['system-mark', 'content-mark', 'tool-mark', 'schema-mark', 'call-mark', 'result-mark', 'name-mark'];
  const [system, content, tool, schema, call, result, name] = marks as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];

  for (const [endpoint, body] of [
    [
      chat,
      ask({
        messages: [
          { role: 'system', content: system, name },
          { role: 'user', content: [{ type: 'text', text: content }] },
          { role: 'assistant', tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: call } }] },
          { role: 'tool', tool_call_id: '1', content: result },
        ],
        tools: [{ type: 'function', function: { name: 'f', description: tool } }],
        response_format: { type: 'json_schema', json_schema: { schema: { title: schema } } },
      }),
    ],
    [
      responses,
      respond({
        instructions: system,
        input: [
          { role: 'user', content: [{ type: 'input_text', text: content }] },
          { role: 'user', content: name },
          { type: 'function_call', call_id: '1', name: 'f', arguments: call },
          { type: 'function_call_output', call_id: '1', output: result },
        ],
        tools: [{ type: 'function', name: 'f', description: tool }],
        text: { format: { type: 'json_schema', schema: { title: schema } } },
      }),
    ],
    [
      messages,
      claude({
        system: [{ type: 'text', text: system }],
        messages: [
          { role: 'user', content },
          { role: 'assistant', content: [{ type: 'tool_use', id: '1', name, input: { [call]: 1 } }] },
          {
            role: 'user',
            content: [{ type: 'tool_result', tool_use_id: '1', content: [{ type: 'text', text: result }] }],
          },
        ],
        tools: [{ name: 'f', description: tool, input_schema: {} }],
        output_config: { format: { type: 'json_schema', schema: { title: schema } } },
      }),
    ],
    [generateStream, { inputs: marks.join(' '), parameters: { grammar: { type: 'json', value: { title: schema } } } }],
  ] as const) {
    it(`of ${endpoint.path} is found completely`, () => {
      const bytes = Buffer.from(JSON.stringify(body));
      const scan = scanned(endpoint, bytes);
      const text = spansOf(scan)
        .map(([start, end]) => bytes.toString('utf8', start, end))
        .join(' ');
      for (const mark of marks) {
        assert.ok(text.includes(mark), `${mark} in ${text}`);
      }
      assert.equal(facts(endpoint, body).textBytes, scan.textBytes);
    });
  }
});

describe('TGI', () => {
  it('streams by path or by body, and has one model', () => {
    assert.deepEqual(
      [facts(generate, { inputs: 'a', stream: true }).stream, facts(generate, { inputs: 'a' }).model],
      [false, 'tgi'],
    );
    assert.equal(facts(generateStream, { inputs: 'a' }).stream, true);
    assert.equal(facts(root, { inputs: 'a', stream: true }).stream, true);
    assert.equal(facts(root, { inputs: 'a' }).stream, false);
    assert.equal(facts(root, { inputs: 'a', model: 'llama' }).model, 'llama');
  });
});
