/**
 * Responses of broken or hostile providers, each slightly different by its seed. All of them end,
 * by their reader or at a bound.
 */
import type http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import zlib from 'node:zlib';
import type { Random } from '../../../../tools/fuzz/random.ts';
import { roomIn } from '../flow.ts';
import type { Seen } from '../seen.ts';
import { wordsOf } from '../words.ts';

const MOST_EVENTS = 4_000;
const SSE = { 'content-type': 'text/event-stream' };

type Send = (response: http.ServerResponse, record: Seen, stream: boolean, random: Random) => Promise<void> | void;

export const mixedAnswers = {
  /** Bytes that are not events, events that are not JSON, JSON that is not a chunk. */
  'broken-sse': async (response, record, _stream, random) => {
    response.writeHead(200, SSE);
    for (let index = random.between(5, 60); index > 0 && !response.destroyed; index -= 1) {
      const event = delta(wordsOf(2));
      const broken = random.pick([
        () => event.slice(0, random.between(1, event.length)),
        () => `data: ${'{'.repeat(random.between(1, 300))}\n\n`,
        () =>
          `data: ${random.pick(['null', '[]', '12', '"x"', '{"choices":5}', '{"choices":[null]}', '{"usage":[]}'])}\n\n`,
        () => random.bytes(random.between(1, 400)),
        () => `:${'c'.repeat(random.between(0, 3_000))}\n\n`,
        () => `event: error\ndata: {"error":{"message":"no"}}\n\n`,
        () => '\r\n\r\n\n\r',
        () => event,
      ])();
      await write(response, broken);
    }
    end(response, record);
  },
  /** Writes as fast as the reader reads. */
  'endless-stream': async (response, record) => {
    response.writeHead(200, SSE);
    for (let index = 0; index < MOST_EVENTS && !response.destroyed; index += 1) {
      await write(response, delta(wordsOf(8, index * 8)));
      record.outputTokens += 8;
    }
    end(response, record);
  },
  /** A stream in pieces of a few bytes, some inside a character. */
  drip: async (response, record, _stream, random) => {
    response.writeHead(200, SSE);
    const bytes = Buffer.from([1, 2, 3].map((index) => delta(`${wordsOf(3, index * 3)}ü`)).join('') + DONE);
    for (let at = 0; at < bytes.length && !response.destroyed; ) {
      const to = at + random.between(1, 24);
      await write(response, bytes.subarray(at, to));
      at = to;
      await sleep(random.between(1, 40));
    }
    end(response, record);
  },
  /** More output than requested, or invalid numbers. */
  'wrong-usage': async (response, record, stream, random) => {
    const text = wordsOf(30);
    const number = () => random.pick(['-5', '1e300', '0.5', 'null', '"7"', '9007199254740993', '[]', '1e999']);
    const usage = `{"prompt_tokens":${number()},"completion_tokens":${number()},"total_tokens":${number()}}`;
    record.outputTokens += 30;
    if (stream) {
      response.writeHead(200, SSE);
      await write(response, `${delta(text)}data: {"id":"m","choices":[],"usage":${usage}}\n\n${DONE}`);
    } else {
      response.writeHead(200, { 'content-type': 'application/json' });
      await write(
        response,
        `{"id":"m","choices":[{"index":0,"message":{"role":"assistant","content":"${text}"}}],"usage":${usage}}`,
      );
    }
    end(response, record);
  },
  /** Declares gzip, br and others, and is not compressed or only at its beginning. */
  'wrong-encoding': async (response, record, _stream, random) => {
    const encoding = random.pick(['gzip', 'br', 'zstd', 'deflate', 'gzip, br', 'x-unknown', 'GZIP', '']);
    response.writeHead(200, { ...SSE, 'content-encoding': encoding });
    const packed = zlib.gzipSync(delta(wordsOf(50)).repeat(40));
    await write(
      response,
      random.pick([packed.subarray(0, random.between(2, packed.length)), random.bytes(500), delta(wordsOf(5))]),
    );
    end(response, record);
  },
  /** A stream without a content type of a stream. */
  untyped: async (response, record, _stream, random) => {
    const type = random.pick([
      'text/plain',
      'application/json',
      'application/octet-stream',
      'application/x-ndjson',
      '',
    ]);
    response.writeHead(200, type === '' ? {} : { 'content-type': type });
    for (let index = 0; index < 20 && !response.destroyed; index += 1) {
      await write(response, delta(wordsOf(3, index * 3)));
      record.outputTokens += 3;
      await sleep(random.between(0, 5));
    }
    await write(response, DONE);
    end(response, record);
  },
  /** Not HTTP, or nothing after the head. */
  'no-http': async (response, record, _stream, random) => {
    const socket = response.socket;
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
    const text = random.pick([
      'SSH-2.0-OpenSSH_9.9\r\n',
      `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(300)}\r\n`,
      `HTTP/1.1 200 OK\r\nx-large: ${'a'.repeat(100_000)}\r\n\r\n`,
      'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 50\r\n\r\nhello',
      'HTTP/1.1 999 \r\n\r\n',
      'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(50),
      `${head}zz\r\n`,
      `${head}ffffffffffff\r\n${delta(' a')}`,
      `${head}5\r\n`,
    ]);
    socket?.write(text);
    await sleep(random.between(0, 50));
    record.endedAtMs = performance.now();
    socket?.destroy();
  },
  /** Statuses and headers that a response of this API never has. */
  'odd-head': (response, record, _stream, random) => {
    record.endedAtMs = performance.now();
    response.writeHead(random.pick([201, 204, 206, 301, 304, 418, 500, 503, 529, 599]), {
      'content-type': 'text/html',
      'retry-after': random.pick(['-1', 'soon', '1e9']),
      'x-tallygate-route': 'default/other',
      'x-tallygate-reply': 'UF made_up -',
      'x-request-id': 'x'.repeat(5_000),
      'set-cookie': ['a=b', 'c=d'],
    });
    response.end('<html>');
  },
} as const satisfies Readonly<Record<string, Send>>;

export type MixedAnswer = keyof typeof mixedAnswers;

const DONE = 'data: [DONE]\n\n';

function delta(text: string): string {
  return `data: {"id":"m","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"${text}"},"finish_reason":null}]}\n\n`;
}

async function write(response: http.ServerResponse, bytes: string | Uint8Array): Promise<void> {
  if (!response.destroyed && !response.write(bytes)) {
    await roomIn(response);
  }
}

function end(response: http.ServerResponse, record: Seen): void {
  if (response.destroyed) {
    return;
  }
  record.endedAtMs = performance.now();
  response.end();
}
