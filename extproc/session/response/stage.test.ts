/**
 * Whatever a provider sends, and in whatever pieces: a stage without objection changes nothing that
 * the client gets, and the client of a response that a stage refuses gets the failure only.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz } from '../../../tools/fuzz/cases.ts';
import type { Random } from '../../../tools/fuzz/random.ts';
import { exchanges, newAdapter, type ReadExchange } from '../../providers/testing/recordings.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import { newMeter } from '../../tokens/meter.ts';
import type { Action } from '../protocol.ts';
import { newTextSample } from '../sample.ts';
import type { MeteredContext, ResponseBodyEvent, ResponseHandler } from './handler.ts';
import { openResponse } from './open.ts';
import type { ResponseStage } from './stage.ts';
import { WORD_REFUSED, WordStage } from './testing.ts';

await loadEncodings();

const EXCHANGES = exchanges().filter(({ endpoint, answer }) => endpoint.kind === 'metered' && answer.length < 50_000);
const TOKENIZER = { encoding: 'o200k_base' } as const;

interface Response {
  readonly exchange: ReadExchange;
  /** The client asked for a stream. */
  readonly streamed: boolean;
  readonly events: readonly ResponseBodyEvent[];
}

function randomResponse(random: Random): Response {
  const exchange = random.pick(EXCHANGES);
  const body = Buffer.from(exchange.answer);
  const trailers = random.next() < 0.2;
  const most = random.pick([7, 100, 5_000, 100_000]);
  const events: ResponseBodyEvent[] = [];
  for (let at = 0; at < body.length; ) {
    const to = Math.min(body.length, at + random.between(1, most));
    events.push({
      type: 'response-body',
      bytes: body.subarray(at, to),
      endOfStream: to === body.length && !trailers,
    });
    at = to;
  }
  if (trailers) {
    events.push({ type: 'response-trailers' });
  }
  return { exchange, streamed: random.next() < 0.8 ? exchange.stream : !exchange.stream, events };
}

function received({ exchange, streamed, events }: Response, stage: ResponseStage | undefined) {
  const { endpoint } = exchange;
  const metered: MeteredContext = {
    adapter: newAdapter(endpoint),
    newMeter: () => newMeter(TOKENIZER, 'm'),
    newSample: () => newTextSample(TOKENIZER, 'm'),
    lease: undefined,
    inputTokens: () => 1,
    hasOutput: true,
    streamed,
    stage,
    mayPassUnread: () => false,
  };
  const out: Action[] = [];
  const context = { dialect: endpoint.dialect, requestId: 'r1', snapshots: [], metered, failover: undefined };
  const opened = openResponse(
    context,
    { type: 'response-headers', headers: [[':status', '200']], endOfStream: false },
    1,
    out,
  );
  let handler: ResponseHandler = opened.handler;
  for (const event of events) {
    // Overwrites the bytes after use, as the read buffer is in production.
    const given = event.type === 'response-body' ? { ...event, bytes: Buffer.from(event.bytes) } : event;
    const before = out.length;
    handler = handler.handle(given, 2, out);
    for (let index = before; index < out.length; index++) {
      out[index] = copied(out[index]!);
    }
    if (given.type === 'response-body') {
      given.bytes.fill(0xdb);
    }
  }
  return { sent: shown(out), usage: handler.evidence(3).usage, handler };
}

function copied(action: Action): Action {
  return action.type === 'response-body' ? { ...action, bytes: Buffer.from(action.bytes) } : action;
}

/** Returns what the client gets: its parts in order, with the body as one. */
function shown(actions: readonly Action[]): string {
  return actions
    .filter(({ type }) => type.startsWith('response-'))
    .map((action) => {
      const body = action.type === 'response-body';
      return body
        ? Buffer.from(action.bytes).toString('latin1') + (action.endOfStream ? '|end' : '')
        : `|${action.type}|`;
    })
    .join('');
}

test('a stage without objection changes nothing that the client gets', () =>
  fuzz(300, (random) => {
    const response = randomResponse(random);
    const stage = new WordStage({ waiting: random.between(0, 5), withoutVerdict: 'release' });
    const plain = received(response, undefined);
    const staged = received(response, stage);
    assert.equal(staged.sent, plain.sent);
    assert.deepEqual(staged.usage, plain.usage);
    assert.equal(staged.handler.ended, true);
    assert.equal(staged.handler.refused, undefined);
  }));

test('nothing of a refused response reaches the client', () =>
  fuzz(300, (random) => {
    const response = randomResponse(random);
    const stage = new WordStage({ word: '', waiting: 1_000, onlyAtEnd: true, withoutVerdict: WORD_REFUSED });
    const { sent, handler } = received(response, stage);
    if (handler.refused === undefined) {
      const { writer } = newAdapter(response.exchange.endpoint);
      assert.equal(sent, `|response-headers|${Buffer.from(writer.fail(WORD_REFUSED)).toString('latin1')}|end`);
      assert.equal(handler.failure, WORD_REFUSED);
    } else {
      assert.equal(sent, '');
      assert.equal(handler.refused, WORD_REFUSED);
    }
  }));
