import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import type { RequestRecord } from '../../record.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig, type Rig } from '../testing.ts';

before(() => loadEncodings());

interface Received {
  readonly record: RequestRecord;
  readonly sent: string;
  /** The headers that were removed from the response. */
  readonly removed: readonly string[];
  readonly reply: number | undefined;
  readonly rig: Rig;
}

interface Given {
  readonly stream?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
  /** The body arrives in pieces of this size. */
  readonly size?: number;
  readonly accepts?: string;
  readonly amount?: number;
  /** The client leaves after the body. */
  readonly leaves?: boolean;
}

/** Returns what a client gets of a response, and what is charged. */
async function received({
  stream = true,
  headers = {},
  body,
  size = 64,
  accepts,
  amount = 5_000,
  leaves = false,
}: Given): Promise<Received> {
  const quota = { ...basePolicy.quotas[0]!, limit: { type: 'TotalTokens' as const, amount }, key: [] };
  const rig = newRig({ policy: { quotas: [quota] } });
  const sent: Uint8Array[] = [];
  let removed: readonly string[] = [];
  let reply: number | undefined;
  let over = false;
  let forwarded = false;
  const handler = rig.open({
    ...newExchange(),
    requestHeaders: () => {
      forwarded = true;
    },
    responseHeaders: (mutation) => {
      removed = mutation.remove ?? [];
    },
    responseBody: (bytes) => sent.push(Buffer.from(bytes)),
    immediateResponse: (response) => {
      reply = response.status;
      sent.push(response.body ?? Buffer.alloc(0));
    },
    end: () => {
      over = true;
    },
  });
  const request = `{"model":"gpt-4o-mini","stream":${stream},"messages":[{"role":"user","content":"Say it"}]}`;
  const accept = accepts === undefined ? [] : [['accept-encoding', accepts] as const];
  handler.requestHeaders([...CHAT_HEADERS, ...accept], false, ENTRY);
  handler.requestBody(Buffer.from(request), true);
  await until(() => forwarded);
  handler.responseHeaders([[':status', '200'], ...Object.entries(headers)], false, new Map());
  const bytes = Buffer.from(body as string);
  for (let at = 0; at < bytes.length; at += size) {
    const piece = Buffer.from(bytes.subarray(at, at + size));
    handler.responseBody(piece, at + size >= bytes.length && !leaves);
    piece.fill(0xdb);
  }
  if (bytes.length === 0) {
    handler.responseBody(bytes, true);
  }
  if (leaves) {
    handler.closed(false);
  }
  await until(() => rig.records.length > 0);
  assert.deepEqual(rig.faults, []);
  assert.ok(over || leaves || reply !== undefined);
  return { record: rig.records[0]!, sent: Buffer.concat(sent).toString('latin1'), removed, reply, rig };
}

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; !holds(); turn++) {
    assert.ok(turn < 1000);
    await new Promise((next) => setTimeout(next, 1));
  }
}

const charged = ({ record }: Received) => [record.usage?.input, record.usage?.output, record.source];

const word = '{"id":"c1","choices":[{"index":0,"delta":{"content":" word"}}]}';
const end = '{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}';
const usage = '{"id":"c1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":100,"total_tokens":110}}';
const events = (...data: string[]) => data.map((one) => `data: ${one}\n\n`).join('');
const EVENTS = events(...Array<string>(100).fill(word), end, usage, '[DONE]');
/** The gateway asked for the usage, and removes it again. */
const SHOWN = EVENTS.replace(`data: ${usage}\n\n`, '');
const DOCUMENT =
  '{"id":"c1","choices":[{"message":{"content":"one two three"}}],"usage":{"prompt_tokens":10,"completion_tokens":100,"total_tokens":110}}';

const TYPES: readonly (string | undefined)[] = [
  'text/event-stream; charset=utf-8',
  undefined,
  'text/plain',
  'application/x-ndjson',
  'application/octet-stream',
  'application/json',
];

function typed(type: string | undefined): Record<string, string> {
  return type === undefined ? {} : { 'content-type': type };
}

describe('a response to a request for a stream', () => {
  for (const type of TYPES) {
    it(`is counted whatever its content type: ${type}`, async () => {
      for (const size of [1, 7, 100_000]) {
        const response = await received({ headers: { ...typed(type), 'content-length': '7' }, body: EVENTS, size });
        assert.deepEqual(charged(response), [10, 100, 'provider']);
        assert.equal(response.sent, SHOWN);
        assert.ok(response.removed.includes('content-length'));
        assert.equal(response.record.unmetered, false);
      }
    });

    it(`is truncated at the end of a budget whatever its content type: ${type}`, async () => {
      const response = await received({ headers: typed(type), body: EVENTS, amount: 60 });
      assert.equal(response.record.decision.type, 'cut');
      assert.match(response.sent, /"finish_reason":"length"[^\n]*\n\ndata: \[DONE\]\n\n$/);
      assert.ok(response.sent.length < SHOWN.length / 2);
    });

    it(`may be one document instead: ${type}`, async () => {
      for (const body of [DOCUMENT, ` \n${DOCUMENT}`, `[${DOCUMENT}`.slice(1)]) {
        const response = await received({ headers: typed(type), body, size: 1 });
        assert.deepEqual(charged(response), [10, 100, 'provider']);
        assert.equal(response.sent, body);
      }
    });
  }

  it('is read if it is compressed, although plain text was asked for', async () => {
    for (const [encoding, bytes] of [
      ['gzip', gzipSync(EVENTS)],
      ['Identity, BR', brotliCompressSync(EVENTS)],
    ] as const) {
      const response = await received({ headers: { 'content-encoding': encoding }, body: bytes });
      assert.deepEqual(charged(response), [10, 100, 'provider']);
      assert.equal(response.sent, SHOWN);
      assert.ok(response.removed.includes('content-encoding'));
    }
    const whole = await received({ headers: { 'content-encoding': 'gzip' }, body: gzipSync(DOCUMENT) });
    assert.deepEqual(charged(whole), [10, 100, 'provider']);
    assert.equal(whole.sent, DOCUMENT);
  });

  for (const encoding of ['lz4', 'gzip, br', 'garbage']) {
    it(`is refused in an encoding that cannot be read: ${encoding}`, async () => {
      const response = await received({ headers: { 'content-encoding': encoding }, body: EVENTS });
      assert.equal(response.reply, 502);
      assert.match(response.sent, /"code":"unreadable_answer"/);
      // The provider has generated output nevertheless.
      assert.ok((response.record.usage?.output ?? 0) > 0);
    });
  }

  it('ends with an error if it does not match its encoding', async () => {
    const response = await received({ headers: { 'content-encoding': 'gzip' }, body: EVENTS });
    assert.match(response.sent, /"code":"unreadable_answer"/);
    assert.equal(response.record.failure?.code, 'unreadable_answer');
    assert.equal(response.record.unmetered, true);
    assert.ok((response.record.usage?.output ?? 0) >= EVENTS.length / 3);
  });

  it('is charged by its bytes if it is neither events nor a document', async () => {
    const lines = `${DOCUMENT.replace(/,"usage.*/, '}')}\n`.repeat(50);
    const response = await received({ headers: typed('application/x-ndjson'), body: lines });
    assert.equal(response.sent, lines);
    assert.equal(response.record.unmetered, true);
    assert.ok((response.record.usage?.output ?? 0) >= lines.length / 3);
  });

  it('may be empty', async () => {
    const response = await received({ body: '' });
    assert.equal(response.record.usage?.output, 0);
    assert.equal(response.sent, '');
  });
});

describe('a response to a request for a document', () => {
  for (const type of TYPES) {
    it(`is counted whatever its content type, and passes unchanged: ${type}`, async () => {
      for (const body of [DOCUMENT, `\n\n ${DOCUMENT}`, EVENTS, `: waiting\n\n${EVENTS}`]) {
        const response = await received({ stream: false, headers: typed(type), body, size: 5 });
        assert.deepEqual(charged(response), [10, 100, 'provider']);
        assert.equal(response.sent, body);
      }
    });
  }

  it('is charged up to the byte at which its client leaves, also within an event', async () => {
    const words = 3_000;
    const body = `data: {"id":"c1","choices":[{"index":0,"delta":{"content":"${' word'.repeat(words)}`;
    const response = await received({
      stream: false,
      headers: typed('application/json'),
      body,
      amount: 1_000,
      leaves: true,
    });
    assert.equal(response.sent, body);
    assert.ok((response.record.usage?.output ?? 0) >= words, JSON.stringify(response.record.usage));
  });

  it('is read while its compressed bytes pass', async () => {
    for (const body of [DOCUMENT, EVENTS]) {
      const bytes = gzipSync(body);
      const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
      const response = await received({ stream: false, headers, body: bytes });
      assert.deepEqual(charged(response), [10, 100, 'provider']);
      assert.equal(response.sent, bytes.toString('latin1'));
      assert.deepEqual(response.removed, []);
    }
  });

  it('passes in an encoding that its client accepts, and is charged by its bytes', async () => {
    const response = await received({
      stream: false,
      headers: { 'content-encoding': 'lz4' },
      body: DOCUMENT,
      accepts: 'gzip, LZ4;q=0.5',
    });
    assert.equal(response.sent, DOCUMENT);
    assert.equal(response.record.unmetered, true);
    assert.ok((response.record.usage?.output ?? 0) >= DOCUMENT.length / 3);
    const refused = await received({ stream: false, headers: { 'content-encoding': 'lz4' }, body: DOCUMENT });
    assert.equal(refused.reply, 502);
  });

  it('is charged by its bytes if nothing in it is known', async () => {
    for (const body of [`{"answer":"${'word '.repeat(100)}"}`, `<html>${'word '.repeat(100)}`]) {
      const response = await received({ stream: false, headers: typed('application/json'), body });
      assert.equal(response.sent, body);
      assert.equal(response.record.unmetered, true);
      assert.ok((response.record.usage?.output ?? 0) >= body.length / 3);
    }
  });
});
