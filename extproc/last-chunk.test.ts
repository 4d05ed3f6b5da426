/**
 * The last chunk of a body that Envoy delivers twice (envoy #46237), through the real server:
 * nothing is forwarded or charged twice.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, mock } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import * as grpc from '@grpc/grpc-js';
import { parse } from 'yaml';
import type { GatewayPolicy } from '../contract/policy.ts';
import { type Extproc, startExtproc } from './main.ts';
import type { OpenHold } from './quota/bucket.ts';
import { bucketRef } from './quota/keys.ts';
import { MemoryStore } from './quota/memory.ts';
import type { BucketRef, Decision } from './quota/store.ts';
import { granted } from './quota/testing.ts';
import { drawOn } from './quota/units.ts';
import type { RequestRecord } from './record.ts';
import { type Call, type Client, grpcClient, type Message } from './server/testing/grpc.ts';

const LIMIT = 1_000;
const policy = parse(readFileSync(new URL('./session/testdata/base.yaml', import.meta.url), 'utf8')) as GatewayPolicy;
const quota = {
  ...policy.quotas[0]!,
  window: { type: 'Lifetime' as const },
  queueTimeoutMs: 5_000,
  unmetered: 'Allow' as const,
};

let folder: string;
let extproc: Extproc;
let client: Client;
const records: RequestRecord[] = [];
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tallygate-'));
  const path = join(folder, 'extproc.sock');
  const quiet = () => {};
  extproc = await startExtproc({
    listen: { path },
    journalPath: undefined,
    finished: (record) => records.push(record),
    log: {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: (data, message) => assert.fail(`${message} ${JSON.stringify(data)}`),
    },
  });
  extproc.apply({ ...policy, formatVersion: 6, version: 'test', quotas: [quota] }, { epoch: 0, counter: 1 });
  client = grpcClient(path);
});
after(async () => {
  client?.close();
  await extproc?.close(1_000);
  rmSync(folder, { recursive: true, force: true });
});

const direction = { request: 'request_body', response: 'response_body' } as const;

/** One call as Envoy sends it, and all answers. */
class Exchanged {
  readonly messages: Message[] = [];
  readonly ended: Promise<grpc.status>;
  readonly #call: Call;

  constructor() {
    this.#call = client.process();
    this.#call.on('data', (message: Message) => this.messages.push(message));
    this.#call.on('error', () => {});
    this.ended = new Promise((resolve) => this.#call.once('status', ({ code }) => resolve(code)));
  }

  headers(kind: 'request_headers' | 'response_headers', list: Readonly<Record<string, string>>): void {
    const headers = Object.entries(list).map(([key, value]) => ({ key, raw_value: Buffer.from(value) }));
    const attributes = { 'envoy.filters.http.ext_proc': { fields: { 'xds.route_name': { stringValue: 'entry' } } } };
    this.#call.write({ [kind]: { headers: { headers } }, ...(kind === 'request_headers' && { attributes }) });
  }

  body(of: keyof typeof direction, bytes: Uint8Array | string, end: boolean): void {
    this.#call.write({ [direction[of]]: { body: Buffer.from(bytes), end_of_stream: end } });
  }

  /** Waits until the body is forwarded to its end. */
  wholly(of: keyof typeof direction): Promise<void> {
    return until(() => this.sent(of).ends > 0);
  }

  /** What is forwarded, and how many times it ends. */
  sent(of: keyof typeof direction): { readonly bytes: Buffer; readonly ends: number } {
    const pieces = this.messages.flatMap((message) => {
      const answer = message[direction[of]] as Streamed | undefined;
      return answer === undefined ? [] : [answer.response.body_mutation.streamed_response];
    });
    return {
      bytes: Buffer.concat(pieces.map(({ body }) => body ?? Buffer.alloc(0))),
      ends: pieces.filter((piece) => piece.end_of_stream === true).length,
    };
  }

  /** Envoy has everything that it needs. */
  async close(): Promise<grpc.status> {
    this.#call.end();
    return this.ended;
  }
}

/** Fails by the test's own timeout. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await sleep(5);
  }
}

interface Streamed {
  readonly response: {
    readonly body_mutation: {
      readonly streamed_response: { readonly body?: Buffer; readonly end_of_stream?: boolean };
    };
  };
}

const chat = '/v1/chat/completions';
const asked = (more = '') =>
  `{"model":"gpt-4o-mini","max_tokens":600,${more}"messages":[{"role":"user","content":"Hello"}]}`;
const usage = '"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}';
const json = `{"id":"c","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"a b c"},"finish_reason":"stop"}],${usage}}`;
const streamed = [
  'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a b c"},"finish_reason":null}]}\n\n',
  `data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: {"id":"c","choices":[],${usage}}\n\ndata: [DONE]\n\n`,
] as const;

function begin(team: string, path = chat): Exchanged {
  const exchange = new Exchanged();
  exchange.headers('request_headers', { ':method': 'POST', ':path': path, 'x-team': team });
  return exchange;
}

function bucketOf(team: string): BucketRef {
  return bucketRef(quota, [team]);
}

/** Returns the spent part of a team's budget; nothing may be held. */
function spentBy(team: string): number {
  const state = extproc.store.top(1_000, Date.now()).find(({ bucket }) => bucket.values.includes(team));
  assert.equal(state?.held, 0, 'nothing is held');
  return state.spent;
}

/** Returns the record of the only request that has ended since. */
async function onlyOutcome(): Promise<RequestRecord> {
  await until(() => records.length > 0);
  const [record, ...more] = records.splice(0);
  assert.ok(record !== undefined && more.length === 0, `${more.length} more`);
  return record;
}

/** The complete answer to a forwarded request. */
async function answered(exchange: Exchanged, text = json): Promise<void> {
  exchange.headers('response_headers', { ':status': '200', 'content-type': 'application/json' });
  exchange.body('response', text, true);
  await exchange.wholly('response');
}

describe('a request whose last chunk comes twice', () => {
  const whole = asked();
  const [first, last] = [whole.slice(0, 40), whole.slice(40)];

  for (const [moment, wait] of [
    ['at once', async () => {}],
    ['when the request has gone on', (exchange: Exchanged) => exchange.wholly('request')],
    ['within the answer', (exchange: Exchanged) => answered(exchange)],
  ] as const) {
    it(`chat, ${moment}`, async () => {
      const team = `chat ${moment}`;
      const exchange = begin(team);
      exchange.body('request', first, false);
      exchange.body('request', last, true);
      await wait(exchange);
      exchange.body('request', last, true);
      await exchange.wholly('request');
      if (exchange.sent('response').ends === 0) {
        await answered(exchange);
      }
      assert.equal(await exchange.close(), grpc.status.OK);
      assert.deepEqual(exchange.sent('request'), { bytes: Buffer.from(whole), ends: 1 });
      assert.deepEqual(exchange.sent('response'), { bytes: Buffer.from(json), ends: 1 });
      assert.equal((await onlyOutcome()).usage?.output, 3);
      assert.equal(spentBy(team), 12);
    });
  }

  it('chat that waits in the queue of a quota', async () => {
    const team = 'queue';
    const hold = await held(team, LIMIT);
    const exchange = begin(team);
    exchange.body('request', whole, true);
    exchange.body('request', whole, true);
    await sleep(50);
    assert.equal(exchange.messages.length, 0);
    extproc.store.settle(hold, { amounts: [1], cause: 'in_flight' }, Date.now(), () => {});
    extproc.store.flush();
    await exchange.wholly('request');
    await answered(exchange);
    assert.equal(await exchange.close(), grpc.status.OK);
    assert.equal(exchange.sent('request').ends, 1);
    assert.equal(spentBy(team), 1 + 12);
    await onlyOutcome();
  });

  it('a refused request: one refusal', async () => {
    const exchange = begin('refused');
    exchange.body('request', '{"model":"nobody"}', true);
    exchange.body('request', '{"model":"nobody"}', true);
    await until(() => exchange.messages.length > 0);
    await exchange.close();
    assert.deepEqual(
      exchange.messages.map((message) => Object.keys(message).filter((name) => name === 'immediate_response').length),
      [1],
    );
    assert.equal((await onlyOutcome()).status, 404);
  });

  it('a passthrough request', async () => {
    const team = 'passthrough';
    const exchange = begin(team, '/v1/batches');
    exchange.body('request', 'some', false);
    exchange.body('request', 'thing', true);
    exchange.body('request', 'thing', true);
    await exchange.wholly('request');
    await answered(exchange);
    assert.equal(await exchange.close(), grpc.status.OK);
    assert.deepEqual(exchange.sent('request'), { bytes: Buffer.from('something'), ends: 1 });
    assert.equal((await onlyOutcome()).requestBytes, 'something'.length);
  });
});

describe('an answer whose last chunk comes twice', () => {
  async function forwarded(team: string, more = ''): Promise<Exchanged> {
    const exchange = begin(team);
    exchange.body('request', asked(more), true);
    await exchange.wholly('request');
    return exchange;
  }

  for (const [name, encoding, bytes] of [
    ['JSON', undefined, Buffer.from(json)],
    ['compressed JSON', 'gzip', gzipSync(json)],
  ] as const) {
    it(name, async () => {
      const exchange = await forwarded(name);
      exchange.headers('response_headers', {
        ':status': '200',
        'content-type': 'application/json',
        ...(encoding && { 'content-encoding': encoding }),
      });
      exchange.body('response', bytes.subarray(0, 60), false);
      exchange.body('response', bytes.subarray(60), true);
      exchange.body('response', bytes.subarray(60), true);
      await exchange.wholly('response');
      assert.equal(await exchange.close(), grpc.status.OK);
      assert.deepEqual(exchange.sent('response'), { bytes, ends: 1 });
      assert.deepEqual([(await onlyOutcome()).usage?.output, spentBy(name)], [3, 12]);
    });
  }

  it('an error of the provider', async () => {
    const exchange = await forwarded('error');
    exchange.headers('response_headers', { ':status': '500', 'content-type': 'application/json' });
    for (let time = 0; time < 2; time += 1) {
      exchange.body('response', '{"error":{}}', true);
    }
    await exchange.wholly('response');
    assert.equal(await exchange.close(), grpc.status.OK);
    assert.deepEqual(exchange.sent('response'), { bytes: Buffer.from('{"error":{}}'), ends: 1 });
    assert.deepEqual([(await onlyOutcome()).status, spentBy('error')], [500, 0]);
  });

  const streamOf = '"stream":true,"stream_options":{"include_usage":true},';

  it('a stream', async () => {
    const exchange = await forwarded('stream', streamOf);
    exchange.headers('response_headers', { ':status': '200', 'content-type': 'text/event-stream' });
    for (const bytes of streamed) {
      exchange.body('response', bytes, bytes === streamed[1]);
    }
    exchange.body('response', streamed[1], true);
    await exchange.wholly('response');
    assert.equal(await exchange.close(), grpc.status.OK);
    assert.deepEqual(exchange.sent('response'), { bytes: Buffer.from(streamed.join('')), ends: 1 });
    assert.deepEqual([(await onlyOutcome()).usage?.output, spentBy('stream')], [3, 12]);
  });

  it('a stream whose quota store answers later', async () => {
    const team = 'waiting';
    const exchange = await forwarded(team, streamOf);
    const { store } = extproc;
    let answer: (() => void) | undefined;
    mock.method(store, 'extend', (...[hold, output, atMs, done]: Parameters<MemoryStore['extend']>) => {
      answer = () => MemoryStore.prototype.extend.call(store, hold, output, atMs, done);
      return () => {};
    });
    exchange.headers('response_headers', { ':status': '200', 'content-type': 'text/event-stream' });
    const long = streamed[0].replace('a b c', ' word'.repeat(600));
    exchange.body('response', long + streamed[1].replace('"completion_tokens":3', '"completion_tokens":600'), true);
    exchange.body('response', streamed[1], true);
    await until(() => exchange.messages.some((message) => 'response_headers' in message));
    await sleep(50);
    assert.equal(exchange.sent('response').ends, 0);
    mock.restoreAll();
    answer?.();
    await exchange.wholly('response');
    assert.equal(await exchange.close(), grpc.status.OK);
    const { bytes, ends } = exchange.sent('response');
    assert.equal(ends, 1);
    assert.equal(String(bytes).split('[DONE]').length - 1, 1, String(bytes));
    assert.deepEqual([(await onlyOutcome()).usage?.output, spentBy(team)], [600, 609]);
  });
});

/** Holds this part of a team's budget elsewhere. */
async function held(team: string, tokens: number): Promise<OpenHold> {
  const decision = await new Promise<Decision>((resolve) => {
    extproc.store.reserve(
      {
        id: `${team} of others`,
        atMs: Date.now(),
        draws: [drawOn(bucketOf(team), undefined, 1)],
        inputTokens: tokens,
        inputCounted: true,
        output: { mode: 'none', want: 0, least: 0 },
      },
      resolve,
    );
  });
  return granted(decision).hold as OpenHold;
}
