/**
 * Writes one response as a behaviour describes: unary or streamed, paced, compressed, broken off.
 */
import type http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import zlib from 'node:zlib';
import type { Behaviour, FailureMode } from './behaviour.ts';
import type { MockAnswer, MockDialect, MockRequest } from './dialects/dialect.ts';
import { closeOf, roomIn } from './flow.ts';
import { sendHostile } from './hostile-answers.ts';
import type { Seen } from './seen.ts';
import { wordsOf } from './words.ts';

/** Characters of an echoed text that count as a token. */
const ECHOED_CHARS = 3;

const KEPT_ANSWER_CHARS = 512 << 10;

export async function answer(
  response: http.ServerResponse,
  record: Seen,
  dialect: MockDialect,
  asked: MockRequest,
  behaviour: Behaviour,
): Promise<void> {
  if (behaviour.delayMs !== undefined) {
    await sleep(behaviour.delayMs);
  }
  const { fail } = behaviour;
  if (fail?.when === 'before') {
    return breakOff(response, record, fail.how);
  }
  if (behaviour.status !== undefined) {
    const body = JSON.stringify(dialect.error(behaviour.status));
    record.answer = body;
    record.endedAtMs = performance.now();
    response.writeHead(behaviour.status, { 'content-type': 'application/json', ...behaviour.headers }).end(body);
    return;
  }
  const plan = planOf(record, asked, behaviour);
  record.hiddenTokens = plan.hiddenTokens;
  if (behaviour.hostile !== undefined) {
    return sendHostile(response, record, behaviour.hostile, asked.stream, behaviour.seed);
  }
  const out = new AnswerWriter(response, record, behaviour.encoding, asked.stream && dialect.binaryType !== undefined);
  const headers = {
    'content-type': asked.stream ? (dialect.binaryType ?? 'text/event-stream') : 'application/json',
    ...(behaviour.encoding && { 'content-encoding': behaviour.encoding }),
    ...(asked.stream ? {} : dialect.headers?.(plan)),
    'x-request-id': `mock-${record.id}`,
    ...behaviour.headers,
  };
  if (!asked.stream) {
    const body = JSON.stringify(dialect.whole(plan));
    // A unary response takes the time of its stream.
    if (behaviour.paceMs !== undefined) {
      await sleep((behaviour.paceMs * plan.tokens) / (behaviour.tokensAChunk ?? 1));
    }
    if (response.destroyed) {
      return;
    }
    const isPlain = fail === undefined && behaviour.encoding === undefined;
    response.writeHead(200, { ...headers, ...(isPlain && { 'content-length': Buffer.byteLength(body) }) });
    record.outputTokens = plan.tokens * plan.choices;
    if (fail?.when === 'in') {
      await out.write(body.slice(0, body.length >> 1));
      return breakOff(response, record, fail.how);
    }
    await out.write(body);
    if (fail?.when === 'after') {
      return breakOff(response, record, fail.how);
    }
    return out.end();
  }
  response.writeHead(200, headers);
  response.flushHeaders();
  await stream(out, response, record, dialect, plan, behaviour);
}

async function stream(
  out: AnswerWriter,
  response: http.ServerResponse,
  record: Seen,
  dialect: MockDialect,
  plan: MockAnswer,
  behaviour: Behaviour,
): Promise<void> {
  const step = behaviour.tokensAChunk ?? 1;
  const { fail } = behaviour;
  await out.write(dialect.opening(plan));
  let chunks = 0;
  for (let made = 0; made < plan.tokens && !response.destroyed; made += step) {
    if (fail?.when === 'in' && chunks === (fail.chunks ?? 5)) {
      return breakOff(response, record, fail.how);
    }
    if (behaviour.paceMs !== undefined && behaviour.paceMs > 0) {
      await sleep(behaviour.paceMs);
    }
    if (response.destroyed) {
      return;
    }
    const count = Math.min(step, plan.tokens - made);
    const text = plan.echoed?.slice(made * ECHOED_CHARS, (made + count) * ECHOED_CHARS) ?? wordsOf(count, made);
    let events = '';
    for (let choice = 0; choice < plan.choices; choice += 1) {
      events += dialect.delta(plan, choice, text, made);
    }
    record.outputTokens += count * plan.choices;
    chunks += 1;
    await out.write(events);
  }
  if (response.destroyed) {
    return;
  }
  await out.write(dialect.closing(plan));
  if (fail?.when === 'after') {
    return breakOff(response, record, fail.how);
  }
  out.end();
}

function planOf(record: Seen, asked: MockRequest, behaviour: Behaviour): MockAnswer {
  const longest = asked.texts.reduce((one, other) => (other.length > one.length ? other : one), '');
  const echoed = behaviour.echo === true ? longest : undefined;
  const wanted = echoed === undefined ? (behaviour.tokens ?? 20) : Math.ceil(echoed.length / ECHOED_CHARS);
  const hidden = behaviour.hiddenTokens ?? 0;
  const bound = behaviour.keepsBounds === false ? undefined : asked.bound;
  const hiddenTokens = bound === undefined ? hidden : Math.min(hidden, bound);
  const tool = behaviour.tool === true ? asked.tool : undefined;
  const tokens = Math.min(wanted, (bound ?? Infinity) - hiddenTokens);
  const told = behaviour.usage ?? 'Asked';
  return {
    id: `mock-${record.id}`,
    model: asked.model,
    choices: asked.choices,
    inputTokens: record.inputTokens,
    hiddenTokens,
    usage: told === 'Always' || (told === 'Asked' && (asked.usage || !asked.stream)),
    tool,
    base64: asked.base64 === true,
    padding: 'x'.repeat(behaviour.paddingBytes ?? 0),
    serviceTier: behaviour.serviceTier,
    reason: tokens < wanted ? 'length' : tool === undefined ? 'stop' : 'tool',
    tokens,
    echoed,
    // Built only on demand, because a stream may be endless.
    get text() {
      return echoed ?? wordsOf(tokens);
    },
  };
}

async function breakOff(response: http.ServerResponse, record: Seen, how: FailureMode): Promise<void> {
  if (how === 'silent') {
    await closeOf(response);
    return;
  }
  // A reset discards what the kernel has not sent yet, so wait until it has been sent.
  if (response.headersSent) {
    await sleep(20);
  }
  record.endedAtMs = performance.now();
  if (how === 'reset') {
    response.socket?.resetAndDestroy();
  } else {
    response.destroy();
  }
}

/** Writes at the reader's pace. */
class AnswerWriter {
  readonly #response: http.ServerResponse;
  readonly #record: Seen;
  readonly #characters: BufferEncoding;
  readonly #compressor: (zlib.Gzip | zlib.BrotliCompress | zlib.ZstdCompress) | undefined;

  constructor(response: http.ServerResponse, record: Seen, encoding: Behaviour['encoding'], isBinary: boolean) {
    this.#response = response;
    this.#record = record;
    this.#characters = isBinary ? 'latin1' : 'utf8';
    this.#compressor = encoding && compressors[encoding]();
    this.#compressor?.pipe(response);
  }

  async write(text: string): Promise<void> {
    if (text === '' || this.#response.destroyed) {
      return;
    }
    if (this.#record.answer.length < KEPT_ANSWER_CHARS) {
      this.#record.answer += text;
    }
    if (this.#compressor !== undefined) {
      this.#compressor.write(text, this.#characters);
      await new Promise<void>((resolve) => this.#compressor?.flush(() => resolve()));
      return;
    }
    if (!this.#response.write(text, this.#characters)) {
      await roomIn(this.#response);
    }
  }

  end(): void {
    if (this.#response.destroyed) {
      return;
    }
    this.#record.endedAtMs = performance.now();
    (this.#compressor ?? this.#response).end();
  }
}

const compressors = {
  gzip: () => zlib.createGzip(),
  br: () => zlib.createBrotliCompress({ params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: () => zlib.createZstdCompress(),
};
