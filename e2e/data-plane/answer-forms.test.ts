/**
 * Providers send responses with the wrong content type. Responses are counted and cut by their
 * content, not by their headers.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { call } from './support/client.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { backend, quotaPolicy, route, teamQuota } from './support/resources.ts';

const WORDS = 200;
const word = '{"id":"c1","choices":[{"index":0,"delta":{"content":" word"}}]}';
const end = '{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}';
const usage = `{"id":"c1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":${WORDS},"total_tokens":${WORDS + 10}}}`;
const events = (...data: string[]) => data.map((one) => `data: ${one}\n\n`).join('');
const EVENTS = events(...Array<string>(WORDS).fill(word), end, usage, '[DONE]');
const UNTOLD = events(...Array<string>(WORDS).fill(word), end, '[DONE]');
const DOCUMENT = `{"id":"c1","choices":[{"message":{"content":"one"}}],"usage":{"prompt_tokens":10,"completion_tokens":${WORDS},"total_tokens":${WORDS + 10}}}`;

const TYPES = [undefined, 'text/plain', 'application/x-ndjson', 'application/octet-stream', 'application/json'];

let answer: { readonly status?: number; readonly headers: http.OutgoingHttpHeaders; readonly body: string | Buffer };
let provider: http.Server;
let gateway: Gateway;

before(async () => {
  provider = http.createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(answer.status ?? 200, answer.headers).end(answer.body));
  });
  await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
  const { port } = provider.address() as AddressInfo;
  gateway = await startGateway([
    backend('some', { port }),
    route('plenty', [{ name: 'plenty', models: ['plenty'], backendRefs: [{ name: 'some' }] }]),
    route('short', [{ name: 'short', models: ['short'], backendRefs: [{ name: 'some' }] }]),
    quotaPolicy('plenty', 'plenty', [
      { name: 'tokens', limit: { type: 'TotalTokens', amount: 1_000_000 }, window: { type: 'Lifetime' } },
    ]),
    quotaPolicy('short', 'short', [teamQuota('tokens', 'OutputTokens', 60)]),
  ]);
});
after(async () => {
  await gateway?.stop();
  provider?.close();
});

function ask(model: string, stream: boolean, headers: Readonly<Record<string, string>> = {}) {
  const body = { model, stream, messages: [{ role: 'user', content: 'Say it' }] };
  return gateway.recordOf(() => call(`${gateway.url}/v1/chat/completions`, body, { headers }));
}

function gives(body: string | Buffer, type?: string, encoding?: string): void {
  const headers = {
    ...(type !== undefined && { 'content-type': type }),
    ...(encoding !== undefined && { 'content-encoding': encoding }),
  };
  answer = { headers, body };
}

const shown = EVENTS.replace(`data: ${usage}\n\n`, '');

describe('a requested stream', () => {
  for (const [place, type] of TYPES.entries()) {
    it(`is counted and cut as ${type}`, async () => {
      gives(EVENTS, type);
      const { result, record } = await ask('plenty', true);
      assert.equal(result.text, shown);
      assert.deepEqual([record.outputTokens, record.source], [WORDS, 'provider']);
      gives(UNTOLD, type);
      const cut = await ask('short', true, { 'x-team': `team-${place}` });
      assert.match(cut.result.text, /"finish_reason":"length"[^\n]*\n\ndata: \[DONE\]\n\n$/);
      assert.equal(cut.record.outputTokens, 60);
    });

    it(`may arrive as one document as ${type}`, async () => {
      gives(DOCUMENT, type);
      const { result, record } = await ask('plenty', true);
      assert.equal(result.text, DOCUMENT);
      assert.deepEqual([record.outputTokens, record.source], [WORDS, 'provider']);
    });
  }

  it('is read compressed, as a stream and as one document', async () => {
    for (const [body, sent] of [
      [EVENTS, shown],
      [DOCUMENT, DOCUMENT],
    ] as const) {
      gives(gzipSync(body), undefined, 'gzip');
      const { result, record } = await ask('plenty', true);
      assert.equal(result.text, sent);
      assert.equal(result.headers['content-encoding'], undefined);
      assert.deepEqual([record.outputTokens, record.source], [WORDS, 'provider']);
    }
  });

  for (const encoding of ['lz4', 'gzip, br']) {
    it(`gets 502 in an encoding that cannot be counted: ${encoding}`, async () => {
      gives(EVENTS, 'text/event-stream', encoding);
      const { result, record } = await ask('plenty', true);
      assert.equal(result.status, 502);
      assert.equal(result.json.error.code, 'unreadable_answer');
      assert.ok((record.outputTokens ?? 0) > 0);
    });
  }

  it('ends with an error if the content does not match its encoding', async () => {
    gives(EVENTS, 'text/event-stream', 'gzip');
    const { result, record } = await ask('plenty', true);
    assert.match(result.text, /unreadable_answer/);
    assert.ok((record.outputTokens ?? 0) >= EVENTS.length / 3);
    assert.match(record.line, /"unmetered":true/);
  });
});

describe('a requested unary response', () => {
  for (const type of TYPES) {
    it(`passes unchanged and is counted, as a document or as events, as ${type}`, async () => {
      for (const body of [DOCUMENT, EVENTS]) {
        gives(body, type);
        const { result, record } = await ask('plenty', false);
        assert.equal(result.text, body);
        assert.deepEqual([record.outputTokens, record.source], [WORDS, 'provider']);
      }
    });
  }

  it('is charged by its bytes if its content is unknown', async () => {
    const body = '<html>'.repeat(100);
    gives(body, 'application/json');
    const { result, record } = await ask('plenty', false);
    assert.equal(result.text, body);
    assert.ok((record.outputTokens ?? 0) >= body.length / 3);
    assert.match(record.line, /"unmetered":true/);
  });
});

it('an invalid bound on tokens is refused with the provider’s own error', async () => {
  const body = '{"error":{"message":"max_tokens must be positive","type":"invalid_request_error","code":"own"}}';
  answer = { status: 400, headers: { 'content-type': 'application/json' }, body };
  for (const max_tokens of [-1, 0.5]) {
    const asked = { model: 'plenty', max_tokens, messages: [{ role: 'user', content: 'Say it' }] };
    const { result, record } = await gateway.recordOf(() => call(`${gateway.url}/v1/chat/completions`, asked));
    assert.equal(result.status, 400);
    assert.equal(result.text, body);
    assert.equal(record.outputTokens ?? 0, 0);
  }
});

describe('an event of several megabytes', () => {
  const image = 'A'.repeat(3 << 20);
  const named = (data: { readonly type: string }) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

  it('passes an image unchanged and reads its usage', async () => {
    const item = { type: 'image_generation_call', id: 'ig_1', status: 'completed', result: image };
    const stream = [
      { type: 'response.created', response: { id: 'resp_1', output: [] } },
      { type: 'response.image_generation_call.partial_image', output_index: 0, partial_image_b64: image },
      { type: 'response.output_item.done', output_index: 0, item },
      {
        type: 'response.completed',
        response: { id: 'resp_1', output: [item], usage: { input_tokens: 10, output_tokens: 20, total_tokens: 30 } },
      },
    ];
    gives(stream.map(named).join(''), 'text/event-stream');
    const { result, record } = await gateway.recordOf(() =>
      call(
        `${gateway.url}/v1/responses`,
        { model: 'short', stream: true, input: 'Draw' },
        { headers: { 'x-team': 'image' } },
      ),
    );
    assert.ok(result.complete);
    assert.equal(result.text, answer.body);
    assert.deepEqual([record.inputTokens, record.outputTokens, record.source], [10, 20, 'provider']);
  });

  it('is cut inside text that is beyond the budget', async () => {
    gives(`data: {"id":"c1","choices":[{"index":0,"delta":{"content":"${'word '.repeat(600_000)}"}}]}\n\n`);
    const { result, record } = await ask('short', true, { 'x-team': 'long' });
    assert.ok(result.complete);
    assert.ok(result.text.length < 1_000);
    assert.ok(result.text.endsWith('data: [DONE]\n\n'));
    assert.equal(record.decision, 'cut');
  });
});
