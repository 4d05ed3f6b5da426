/**
 * The server behind a real Envoy in FULL_DUPLEX_STREAMED mode, whose behavior differs from the
 * documented contract in places.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import type { Exchange, ExchangeHandler } from '../exchange.ts';
import { echo } from './testing/echo.ts';
import { ENVOY, type Envoy, startEnvoy } from './testing/envoy.ts';
import { type Recorder, record } from './testing/record.ts';

const available = existsSync(ENVOY);
const LARGE = Buffer.from(Array.from({ length: 5_000_000 }, (_, index) => (index * 7 + (index >> 9)) & 0xff));

let recorder: Recorder;
let envoy: Envoy;
let handle: (exchange: Exchange) => Partial<ExchangeHandler> = echo;
/** Requests that the provider received, and how many of their responses were aborted. */
let provided = 0;
let brokenOff = 0;

function provide(request: IncomingMessage, response: ServerResponse): void {
  provided++;
  response.on('close', () => {
    if (!response.writableFinished) {
      brokenOff++;
    }
  });
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    if (request.url === '/events') {
      response.setHeader('content-type', 'text/event-stream');
      const send = (count: number): void => {
        response.write(`data: ${count}\n\n`);
        if (count === 30) {
          response.end();
        } else if (!response.destroyed) {
          setTimeout(send, 5, count + 1);
        }
      };
      send(1);
    } else if (request.url === '/endless') {
      const send = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(10_000, 'e'))) {}
      };
      response.on('drain', send);
      send();
    } else if (request.url === '/large') {
      response.end(LARGE);
    } else if (request.url === '/slow') {
      setTimeout(() => response.end(), 1000).unref();
    } else {
      response.setHeader('x-route', request.headers['x-mine'] ?? '').end(Buffer.concat(chunks));
    }
  });
}

const upstream = createServer(provide);

before(async () => {
  if (!available) {
    return;
  }
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  recorder = await record((exchange) => handle(exchange));
  envoy = await startEnvoy(recorder.server.address, (upstream.address() as AddressInfo).port, 2);
});

after(async () => {
  if (!available) {
    return;
  }
  await envoy.stop();
  await recorder.server.close(0);
  upstream.closeAllConnections();
  upstream.close();
});

function url(path: string): string {
  return `http://127.0.0.1:${envoy.throughPort}${path}`;
}

/** Returns the recorder's last exchange once it is closed. */
async function lastClosed(): Promise<string[]> {
  const { calls } = recorder.exchanges.at(-1)!;
  while (!calls.at(-1)?.startsWith('closed')) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return calls;
}

test('Envoy', { concurrency: false }, async (t) => {
  assert.ok(available, 'there is no Envoy here: run make setup');
  await t.test('passes JSON both ways, with changed headers, in order', async () => {
    let route: string | undefined;
    handle = (exchange) => ({
      ...echo(exchange),
      requestHeaders(_headers, _endOfStream, attributes) {
        route = attributes.get('xds.route_name');
        exchange.requestHeaders({ set: [['x-mine', 'set']], remove: ['user-agent'], clearRouteCache: true });
      },
      responseHeaders: () => exchange.responseHeaders({ set: [['x-answer', 'yes']] }),
    });
    const answer = await fetch(url('/'), { method: 'POST', body: '{"a":1}' });
    assert.equal(await answer.text(), '{"a":1}');
    assert.equal(answer.headers.get('x-answer'), 'yes');
    assert.equal(answer.headers.get('x-route'), 'set');
    assert.equal(route, 'everything');
    const calls = await lastClosed();
    assert.deepEqual(
      [...new Set(calls)],
      ['request-headers', 'request-body', 'response-headers', 'response-body', 'closed true'],
    );
  });

  await t.test('passes a request without body, and many on the same connections', async () => {
    handle = echo;
    for (let index = 0; index < 200; index++) {
      assert.equal((await fetch(url('/'))).status, 200);
    }
    assert.deepEqual(await lastClosed(), ['request-headers', 'response-headers', 'closed true']);
    assert.ok(recorder.server.counters.connections <= 2, 'one connection a worker');
  });

  await t.test('passes events one by one, as they arrive', async () => {
    const answer = await fetch(url('/events'), { method: 'POST', body: '{}' });
    let text = '';
    let chunks = 0;
    for await (const chunk of answer.body!) {
      text += Buffer.from(chunk).toString();
      chunks++;
    }
    assert.equal(text, Array.from({ length: 30 }, (_, index) => `data: ${index + 1}\n\n`).join(''));
    assert.ok(chunks > 10, `${chunks} chunks`);
  });

  await t.test('passes 5 MB each way unchanged', async () => {
    const up = await fetch(url('/'), { method: 'POST', body: LARGE });
    assert.ok(Buffer.from(await up.arrayBuffer()).equals(LARGE));
    const down = await fetch(url('/large'));
    assert.ok(Buffer.from(await down.arrayBuffer()).equals(LARGE));
    await lastClosed();
    while (recorder.server.unsentBytes > 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.ok(recorder.exchanges.every(({ bodies }) => bodies.every((body) => body.length <= 65_536)));
  });

  await t.test('sends an immediate response, before and after the body', async () => {
    const before = provided;
    const refuse = (exchange: Exchange): void =>
      exchange.immediateResponse({
        status: 429,
        headers: [
          ['retry-after', '7'],
          ['content-type', 'application/json'],
        ],
        body: Buffer.from('{"error":1}'),
        details: 'quota',
      });
    for (const early of [true, false]) {
      handle = (exchange) => ({
        requestHeaders: () => early && refuse(exchange),
        requestBody: (_bytes, endOfStream) => !early && endOfStream && refuse(exchange),
      });
      const answer = await fetch(url('/'), { method: 'POST', body: early ? '{}' : LARGE });
      assert.equal(answer.status, 429);
      assert.equal(answer.headers.get('retry-after'), '7');
      assert.equal(await answer.text(), '{"error":1}');
      await lastClosed();
    }
    assert.equal(provided, before);
  });

  await t.test(
    'marks its local replies, which get another body, even if they have none or the request was not seen',
    async () => {
      let seen: unknown;
      handle = (exchange) => ({
        ...echo(exchange),
        responseHeaders(_headers, endOfStream, attributes) {
          const details = attributes.get('response.code_details');
          seen = [details, attributes.get('request.path'), endOfStream];
          if (details === 'via_upstream') {
            return exchange.responseHeaders({});
          }
          exchange.responseHeaders({
            set: [['content-type', 'application/json']],
            remove: ['content-length'],
            body: Buffer.from('{"error":1}'),
          });
          exchange.end();
        },
      });
      assert.equal((await fetch(url('/'))).status, 200);
      assert.deepEqual(seen, ['via_upstream', '/', true]);
      const upgrade = { connection: 'upgrade', upgrade: 'websocket' };
      for (const [path, headers, status, details, endOfStream] of [
        ['/slow', {}, 504, 'response_timeout', false],
        ['/bare?a=b', {}, 429, 'direct_response', true],
        ['/', upgrade, 403, 'upgrade_failed', true],
      ] as const) {
        const sent = request(url(path), { headers, agent: false }).end();
        const [answer] = (await once(sent, 'response')) as [IncomingMessage];
        const body = Buffer.concat(await answer.toArray());
        assert.deepEqual(seen, [details, path, endOfStream]);
        const { 'content-type': type } = answer.headers;
        assert.deepEqual([answer.statusCode, type, String(body)], [status, 'application/json', '{"error":1}']);
      }
      const head = await fetch(url('/bare'), { method: 'HEAD' });
      assert.deepEqual([head.status, await head.text()], [429, '']);
    },
  );

  await t.test('ends a response after end_of_stream, and closes the connection to the provider', async () => {
    const before = brokenOff;
    let got = 0;
    handle = (exchange) => ({
      ...echo(exchange),
      responseBody(bytes) {
        if (got < 50_000) {
          exchange.responseBody(bytes, false);
        } else {
          exchange.responseBody(Buffer.from('[DONE]'), true);
        }
        got += bytes.length;
      },
    });
    const answer = await fetch(url('/endless'));
    const text = await answer.text();
    assert.ok(text.length > 50_000 && text.endsWith('e[DONE]'));
    const calls = await lastClosed();
    assert.equal(calls.filter((call) => call.startsWith('closed')).length, 1);
    while (brokenOff === before) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });

  await t.test('closes the exchange and the connection to the provider when a client leaves', async () => {
    handle = echo;
    const before = brokenOff;
    const leaving = new AbortController();
    const answer = await fetch(url('/events'), { signal: leaving.signal });
    await answer.body!.getReader().read();
    leaving.abort();
    const calls = await lastClosed();
    assert.equal(calls.filter((call) => call === 'response-body').length < 30, true);
    while (brokenOff === before) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });

  await t.test('answers only the affected client with 500 after an internal error', async () => {
    handle = (exchange) => ({ requestHeaders: () => exchange.abort() });
    assert.equal((await fetch(url('/'))).status, 500);
    handle = echo;
    assert.equal((await fetch(url('/'))).status, 200);
  });

  await t.test('slows down the provider of a client that does not read, and nobody else', async () => {
    handle = (exchange) => ({
      ...echo(exchange),
      responseBody(bytes, endOfStream) {
        exchange.responseBody(bytes, endOfStream);
        if (exchange.unsentBytes > 65_536) {
          exchange.pause();
        }
      },
      drained: () => exchange.resume(),
    });
    const clients = Array.from({ length: 10 }, () => request(url('/endless'), { agent: false }));
    const first = recorder.exchanges.length;
    const answers = await Promise.all(
      clients.map(async (client) => {
        client.on('error', () => {});
        client.end();
        const [answer] = (await once(client, 'response')) as [IncomingMessage];
        answer.pause();
        return answer;
      }),
    );
    const received = (): number => recorder.exchanges.slice(first).reduce((sum, { calls }) => sum + calls.length, 0);
    let before = -1;
    while (before !== received()) {
      before = received();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.ok(recorder.server.unsentBytes < 10 * 400_000, `${recorder.server.unsentBytes} bytes unsent`);
    handle = echo;
    assert.equal((await fetch(url('/'))).status, 200);
    for (const answer of answers) {
      answer.resume();
    }
    while (received() < before + 100) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const client of clients) {
      client.destroy();
    }
    while (recorder.server.openStreams > 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(recorder.server.unsentBytes, 0);
  });
});
