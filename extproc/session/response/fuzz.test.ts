/**
 * Whatever a provider sends: nothing throws, charges are whole tokens, output is never free, and no
 * hold remains.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { type GuardrailRule, guardrailScopes } from '../../../contract/guardrails.ts';
import { mayBeText } from '../../providers/unknown-text.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import { basePolicy, ENTRY, newExchange, newRig } from '../testing.ts';

/** More in a long run. */
const RUNS = Number(process.env['TALLYGATE_FUZZ_RUNS'] ?? 400);

before(() => loadEncodings());

const TARGETS = {
  '/v1/chat/completions': { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Say it' }] },
  '/v1/completions': { model: 'gpt-4o-mini', prompt: 'Say it' },
  '/v1/responses': { model: 'gpt-4o-mini', input: 'Say it' },
  '/v1/messages': { model: 'claude-haiku-4-5', max_tokens: 500, messages: [{ role: 'user', content: 'Say it' }] },
  '/generate_stream': { inputs: 'Say it' },
  '/generate': { inputs: 'Say it' },
} as const;

const SCHEMAS = ['OpenAI', 'Anthropic', 'HuggingFaceTGI'] as const;

const policy = {
  backends: SCHEMAS.map((schema) => ({ name: schema, schema, tokenizer: { encoding: 'Auto' as const }, models: [] })),
  quotas: [
    {
      ...basePolicy.quotas[0]!,
      id: 'q',
      limit: { type: 'TotalTokens' as const, amount: 100_000_000 },
      window: { type: 'Lifetime' as const },
      key: [],
      unbounded: 'Allow' as const,
    },
  ],
  virtualHosts: [
    {
      routeNames: ['entry'],
      passthrough: [],
      access: [],
      rules: [
        {
          route: 'r',
          name: 'all',
          models: ['*'],
          headers: [],
          targets: SCHEMAS.map((schema) => ({ id: schema, backend: schema, weight: 1, priority: 0 })),
          quotas: ['q'],
          requestLimits: {},
          access: [],
          maxRequestBodyBytes: 4096,
        },
      ],
    },
  ],
};

/** Looks for what the texts of the answers often have, and for nothing. */
const guardrails: readonly GuardrailRule[] = [
  {
    name: 'letters',
    phases: ['Response'],
    scope: guardrailScopes,
    detector: { type: 'Pattern', expressions: ['[aeiou]{1,3}[a-z]{2}'] },
    action: { type: 'Mask', placeholder: '<"{index}">', restore: false },
    onFailure: 'Open',
    timeoutMs: 100,
    onUnmaskable: 'Pass',
  },
  {
    name: 'addresses',
    phases: ['Response'],
    scope: guardrailScopes,
    detector: { type: 'Builtin', detectors: ['Email', 'CreditCard'] },
    action: { type: 'Block', message: 'Not here.' },
    onFailure: 'Closed',
    timeoutMs: 100,
    onUnmaskable: 'Block',
  },
];

/** Returns the policy with guardrails on all rules. */
function guarded(count: number) {
  const [host] = policy.virtualHosts;
  const rules = guardrails.slice(0, count);
  return {
    ...policy,
    guardrailPolicies: [{ name: 'default/guard', rules, exempt: [], holdBack: { bytes: 500, ms: 10 } }],
    virtualHosts: [{ ...host!, rules: host!.rules.map((rule) => ({ ...rule, guardrails: ['default/guard'] })) }],
  };
}

const number = fc.oneof(
  fc.constantFrom('-1', '1e999', '1e300', '0.5', '9007199254740993', '"3"', 'null', '[]', '{}', '0'),
  fc.nat().map(String),
);
const KEYS = [
  ...[
    'type',
    'index',
    'id',
    'choices',
    'delta',
    'message',
    'content',
    'text',
    'usage',
    'response',
    'item',
    'part',
    'error',
  ],
  ...[
    'output_index',
    'content_index',
    'content_block',
    'finish_reason',
    'stop_reason',
    'token',
    'generated_text',
    'details',
  ],
  ...[
    'prompt_tokens',
    'completion_tokens',
    'total_tokens',
    'input_tokens',
    'output_tokens',
    'generated_tokens',
    'x_groq',
  ],
  ...['iterations', 'sequence_number', 'reasoning', 'reasoning_details', 'tool_calls', 'function', 'arguments', 'new'],
];
const TYPES = [
  ...['response.created', 'response.output_item.added', 'response.output_text.delta', 'response.output_item.done'],
  ...['response.completed', 'response.new.delta', 'message_start', 'content_block_start', 'content_block_delta'],
  ...['message_delta', 'message_stop', 'error', 'compaction', 'compaction_delta', 'text_delta'],
];
const json = fc.letrec<{ value: string; object: string; array: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    number,
    fc.constantFrom(...TYPES).map((type) => JSON.stringify(type)),
    fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => JSON.stringify(text)),
    tie('object'),
    tie('array'),
  ),
  array: fc.array(tie('value'), { maxLength: 3 }).map((all) => `[${all.join(',')}]`),
  object: fc
    .array(fc.tuple(fc.constantFrom(...KEYS), tie('value')), { maxLength: 6 })
    .map((all) => `{${all.map(([key, value]) => `"${key}":${value}`).join(',')}}`),
})).object;

const event = fc.oneof(
  { weight: 6, arbitrary: json.map((data) => `data: ${data}\n\n`) },
  fc.tuple(fc.constantFrom(...TYPES), json).map(([type, data]) => `event: ${type}\r\ndata:${data}\r\n\r\n`),
  json.map((data) => `data: ${data.slice(0, 9)}\ndata: ${data.slice(9)}\n\n`),
  fc.string({ maxLength: 40 }),
  fc.constantFrom('data: [DONE]\n\n', ': waiting\n\n', '\n', '\ufeff', 'data: {"choices":[{"delta":{"content":"'),
);
const body = fc.oneof(
  fc.array(event, { maxLength: 12 }).map((all) => Buffer.from(all.join(''))),
  json.map((text) => Buffer.from(text)),
  fc.tuple(json, fc.nat()).map(([text, at]) => Buffer.from(text).subarray(0, at % (text.length + 1))),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
);

interface Given {
  readonly path: keyof typeof TARGETS;
  readonly stream: boolean;
  readonly type: string | undefined;
  readonly encoding: string | undefined;
  readonly bytes: Buffer;
  readonly size: number;
  readonly ending: 'end' | 'trailers' | 'abort';
  /** How many guardrails look at the response. */
  readonly rules: number;
}

const given = fc.record<Given>({
  path: fc.constantFrom(...(Object.keys(TARGETS) as Given['path'][])),
  stream: fc.boolean(),
  type: fc.constantFrom(undefined, 'text/event-stream', 'application/json', 'text/plain'),
  encoding: fc.constantFrom(undefined, undefined, undefined, 'gzip', 'br', 'lz4', 'gzip, br', 'identity'),
  bytes: body,
  size: fc.constantFrom(1, 3, 50, 10_000),
  ending: fc.constantFrom('end', 'end', 'trailers', 'abort'),
  rules: fc.constantFrom(0, 0, 1, 2),
});

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; !holds(); turn++) {
    assert.ok(turn < 5_000, 'nothing happens');
    await new Promise(turn < 100 ? setImmediate : (next) => setTimeout(next, 1));
  }
}

/** Returns the record of one exchange, what was sent to the client, and the bucket. */
async function exchanged({ path, stream, type, encoding, bytes, size, ending, rules }: Given) {
  const rig = newRig({ policy: rules === 0 ? policy : guarded(rules) });
  let forwarded = false;
  let sent = 0;
  const handler = rig.open({
    ...newExchange(),
    requestHeaders: () => {
      forwarded = true;
    },
    responseBody: (piece) => {
      sent += piece.length;
    },
  });
  const request = JSON.stringify({ ...TARGETS[path], ...(path.startsWith('/v1') ? { stream } : {}) });
  handler.requestHeaders(
    [
      [':method', 'POST'],
      [':path', path],
    ],
    false,
    ENTRY,
  );
  handler.requestBody(Buffer.from(request), true);
  await until(() => forwarded);
  const answer = encoding === 'gzip' && bytes.length % 3 > 0 ? gzipSync(bytes) : bytes;
  const headers = [
    ...(type === undefined ? [] : [['content-type', type] as const]),
    ...(encoding === undefined ? [] : [['content-encoding', encoding] as const]),
  ];
  handler.responseHeaders([[':status', '200'], ...headers], false, new Map());
  const pieces = Math.max(1, Math.ceil(answer.length / size));
  for (let place = 0; place < pieces; place++) {
    const piece = Buffer.from(answer.subarray(place * size, (place + 1) * size));
    handler.responseBody(piece, ending === 'end' && place === pieces - 1);
    piece.fill(0xdb);
  }
  if (ending === 'trailers') {
    handler.responseTrailers();
  }
  if (ending === 'abort') {
    handler.closed(false);
  }
  await until(() => rig.records.length > 0);
  assert.deepEqual(rig.faults, []);
  const [state] = rig.store.top(1, 1);
  rig.store.close();
  return { record: rig.records[0]!, sent, state };
}

describe('any response', () => {
  it('is charged in whole tokens, and leaves no hold', async () => {
    await fc.assert(
      fc.asyncProperty(given, async (one) => {
        const { record, state } = await exchanged(one);
        assert.ok(record.usage);
        for (const tokens of Object.values(record.usage)) {
          assert.ok(Number.isSafeInteger(tokens) && tokens >= 0);
        }
        const { input, output } = record.usage;
        assert.ok(input > 0);
        assert.deepEqual([state?.held, state?.spent], [0, input + output]);
      }),
      { numRuns: RUNS },
    );
  });

  it('is not free if it contains text, whatever its name', async () => {
    const words = 'one two three four five six seven eight nine ten ';
    const named = fc.constantFrom(...KEYS.filter((key) => key !== 'error' && mayBeText(key)), 'x', 'answer');
    const carrying = fc.tuple(named, named).map(([outer, inner]) => {
      const data = `{"${outer}":{"${inner}":"${words}"}}`;
      return `data: ${data}\n\ndata: ${data}\n\n`;
    });
    const plain = fc.constantFrom(words.repeat(2), `data: ${words}\n\n`, `{"answer":"${words}"}`, `[${words}`);
    await fc.assert(
      fc.asyncProperty(given, fc.oneof(carrying, plain), async (one, text) => {
        const { record, sent } = await exchanged({
          ...one,
          bytes: Buffer.from(text),
          encoding: undefined,
          ending: 'end',
          rules: 0,
        });
        assert.ok(sent >= text.length);
        assert.ok((record.usage?.output ?? 0) >= 8, JSON.stringify(record.usage));
      }),
      { numRuns: RUNS },
    );
  });
});
