import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuardrailPolicy, GuardrailRule } from '../../contract/guardrails.ts';
import { guardrailScopes } from '../../contract/guardrails.ts';
import { accessPolicy, apiKey, bearer, keyAuthenticator, shardsOf } from '../access/testing.ts';
import type { Exchange, HeaderList, ImmediateResponse } from '../exchange.ts';
import type { Analysis } from '../guard/external/external-detector.ts';
import { DetectorError } from '../guard/external/external-detector.ts';
import { counts } from '../quota/testing.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import type { TraceOptions } from '../trace-context.ts';
import type { AnalyzeText } from './inspections.ts';
import type { SessionServices } from './services.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig, type Rig } from './testing.ts';

await loadEncodings();

const mask: GuardrailRule = {
  name: 'identifiers',
  phases: ['Request'],
  scope: guardrailScopes,
  detector: { type: 'Builtin', detectors: ['CreditCard', 'Email'] },
  action: { type: 'Mask', placeholder: '<{type}-{index}>', restore: true },
  onFailure: 'Closed',
  timeoutMs: 100,
  onUnmaskable: 'Block',
};

const block: GuardrailRule = { ...mask, name: 'none', action: { type: 'Block', message: 'Not here.' } };

const webhook: GuardrailRule = {
  ...mask,
  name: 'webhook',
  detector: { type: 'Webhook', service: { url: 'http://127.0.0.1:1' } },
  action: { type: 'FromDetector', placeholder: '<{type}-{index}>', restore: false, message: 'Default.' },
};

function guardrails(rules: readonly GuardrailRule[], more: Partial<GuardrailPolicy> = {}): GuardrailPolicy {
  return { name: 'default/guard', rules, exempt: [], holdBack: { bytes: 1000, ms: 1000 }, ...more };
}

function rigWith(
  rules: readonly GuardrailRule[],
  analyze?: AnalyzeText,
  more: Partial<GuardrailPolicy> = {},
  services: Partial<SessionServices> = {},
): Rig {
  const [host] = basePolicy.virtualHosts;
  return newRig({
    policy: {
      guardrailPolicies: [guardrails(rules, more)],
      quotas: basePolicy.quotas.map((quota) => ({
        ...quota,
        limit: { type: 'TotalTokens', amount: 10_000_000 },
        unmetered: 'Allow',
      })),
      virtualHosts: [
        {
          ...host!,
          rules: host!.rules.map((rule) => ({
            ...rule,
            maxRequestBodyBytes: 4 * 1024 * 1024,
            guardrails: ['default/guard'],
          })),
          passthrough: host!.passthrough.map((one) => ({ ...one, guardrails: ['default/guard'] })),
        },
      ],
    },
    shared: () => ({ ...(analyze && { analyze }), isJudge: (proof) => proof === 'of the judge', ...services }),
  });
}

interface Sent {
  readonly body: string;
  readonly reply: ImmediateResponse | undefined;
}

async function send(rig: Rig, body: string | object, headers: HeaderList = CHAT_HEADERS): Promise<Sent> {
  const sent: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<ImmediateResponse | undefined>();
  const exchange: Exchange = {
    ...newExchange(),
    requestBody(bytes, endOfStream) {
      sent.push(Buffer.from(bytes));
      if (endOfStream) {
        resolve(undefined);
      }
    },
    immediateResponse: resolve,
  };
  const handler = rig.open(exchange);
  handler.requestHeaders(headers, false, ENTRY);
  handler.requestBody(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), true);
  const reply = await promise;
  handler.closed(false);
  return { body: Buffer.concat(sent).toString(), reply };
}

const chat = (content: unknown, more: object = {}) => ({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content }],
  ...more,
});

test('values are masked before the provider gets them, and equal values have equal numbers', async () => {
  const rig = rigWith([mask]);
  const text = 'Ask jane@example.com or joe@example.com, not JANE: jane@example.com.';
  const { body } = await send(rig, chat(text));
  assert.equal(JSON.parse(body).messages[0].content, 'Ask <Email-1> or <Email-2>, not JANE: <Email-1>.');
  assert.deepEqual(rig.records[0]?.guard, {
    rules: [{ rule: 'default/guard/identifiers', action: 'mask', findings: { Email: 3 } }],
    failures: [],
    calls: undefined,
  });
});

test('a request without findings passes byte for byte', async () => {
  const rig = rigWith([mask]);
  const body = '{"model" : "gpt-4o-mini","messages":[ {"content":"caf\\u00e9 \\n","role":"user"}] }';
  assert.equal((await send(rig, body)).body, body);
});

test('a block refuses the request, and nothing is held', async () => {
  const rig = rigWith([block]);
  const { body, reply } = await send(rig, chat('jane@example.com'));
  assert.equal(body, '');
  assert.equal(reply?.status, 400);
  const { error } = JSON.parse(Buffer.from(reply!.body).toString());
  assert.deepEqual([error.code, error.message], ['content_blocked', 'Not here.']);
  assert.equal(counts(rig.store).openHolds, 0);
  assert.deepEqual(rig.records[0]?.guard?.rules, [
    { rule: 'default/guard/none', action: 'block', findings: { Email: 1 } },
  ]);
});

test('a large prompt is masked in slices, wherever its values are', async () => {
  const rig = rigWith([mask]);
  const words = 'word \\n"\u00e9\u{1f600} '.repeat(10_000);
  const text = `${words}jane@example.com ${words}jane@example.com`;
  const { body } = await send(rig, chat(text));
  assert.equal(JSON.parse(body).messages[0].content, text.replaceAll('jane@example.com', '<Email-1>'));
});

test('tokens in place of text are refused, because nobody can read them', async () => {
  const rig = rigWith([mask]);
  const headers: HeaderList = [
    [':method', 'POST'],
    [':path', '/v1/completions'],
    ['x-team', 'red'],
  ];
  const { reply } = await send(rig, { model: 'gpt-4o-mini', prompt: [1, 2, 3], max_tokens: 5 }, headers);
  assert.equal(reply?.status, 400);
  assert.deepEqual(rig.records[0]?.guard?.failures, [{ rule: 'default/guard/identifiers', reason: 'tokens' }]);
});

test('the prompt in a form is masked, and the rest of the form stays', async () => {
  const rig = rigWith([mask]);
  const headers: HeaderList = [
    [':method', 'POST'],
    [':path', '/v1/audio/transcriptions'],
    ['content-type', 'multipart/form-data; boundary=b'],
    ['x-team', 'red'],
  ];
  const form = (prompt: string) =>
    [
      ...['--b', 'content-disposition: form-data; name="model"', '', 'gpt-4o-mini'],
      ...['--b', 'content-disposition: form-data; name="prompt"', '', prompt],
      ...['--b', 'content-disposition: form-data; name="file"; filename="a.wav"', '', 'jane@example.com', '--b--', ''],
    ].join('\r\n');
  const { body } = await send(rig, form('A "talk" of jane@example.com\nand é'), headers);
  assert.equal(body, form('A "talk" of <Email-1>\nand é'));
  const { reply } = await send(rigWith([webhook]), form('Hi'), headers);
  assert.equal(reply?.status, 400, 'services get no forms');
});

const passthroughHeaders: HeaderList = [
  [':method', 'POST'],
  [':path', '/v1/batches'],
  ['x-team', 'red'],
];

test('an endpoint that is not read is refused by a closed rule and passes an open one', async () => {
  const closed = rigWith([mask]);
  const { reply } = await send(closed, 'jane@example.com', passthroughHeaders);
  assert.equal(reply?.status, 400);
  const open = rigWith([{ ...mask, onFailure: 'Open' }]);
  assert.equal((await send(open, 'jane@example.com', passthroughHeaders)).body, 'jane@example.com');
  assert.deepEqual(open.records[0]?.guard?.failures, [{ rule: 'default/guard/identifiers', reason: 'passthrough' }]);
});

function asking(answer: (text: string) => Analysis): { readonly analyze: AnalyzeText; readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    analyze: async (_detector, text) => {
      asked.push(text);
      return answer(text);
    },
  };
}

test('a service gets the masked texts, and what it finds is masked', async () => {
  const { analyze, asked } = asking((text) => {
    const start = text.indexOf('Jane');
    return start < 0
      ? { action: 'allow', findings: [] }
      : { action: 'modify', findings: [{ type: 'PERSON', start, end: start + 4, score: 0.9 }] };
  });
  const rig = rigWith([mask, webhook], analyze);
  const { body } = await send(rig, chat('"Jane" is jane@example.com', { user: 'u1' }));
  assert.deepEqual(asked, ['"Jane" is <Email-1>', 'u1']);
  assert.equal(JSON.parse(body).messages[0].content, '"<PERSON-1>" is <Email-1>');
});

test('a service replaces a text, or blocks with its own message', async () => {
  const replacing = asking(() => ({ action: 'modify', findings: [], replacement: 'a "quoted" text' }));
  const { body } = await send(rigWith([webhook], replacing.analyze), chat('secret'));
  assert.equal(JSON.parse(body).messages[0].content, 'a "quoted" text');
  const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{"a": "secret"}' } };
  const tools = { messages: [{ role: 'assistant', tool_calls: [call] }] };
  const unmaskable = await send(rigWith([webhook], replacing.analyze), { ...chat(''), ...tools });
  assert.equal(unmaskable.reply?.status, 400, 'arguments that are no JSON');
  const blocking = asking(() => ({ action: 'block', findings: [], message: 'Because.' }));
  const { reply } = await send(rigWith([webhook], blocking.analyze), chat('secret'));
  assert.match(Buffer.from(reply!.body).toString(), /content_blocked.*Because\.|Because\..*content_blocked/);
});

test('a service that fails closes a closed rule, and an open one says so', async () => {
  const failing: AnalyzeText = async () => {
    throw new DetectorError('timeout', 'late');
  };
  const closed = rigWith([webhook], failing);
  const { reply } = await send(closed, chat('hello'));
  assert.equal(reply?.status, 503);
  assert.equal(counts(closed.store).openHolds, 0);
  const open = rigWith([{ ...webhook, onFailure: 'Open' }], failing);
  assert.equal(JSON.parse((await send(open, chat('hello'))).body).messages[0].content, 'hello');
  assert.deepEqual(open.records[0]?.guard?.failures, [{ rule: 'default/guard/webhook', reason: 'timeout' }]);
});

test('a trace has the first calls of services with their times, and the number of all', async () => {
  let now = 1000;
  const analyze: AnalyzeText = async (_detector, text) => {
    now += 5;
    if (text === 'text 1') {
      throw new DetectorError('timeout', 'late');
    }
    return { action: 'allow', findings: [] };
  };
  const texts = (count: number) => ({
    messages: Array.from({ length: count }, (_, i) => ({ role: 'user', content: `text ${i}` })),
  });
  const traces: TraceOptions = { sampler: () => true, drawId: (bytes) => '1'.repeat(bytes * 2) };
  const open = { ...webhook, onFailure: 'Open' } as const;
  const rig = rigWith([open], analyze, {}, { traces, now: () => now });
  await send(rig, { ...chat(''), ...texts(2) });
  const common = { rule: 'default/guard/webhook', phase: 'request', detector: 'Webhook', url: 'http://127.0.0.1:1' };
  assert.deepEqual(rig.records[0]?.guard?.calls, {
    first: [
      { ...common, startMs: 1000, endMs: 1010, verdict: 'allow', findings: 0, error: undefined },
      { ...common, startMs: 1005, endMs: 1010, verdict: undefined, findings: 0, error: 'timeout' },
    ],
    count: 2,
  });
  await send(rig, { ...chat(''), ...texts(50) });
  const { first, count } = rig.records[1]!.guard!.calls!;
  assert.deepEqual([first.length, count], [20, 50]);
  const untraced = rigWith([open], analyze);
  await send(untraced, chat('hello'));
  assert.equal(untraced.records[0]?.guard?.calls, undefined);
});

test('a rule applies where its condition holds, or cannot be evaluated', async () => {
  const content = async (when: string) => {
    const { body } = await send(rigWith([{ ...mask, when }]), chat('jane@example.com'));
    return JSON.parse(body).messages[0].content;
  };
  assert.equal(await content('request.endpoint == "chat"'), '<Email-1>');
  assert.equal(await content('request.endpoint == "embeddings"'), 'jane@example.com');
  assert.equal(await content('caller.tenant == "search"'), '<Email-1>', 'nobody is identified');
});

test('exempt callers pass: of a policy all rules, of a rule that rule', async () => {
  const access = accessPolicy([keyAuthenticator]);
  const [host] = basePolicy.virtualHosts;
  const sent = async (key: string) => {
    const one = { ...mask, exempt: [{ group: 'red-team' }] };
    const rig = newRig({
      policy: {
        accessPolicies: [access],
        apiKeyShards: shardsOf([
          apiKey('tg-one', { groups: ['red-team'] }),
          apiKey('tg-two', { groups: ['blue-team'] }),
          apiKey('tg-three', { groups: [] }),
        ]),
        guardrailPolicies: [guardrails([one, block], { exempt: [{ group: 'blue-team' }] })],
        virtualHosts: [
          {
            ...host!,
            access: [access.name],
            rules: host!.rules.map((rule) => ({
              ...rule,
              quotas: [],
              access: [access.name],
              guardrails: ['default/guard'],
            })),
          },
        ],
      },
    });
    const { reply } = await send(rig, chat('jane@example.com'), [...CHAT_HEADERS, ...bearer(key)]);
    return [reply?.status, Object.keys(rig.records[0]?.guard?.rules ?? {}).length];
  };
  assert.deepEqual(await sent('tg-one'), [400, 1], 'only the other rule applies');
  assert.deepEqual(await sent('tg-two'), [undefined, 0], 'no rule applies');
  assert.deepEqual(await sent('tg-three'), [400, 2], 'both apply');
});

test('nobody is exempt where no access policy identifies callers', async () => {
  const rig = rigWith([mask], undefined, { exempt: [{ authenticated: true }] });
  assert.equal(JSON.parse((await send(rig, chat('jane@example.com'))).body).messages[0].content, '<Email-1>');
});

test('a client that leaves stops the questions', async () => {
  let stopped = false;
  const analyze: AnalyzeText = (_detector, _text, _context, _timeoutMs, signal) =>
    new Promise(() => {
      signal.addEventListener('abort', () => {
        stopped = true;
      });
    });
  const rig = rigWith([webhook], analyze);
  const handler = rig.open(newExchange());
  handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
  handler.requestBody(Buffer.from(JSON.stringify(chat('hello'))), true);
  handler.closed(false);
  assert.ok(stopped);
  assert.deepEqual(rig.faults, []);
});

test('the request of a judge is not judged again, but the other rules apply', async () => {
  const judge: GuardrailRule = {
    ...block,
    name: 'judge',
    phases: ['Request', 'Response'],
    detector: { type: 'Model', service: { url: 'http://127.0.0.1:1' }, model: 'judge', scoreThreshold: 0.5 },
    onFailure: 'Open',
  };
  const asked: string[] = [];
  const rig = rigWith([mask, judge], async (_, text) => {
    asked.push(text);
    return { action: 'allow', findings: [] };
  });
  const proven = (proof: string): HeaderList => [...CHAT_HEADERS, ['tallygate-judge', proof]];
  const { body } = await send(rig, chat('Judge jane@example.com'), proven('of the judge'));
  assert.equal(JSON.parse(body).messages[0].content, 'Judge <Email-1>');
  assert.deepEqual(asked, []);
  const { reply } = await send(rig, chat('Hello'), proven('of another'));
  assert.equal(reply?.status, 400);
  await send(rig, chat('Hello'));
  assert.deepEqual(asked, ['Hello']);
});

test('a verdict without findings is recorded, also by a rule that only monitors', async () => {
  const monitor: GuardrailRule = { ...webhook, action: { type: 'Monitor' } };
  const rig = rigWith([monitor], async () => ({ action: 'block', findings: [] }));
  const { reply } = await send(rig, chat('Hello'));
  assert.equal(reply, undefined);
  assert.deepEqual(rig.records[0]?.guard?.rules, [
    { rule: 'default/guard/webhook', action: 'monitor', findings: { flagged: 1 } },
  ]);
});

test('a verdict that is only recorded does not join the values that another rule masks', async () => {
  const judge: GuardrailRule = { ...webhook, name: 'judge', action: { type: 'Monitor' } };
  const names: GuardrailRule = {
    ...webhook,
    name: 'names',
    detector: { type: 'Webhook', service: { url: 'http://127.0.0.1:1/names' } },
    action: mask.action,
  };
  const text = 'Ada met Bob.';
  const rig = rigWith([judge, names], async ({ service }) => ({
    action: 'block',
    findings: service.url.endsWith('names')
      ? [
          { type: 'PERSON', start: 0, end: 3, score: 1 },
          { type: 'PERSON', start: 8, end: 11, score: 1 },
        ]
      : [{ type: 'hate', start: 0, end: text.length, score: 1 }],
  }));
  const { body } = await send(rig, chat(text));
  assert.equal(JSON.parse(body).messages[0].content, '<PERSON-1> met <PERSON-2>.');
});
