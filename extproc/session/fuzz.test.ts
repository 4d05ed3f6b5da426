/**
 * Requests of all dialects, valid and invalid, in pieces, at the same time, and abandoned at any
 * moment, with one quota store: no session faults, nothing stays held or kept, each request has one
 * record, the quota store spends what the records state, and no client gets text for which nobody
 * is charged.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fuzz } from '../../tools/fuzz/cases.ts';
import type { Random } from '../../tools/fuzz/random.ts';
import type { Exchange, ExchangeHandler, HeaderList } from '../exchange.ts';
import { counts } from '../quota/testing.ts';
import type { RequestRecord } from '../record.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import { Bodies } from './bodies.ts';
import { liveRequest } from './drive.ts';
import { basePolicy, ENTRY, newExchange, newRig, type Rig } from './testing.ts';

await loadEncodings();

const NOTHING: ReadonlyMap<string, string> = new Map();
/**
 * One token in all our encodings, alone and repeated. It occurs only in the text of responses.
 */
const WORD = ' cat';
const MOST_TURNS = 2_000;

interface Dialect {
  readonly path: string;
  readonly body: (stream: boolean, most: number | undefined) => object;
  readonly delta: (text: string) => string;
  readonly opening?: string;
  /** The end of a stream, with or without the provider's usage. */
  readonly closing: (tokens: number | undefined) => string;
  readonly whole: (text: string, tokens: number | undefined) => object;
}

const data = (value: object) => `data: ${JSON.stringify(value)}\n\n`;
const named = (value: { readonly type: string; readonly [member: string]: unknown }) =>
  `event: ${value.type}\n${data(value)}`;
const messages = [{ role: 'user', content: 'Hello there' }];

const dialects: readonly Dialect[] = [
  {
    path: '/v1/chat/completions',
    body: (stream, most) => ({
      model: 'gpt-4o-mini',
      stream,
      messages,
      ...(most !== undefined && { max_tokens: most }),
    }),
    delta: (content) => data({ id: 'c', model: 'm', choices: [{ index: 0, delta: { content }, finish_reason: null }] }),
    closing: (tokens) =>
      data({ id: 'c', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }) +
      (tokens === undefined
        ? ''
        : data({ id: 'c', choices: [], usage: { prompt_tokens: 9, completion_tokens: tokens } })) +
      'data: [DONE]\n\n',
    whole: (content, tokens) => ({
      choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
      ...(tokens !== undefined && { usage: { prompt_tokens: 9, completion_tokens: tokens } }),
    }),
  },
  {
    path: '/v1/completions',
    body: (stream, most) => ({
      model: 'gpt-4o-mini',
      stream,
      prompt: 'Hello',
      ...(most !== undefined && { max_tokens: most }),
    }),
    delta: (text) => data({ id: 'c', choices: [{ index: 0, text, finish_reason: null }] }),
    closing: (tokens) =>
      `${
        tokens === undefined
          ? ''
          : data({ id: 'c', choices: [], usage: { prompt_tokens: 1, completion_tokens: tokens } })
      }data: [DONE]\n\n`,
    whole: (text, tokens) => ({
      choices: [{ index: 0, text, finish_reason: 'stop' }],
      ...(tokens !== undefined && { usage: { prompt_tokens: 1, completion_tokens: tokens } }),
    }),
  },
  {
    path: '/v1/responses',
    body: (stream, most) => ({
      model: 'gpt-4o-mini',
      stream,
      store: false,
      input: 'Hello',
      ...(most !== undefined && { max_output_tokens: most }),
    }),
    delta: (delta) =>
      named({ type: 'response.output_text.delta', item_id: 'i', output_index: 0, content_index: 0, delta }),
    closing: (tokens) =>
      named({
        type: 'response.completed',
        response: {
          id: 'r',
          status: 'completed',
          ...(tokens !== undefined && { usage: { input_tokens: 1, output_tokens: tokens } }),
        },
      }),
    whole: (text, tokens) => ({
      id: 'r',
      output: [{ type: 'message', content: [{ type: 'output_text', text }] }],
      ...(tokens !== undefined && { usage: { input_tokens: 1, output_tokens: tokens } }),
    }),
  },
  {
    path: '/v1/messages',
    body: (stream, most = 100) => ({ model: 'claude-x', stream, messages, max_tokens: most }),
    opening:
      named({
        type: 'message_start',
        message: { id: 'm', model: 'claude-x', usage: { input_tokens: 9, output_tokens: 1 } },
      }) + named({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
    delta: (text) => named({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
    closing: (tokens) =>
      named({ type: 'content_block_stop', index: 0 }) +
      named({
        type: 'message_delta',
        delta: { stop_reason: 'end_turn' },
        ...(tokens !== undefined && { usage: { output_tokens: tokens } }),
      }) +
      named({ type: 'message_stop' }),
    whole: (text, tokens) => ({
      content: [{ type: 'text', text }],
      ...(tokens !== undefined && { usage: { input_tokens: 9, output_tokens: tokens } }),
    }),
  },
];

const [entry] = basePolicy.virtualHosts;
const [rule] = entry!.rules;
const [quota] = basePolicy.quotas;
const [openAi] = basePolicy.backends;

function policyOf(random: Random) {
  const rules = [
    {
      ...rule!,
      maxRequestBodyBytes: 65_536,
      targets: [{ id: 'a', backend: 'default/openai', weight: 1, priority: 0 }],
    },
    {
      ...rule!,
      name: 'claude',
      models: ['claude-*'],
      targets: [{ id: 'b', backend: 'default/claude', weight: 1, priority: 0 }],
    },
  ];
  return {
    virtualHosts: [{ ...entry!, rules }],
    backends: [
      openAi!,
      {
        ...openAi!,
        name: 'default/claude',
        schema: 'Anthropic' as const,
        models: [{ name: 'claude-x', maxOutputTokens: 1_000, reasoningTokens: 'None' as const }],
      },
    ],
    quotas: [
      {
        ...quota!,
        limit: { ...quota!.limit, amount: random.pick([60, 300, 2_000, 100_000]) },
        unbounded: 'Allow' as const,
        onAbandon: random.pick(['Hold', 'Estimate'] as const),
      },
    ],
  };
}

/** One request from its headers to its end, one call at a time. Ends where the client leaves. */
function* story(random: Random, handler: () => ExchangeHandler, { forwarded, over }: Told): Generator<void> {
  const dialect = random.pick(dialects);
  const stream = random.next() < 0.7;
  const body = Buffer.from(
    JSON.stringify(dialect.body(stream, random.next() < 0.5 ? random.between(1, 200) : undefined)),
  );
  if (random.next() < 0.1) {
    body[random.between(0, body.length - 1)] = random.between(0, 255);
  }
  const headers: HeaderList = [
    [':method', 'POST'],
    [':path', dialect.path],
    ['x-team', 'red'],
    ...(random.next() < 0.1 ? ([['x-request-id', 'a b']] as const) : []),
  ];
  const trailers = random.next() < 0.1;
  const leaves = () => over() || random.next() < 0.01;
  handler().requestHeaders(headers, false, ENTRY);
  yield;
  for (let at = 0; at < body.length; ) {
    if (leaves()) {
      return;
    }
    const to = Math.min(body.length, at + random.between(1, body.length));
    handler().requestBody(body.subarray(at, to), to === body.length && !trailers);
    at = to;
    yield;
  }
  if (leaves()) {
    return;
  }
  if (trailers) {
    handler().requestTrailers();
  }
  // No response comes before the request is forwarded.
  while (!forwarded()) {
    yield;
    if (leaves()) {
      return;
    }
  }
  const words = random.between(0, 120);
  const tokens = random.next() < 0.6 ? words : undefined;
  const type = random.pick(
    stream ? ['text/event-stream', 'text/event-stream', 'text/plain', ''] : ['application/json'],
  );
  const status = random.next() < 0.9 ? '200' : random.pick(['400', '429', '500', '503', '204']);
  const answerHeaders: HeaderList = [[':status', status], ...(type === '' ? [] : ([['content-type', type]] as const))];
  handler().responseHeaders(answerHeaders, false, NOTHING);
  yield;
  const text = stream
    ? streamed(random, dialect, words, tokens)
    : JSON.stringify(dialect.whole(WORD.repeat(words), tokens));
  const bytes = Buffer.from(text);
  const piece = random.pick([20, 200, 5_000]);
  for (let at = 0; at < bytes.length; ) {
    if (leaves()) {
      return;
    }
    const to = Math.min(bytes.length, at + random.between(1, piece));
    handler().responseBody(Buffer.from(bytes.subarray(at, to)), to === bytes.length && random.next() < 0.9);
    at = to;
    yield;
  }
  if (random.next() < 0.5 && !leaves()) {
    handler().responseTrailers();
  }
}

function streamed(random: Random, dialect: Dialect, words: number, tokens: number | undefined): string {
  let text = dialect.opening ?? '';
  for (let made = 0; made < words; ) {
    const count = Math.min(words - made, random.between(1, 12));
    text += dialect.delta(WORD.repeat(count));
    made += count;
    if (random.next() < 0.03) {
      text += random.pick([': ping\n\n', 'data: {\n\n', 'data: {"a":1}\n\n', '\n\n']);
    }
  }
  return text + dialect.closing(tokens);
}

interface Told {
  readonly got: () => string;
  readonly exchange: Exchange;
  readonly over: () => boolean;
  readonly forwarded: () => boolean;
}

function client(): Told {
  let got = '';
  let over = false;
  let forwarded = false;
  const end = () => {
    over = true;
  };
  return {
    got: () => got,
    over: () => over,
    forwarded: () => forwarded,
    exchange: {
      ...newExchange(),
      requestHeaders: () => {
        forwarded = true;
      },
      responseBody: (bytes) => {
        got += Buffer.from(bytes).toString('latin1');
      },
      immediateResponse: end,
      end,
      abort: end,
    },
  };
}

async function run(random: Random): Promise<void> {
  let nowMs = Date.UTC(2026, 0, 1, 12);
  const rig: Rig = newRig({
    policy: policyOf(random),
    store: { nowMs: () => nowMs, onError: (error) => rig.faults.push(error) },
    shared: () => ({ now: () => nowMs, bodies: new Bodies(), compares: () => random.next() < 0.5 }),
  });
  const sessions = Array.from({ length: random.between(1, 3) }, () => {
    const told = client();
    const before = rig.records.length;
    const handler = rig.open(told.exchange);
    return {
      told,
      handler,
      before,
      steps: story(random, () => handler, told),
      record: undefined as RequestRecord | undefined,
    };
  });
  const open = [...sessions];
  const finished = (one: (typeof sessions)[number], act: () => void) => {
    const count = rig.records.length;
    act();
    // Only one session is called at a time, so a new record is its record.
    if (one.record === undefined && rig.records.length > count) {
      one.record = rig.records[count];
    }
  };
  while (open.length > 0) {
    const one = random.pick(open);
    nowMs += random.between(0, 50);
    let done = true;
    const live = liveRequest(one.handler);
    if (random.next() < 0.2) {
      live?.soFar();
    }
    finished(one, () => {
      if (random.next() < 0.01) {
        live?.stop('operator');
      }
      done = one.steps.next().done === true;
      if (done) {
        one.handler.closed(random.next() < 0.5);
      }
    });
    if (done) {
      open.splice(open.indexOf(one), 1);
    }
    if (random.next() < 0.05) {
      await nextTurn();
    }
  }
  for (let turn = 0; turn < MOST_TURNS && rig.records.length < sessions.length; turn += 1) {
    await nextTurn();
  }
  assert.deepEqual(rig.faults, []);
  assert.equal(rig.records.length, sessions.length, 'a record for each');
  assert.equal(counts(rig.store).openHolds, 0, 'nothing is held');
  assert.equal(counts(rig.store).waiting, 0, 'nobody waits');
  assert.equal(rig.shared.bodies.bytes, 0, 'nothing is kept');
  let charged = 0;
  for (const { told, record } of sessions) {
    if (record?.decision.type === 'admitted' || record?.decision.type === 'cut') {
      charged += (record.usage?.input ?? 0) + (record.usage?.output ?? 0);
    }
    if (record?.status !== 200) {
      continue;
    }
    const words = told.got().split(WORD).length - 1;
    const output = record.usage?.output ?? 0;
    assert.ok(
      output >= words,
      `${words} words for ${output} tokens: ${JSON.stringify(record)} ${told.got().slice(0, 2_000)}`,
    );
  }
  const [bucket] = rig.store.top(1, nowMs);
  if (sessions.every(({ record }) => record !== undefined)) {
    assert.equal(bucket?.spent ?? 0, charged, 'the quota store spends what the records state');
  }
  rig.store.close();
}

test('concurrent sessions release, record and charge everything', () => fuzz(4_000, run));
