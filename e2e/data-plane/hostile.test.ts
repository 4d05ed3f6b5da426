/**
 * Hostile clients and providers: a clear refusal in the shape of the API, bounded memory and time,
 * and no remaining hold.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import zlib from 'node:zlib';
import { call, open } from './support/client.ts';
import { bomb } from './support/hostile-answers.ts';
import { hostileBodies } from './support/hostile-bodies.ts';
import { chat, limitedRoute, recordsOf } from './support/limits.ts';
import { forgetPeak, memoryOf } from './support/processes.ts';
import { head, rawCall } from './support/raw-client.ts';
import { backend, quotaPolicy, route, teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { MODEL, startWorld, type World } from './support/world.ts';

const MEGABYTE = 1 << 20;
const MEMORY_BYTES = 250 * MEGABYTE;
/**
 * The process buffers up to 128 MB of request bodies on top of its own memory, and returns their
 * pages late.
 */
const KEPT_BODIES_MEMORY_BYTES = 450 * MEGABYTE;
const UPLOAD_BYTES = 1024 * MEGABYTE;
/**
 * The maximum time of a small request beside hostile ones: far below a blocked event loop, far
 * above a busy CI machine.
 */
const BESIDE_MS = 600;

let world: World;
let extproc: number;
let bound = MEMORY_BYTES;
before(async () => {
  world = await startWorld([
    ...limitedRoute({
      large: { quotas: [teamQuota('tokens', 'TotalTokens', 10_000_000_000)] },
      near: { quotas: [teamQuota('tokens', 'TotalTokens', 190_000)] },
      bounded: {
        quotas: [teamQuota('tokens', 'TotalTokens', 10_000_000_000)],
        more: { requestLimits: { inputTokens: 20_000 } },
      },
    }),
    route('tiny', [{ name: 'tiny', models: ['tiny'], backendRefs: [{ name: 'openai', model: MODEL }] }], {
      maxRequestBodySize: '64Ki',
    }),
    quotaPolicy('sized', 'sized', [], { requestLimits: { bodySize: '32Ki' } }),
    route('sized', [{ name: 'sized', models: ['sized'], backendRefs: [{ name: 'openai', model: MODEL }] }]),
    backend('unused', { port: 9 }),
  ]);
  extproc = world.gateway.extprocPid();
  for (const stream of [false, true]) {
    bomb(stream);
  }
});
after(async () => {
  await world?.stop();
});
beforeEach(() => {
  bound = MEMORY_BYTES;
  forgetPeak(extproc);
});
afterEach((context) => {
  assert.equal(world.gateway.extprocPid(), extproc, 'extproc did not survive');
  const { peakBytes, residentBytes } = memoryOf(extproc);
  if ('diagnostic' in context) {
    context.diagnostic(`extproc: peak ${peakBytes >> 20} MB, now ${residentBytes >> 20} MB`);
  }
  assert.ok(peakBytes <= bound, `peak of extproc: ${peakBytes >> 20} MB`);
});

async function nothingHeld(): Promise<void> {
  await waitFor('release of all holds', async () => (await world.gateway.metrics()).held() === 0, 5_000);
  await waitFor('end of all upstream requests', () => world.provider.openCount() === 0, 5_000);
}

/** Returns the slowest of the small requests that run during `work`. */
async function beside<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly slowestMs: number }> {
  let over = false;
  let slowestMs = 0;
  const small = (async () => {
    while (!over) {
      const startedMs = performance.now();
      const { status } = await chat(world, 'large', { team: 'beside', mock: { tokens: 1 } });
      assert.equal(status, 200);
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
      await sleep(5);
    }
  })();
  const result = await work();
  over = true;
  await small;
  return { result, slowestMs };
}

describe('hostile bodies', () => {
  const shapes = {
    // biome-ignore lint/suspicious/noExplicitAny: an error document.
    '/v1/chat/completions': (json: any) =>
      [typeof json.error.message, typeof json.error.type, typeof json.error.code].every((one) => one === 'string'),
    // biome-ignore lint/suspicious/noExplicitAny: an error document.
    '/v1/messages': (json: any) =>
      json.type === 'error' && typeof json.error.type === 'string' && typeof json.error.message === 'string',
  } as const;
  for (const path of Object.keys(shapes) as (keyof typeof shapes)[]) {
    for (const hostile of hostileBodies('large')) {
      it(`are refused: ${hostile.name} (${path})`, async () => {
        const seen = world.provider.seen.length;
        const answer = await call(`${world.gateway.url}${path}`, hostile.body, {
          headers: { 'x-team': 'hostile', ...hostile.headers },
        });
        const statuses = hostile.statuses ?? [400];
        assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text.slice(0, 300)}`);
        assert.ok(shapes[path](answer.json), answer.text.slice(0, 300));
        assert.ok(answer.text.length < 2_000, 'an answer that quotes the body helps nobody');
        if (hostile.code !== undefined && path === '/v1/chat/completions') {
          assert.equal(answer.json.error.code, hostile.code);
        }
        assert.equal(world.provider.seen.length, seen, 'it must not reach the provider');
      });
    }
  }

  it('leave no hold', nothingHeld);

  it('are refused if they are compressed', async () => {
    const bomb = zlib.gzipSync(Buffer.alloc(64 * MEGABYTE));
    for (const encoding of ['gzip', 'br', 'zstd', 'deflate']) {
      const { status, json } = await chat(world, 'large', { team: 'bomb', headers: { 'content-encoding': encoding } });
      assert.equal(status, 415);
      assert.equal(json.error.code, 'unsupported_encoding');
    }
    const answer = await call(`${world.gateway.url}/v1/chat/completions`, bomb, {
      headers: { 'x-team': 'bomb', 'content-encoding': 'gzip' },
    });
    assert.equal(answer.status, 415);
  });
});

describe('a long word', () => {
  const letters = Array.from({ length: 200_000 }, (_, index) =>
    String.fromCharCode(97 + ((index * 7_919 + (index >> 3)) % 26)),
  ).join('');
  const chinese = Array.from({ length: 200_000 }, (_, index) =>
    String.fromCharCode(0x4e00 + ((index * 7_919) % 20_000)),
  ).join('');
  for (const [name, word] of [
    ['letters', letters],
    ['Chinese characters', chinese],
  ] as const) {
    it(`of 200,000 ${name} is counted to the limit and refused without delay for others`, async () => {
      const { result, slowestMs } = await beside(() =>
        chat(world, 'bounded', { team: 'words', body: { messages: [{ role: 'user', content: word }] } }),
      );
      assert.equal(result.status, 413, result.text.slice(0, 300));
      assert.equal(result.json.error.code, 'input_tokens_exceeded');
      assert.ok(slowestMs < BESIDE_MS, `${slowestMs} ms`);
    });

    it(`of 200,000 ${name} is counted near the end of a budget without delay for others`, async () => {
      const { result, slowestMs } = await beside(() =>
        chat(world, 'near', { team: name, body: { messages: [{ role: 'user', content: word }] }, mock: { tokens: 1 } }),
      );
      assert.ok([200, 429].includes(result.status), `${result.status} ${result.text.slice(0, 300)}`);
      assert.ok(slowestMs < BESIDE_MS, `${slowestMs} ms`);
    });
  }

  it('as a response without usage is counted without delay for others', async () => {
    const team = 'long-answer';
    const { result, slowestMs } = await beside(() =>
      chat(world, 'large', { team, body: { stream: true }, mock: { hostile: 'megabyte-event' } }),
    );
    assert.equal(result.status, 200);
    assert.ok(slowestMs < BESIDE_MS, `${slowestMs} ms`);
    const [record] = await recordsOf(world, team, 1);
    assert.ok((record?.outputTokens ?? 0) > 1_000, record?.line);
    assert.equal(record?.source, 'estimated');
  });
});

describe('large bodies and wrong lengths', () => {
  it('a body beyond the limit of its own route gets 413, although other routes allow more', async () => {
    const content = 'word '.repeat(20_000);
    for (const model of ['tiny', 'sized']) {
      const seen = world.provider.seen.length;
      const refused = await chat(world, model, { team: 'size', body: { messages: [{ role: 'user', content }] } });
      assert.equal(refused.status, 413, model);
      assert.equal(refused.json.error.code, 'request_too_large');
      assert.equal(world.provider.seen.length, seen);
      const small = await chat(world, model, { team: 'size', mock: { tokens: 1 } });
      assert.equal(small.status, 200, small.text);
    }
    const other = await chat(world, 'large', {
      team: 'size',
      body: { messages: [{ role: 'user', content }] },
      mock: { tokens: 1 },
    });
    assert.equal(other.status, 200);
  });

  it('an upload of 1 GB in chunks gets 413 early', async () => {
    const raw = await rawCall(world.gateway.port);
    await raw.write(head('/v1/chat/completions', ['x-team: upload', 'transfer-encoding: chunked']));
    const piece = `10000\r\n${'a'.repeat(0x10000)}\r\n`;
    const prefix = '{"model":"large","messages":[{"role":"user","content":"';
    await raw.write(`${prefix.length.toString(16)}\r\n${prefix}\r\n`);
    let sent = 0;
    while (sent < UPLOAD_BYTES && raw.status() === undefined) {
      if (!(await raw.write(piece))) {
        break;
      }
      sent += 0x10000;
    }
    await waitFor(
      'answer',
      () => raw.status() !== undefined,
      5_000,
      () => `after ${sent} bytes: ${raw.text()}`,
    );
    raw.socket.destroy();
    assert.equal(raw.status(), 413, raw.text());
    assert.match(raw.text(), /request_too_large/);
    assert.ok(sent < 100 * MEGABYTE, `${sent >> 20} MB were taken before the answer`);
  });

  it('an upload with a content-length gets 413 before its body', async () => {
    const raw = await rawCall(world.gateway.port);
    await raw.write(head('/v1/chat/completions', ['x-team: upload', `content-length: ${UPLOAD_BYTES}`]));
    await raw.write('{"model":"large",');
    await waitFor('answer', () => raw.status() !== undefined, 5_000, raw.text);
    raw.socket.destroy();
    assert.equal(raw.status(), 413, raw.text());
  });

  it('a body that is shorter than its content-length leaves no hold', async () => {
    const raw = await rawCall(world.gateway.port);
    const body = JSON.stringify({ model: 'large', messages: [] });
    await raw.write(head('/v1/chat/completions', ['x-team: short', `content-length: ${body.length + 100}`]) + body);
    await sleep(200);
    assert.equal(raw.status(), undefined, raw.text());
    raw.socket.destroy();
    await nothingHeld();
  });

  for (const [name, lines] of [
    ['no number', ['content-length: abc']],
    ['below 0', ['content-length: -5']],
    ['two of them', ['content-length: 5', 'content-length: 50']],
    ['a length and chunks', ['content-length: 5', 'transfer-encoding: chunked']],
  ] as const) {
    it(`the content-length is refused: ${name}`, async () => {
      const seen = world.provider.seen.length;
      const raw = await rawCall(world.gateway.port);
      await raw.write(`${head('/v1/chat/completions', ['x-team: length', ...lines])}{"a":1}\r\n0\r\n\r\n`);
      await waitFor('answer', () => raw.status() !== undefined || raw.socket.destroyed, 5_000, raw.text);
      raw.socket.destroy();
      assert.ok(raw.status() === undefined || raw.status() === 400, raw.text());
      assert.equal(world.provider.seen.length, seen);
    });
  }

  it('bytes beyond the content-length are not a request', async () => {
    const raw = await rawCall(world.gateway.port);
    const body = JSON.stringify({ model: 'large', messages: [{ role: 'user', content: 'Hello' }] });
    const lines = ['x-team: long', 'x-mock: {"tokens":1}', `content-length: ${body.length}`];
    await raw.write(`${head('/v1/chat/completions', lines)}${body}GARBAGE\r\n\r\n`);
    await waitFor('end', () => /HTTP\/1\.1 400/.test(raw.text()) || raw.socket.destroyed, 5_000, raw.text);
    raw.socket.destroy();
    await nothingHeld();
  });
});

describe('the gateway survives', () => {
  it('a stream without an end and without a newline', async () => {
    const team = 'endless';
    const opened = await open(
      `${world.gateway.url}/v1/chat/completions`,
      { model: 'large', stream: true, messages: [{ role: 'user', content: 'Hello' }] },
      { headers: { 'x-team': team }, mock: { hostile: 'endless-line' }, timeoutMs: 60_000 },
    );
    const { result, slowestMs } = await beside(() => opened.done);
    assert.ok(slowestMs < BESIDE_MS, `${slowestMs} ms`);
    assert.ok(result.bytes.length < 4 * MEGABYTE, 'it ends where an event is longer than any provider’s');
    assert.match(result.text, /"error":/);
    const [record] = await recordsOf(world, team, 1);
    assert.ok((record?.inputTokens ?? 0) > 0, `it is not free: ${record?.line}`);
    await nothingHeld();
  });

  it('an endless response with the content type of JSON', async () => {
    const team = 'endless-json';
    await beside(() => chat(world, 'large', { team, mock: { hostile: 'endless-line' }, timeoutMs: 60_000 }));
    await nothingHeld();
  });

  it('an event of a megabyte, which arrives and is charged', async () => {
    const team = 'megabyte';
    const answer = await chat(world, 'large', { team, body: { stream: true }, mock: { hostile: 'megabyte-event' } });
    assert.equal(
      answer.text.length,
      world.provider.seen.findLast((one) => one.headers['x-team'] === team)?.answer.length,
    );
    assert.ok(answer.complete);
  });

  for (const stream of [false, true]) {
    it(`a compressed bomb (${stream ? 'stream' : 'JSON'})`, async () => {
      const team = `provider-bomb-${stream}`;
      const { result, slowestMs } = await beside(() =>
        chat(world, 'large', { team, body: { stream }, mock: { hostile: 'compressed-bomb' }, timeoutMs: 60_000 }),
      );
      assert.ok([200, 502, 503].includes(result.status), `${result.status}`);
      assert.ok(slowestMs < BESIDE_MS, `${slowestMs} ms`);
      const [record] = await recordsOf(world, team, 1);
      assert.ok(record);
      await nothingHeld();
    });
  }
});

// Last, because pages of buffered bodies are returned late.
describe('many large bodies', () => {
  it('concurrent uploads share one limit per process', async () => {
    bound = KEPT_BODIES_MEMORY_BYTES;
    const uploads = await Promise.all(
      Array.from({ length: 24 }, async () => {
        const raw = await rawCall(world.gateway.port);
        await raw.write(head('/v1/chat/completions', ['x-team: many', `content-length: ${20 * MEGABYTE}`]));
        await raw.write('{"model":"large","messages":[{"role":"user","content":"');
        return raw;
      }),
    );
    const piece = 'a'.repeat(MEGABYTE);
    // Never ends the body, so that it stays in memory.
    await Promise.all(
      uploads.map(async (raw) => {
        for (let sent = 0; sent < 18 && raw.status() === undefined; sent += 1) {
          const writing = raw.write(piece);
          if ((await Promise.race([writing, sleep(3_000, undefined, { ref: false })])) !== true) {
            break;
          }
        }
      }),
    );
    const small = await chat(world, 'large', { team: 'many-small', mock: { tokens: 1 } });
    assert.ok([200, 503].includes(small.status), `${small.status} ${small.text}`);
    for (const raw of uploads) {
      raw.socket.destroy();
    }
    await waitFor(
      'room',
      async () => (await chat(world, 'large', { team: 'many-small', mock: { tokens: 1 } })).status === 200,
      5_000,
    );
    await nothingHeld();
  });
});
