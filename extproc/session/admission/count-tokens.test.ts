import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Quota } from '../../../contract/policy.ts';
import type { HeaderList, ImmediateResponse } from '../../exchange.ts';
import { loadEncodings } from '../../tokens/encodings.ts';
import { newCountQueue } from '../counting.ts';
import { basePolicy, ENTRY, newExchange, newRig, type Rig } from '../testing.ts';

await loadEncodings();

const HEADERS: HeaderList = [
  [':method', 'POST'],
  [':path', '/v1/messages/count_tokens'],
  ['x-team', 'red'],
];

const [host] = basePolicy.virtualHosts;
const [tokens] = basePolicy.quotas;
const requests: Quota = {
  ...tokens!,
  id: 'default/teams/running',
  limit: { type: 'ConcurrentRequests', amount: 1 },
  window: { type: 'None' },
};

/** Its rule has only an OpenAI backend. */
function rigOf(shared: Parameters<typeof newRig>[0]['shared'] = () => ({}), quotas: readonly Quota[] = []): Rig {
  const rules = host!.rules.map((rule) => ({
    ...rule,
    maxRequestBodyBytes: 32 << 20,
    quotas: [...rule.quotas, ...quotas.map(({ id }) => id)],
  }));
  const virtualHosts = [{ ...host!, rules }];
  return newRig({ policy: { virtualHosts, quotas: [...basePolicy.quotas, ...quotas] }, shared });
}

function bodyOf(text: string): Buffer {
  return Buffer.from(JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: text }] }));
}

interface Counting {
  readonly replied: Promise<ImmediateResponse>;
  readonly did: string[];
  close(): void;
}

function ask(rig: Rig, text: string): Counting {
  return send(rig, HEADERS, bodyOf(text));
}

function send(rig: Rig, headers: HeaderList, body: Uint8Array): Counting {
  const did: string[] = [];
  const reply = Promise.withResolvers<ImmediateResponse>();
  const handler = rig.open({
    ...newExchange((name) => did.push(name)),
    immediateResponse: reply.resolve,
  });
  handler.requestHeaders(headers, false, ENTRY);
  handler.requestBody(body, true);
  return { replied: reply.promise, did, close: () => handler.closed(true) };
}

async function counted(counting: Counting): Promise<number> {
  const { status, headers, body } = await counting.replied;
  assert.equal(status, 200, Buffer.from(body).toString());
  assert.ok(headers.some(([name, value]) => name === 'x-tallygate-estimate' && value === 'true'));
  assert.deepEqual(counting.did, [], 'nothing goes upstream');
  return JSON.parse(Buffer.from(body).toString()).input_tokens;
}

describe('count_tokens at a backend that cannot count', () => {
  it('is answered by the tokenizer, and costs nothing', async () => {
    const rig = rigOf();
    const few = await counted(ask(rig, 'Hello there'));
    const many = await counted(ask(rig, 'Hello there '.repeat(100)));
    assert.ok(few >= 2 && few < 30, String(few));
    assert.equal(many - few, 198 + 1);
    const [record] = rig.records;
    assert.deepEqual(
      [record?.status, record?.operation, record?.usage, record?.cost],
      [200, 'count_tokens', undefined, undefined],
    );
    assert.ok(record?.buckets.length);
  });

  it('is answered in the form of Gemini, too', async () => {
    const headers = [[':method', 'POST'], [':path', '/v1beta/models/gpt-4o-mini:countTokens'], HEADERS[2]!] as const;
    const body = Buffer.from(JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'Hello there' }] }] }));
    const { status, body: reply } = await send(rigOf(), headers, body).replied;
    const { totalTokens } = JSON.parse(Buffer.from(reply).toString());
    assert.equal(status, 200);
    assert.ok(totalTokens >= 2 && totalTokens < 30, String(totalTokens));
  });

  it('counts a long prompt in slices, in turn with other requests', async () => {
    const rig = rigOf();
    const long = ask(rig, 'lorem ipsum '.repeat(1 << 17));
    const order: string[] = [];
    const all = [long.replied.then(() => order.push('long')), ask(rig, 'Hi').replied.then(() => order.push('short'))];
    await Promise.all(all);
    assert.deepEqual(order, ['short', 'long']);
    assert.ok((await counted(long)) > 1 << 18);
  });

  it('estimates a prompt that is longer than any context from its beginning', async () => {
    let counts = 0;
    const queue = newCountQueue();
    const rig = rigOf(() => ({
      counts: {
        add: (...args) => {
          counts++;
          return queue.add(...args);
        },
      },
    }));
    const text = 'lorem ipsum '.repeat(400_000);
    const tokens = await counted(ask(rig, text));
    assert.equal(counts, 0);
    const exact = 3 * 400_000;
    assert.ok(Math.abs(tokens - exact) < exact / 2, String(tokens));
  });

  it('stops the count when its client leaves, and returns its hold', async () => {
    const { rig, began, stopped } = stalled();
    const first = ask(rig, 'Hello');
    await began();
    first.close();
    assert.equal(stopped(), 1);
    assert.equal(rig.records.length, 1);
    const second = ask(rig, 'Hello');
    await began();
    second.close();
    assert.equal(stopped(), 2, 'the only place was free again');
  });

  it('keeps to quotas on requests', async () => {
    const { rig, began } = stalled();
    ask(rig, 'Hello');
    await began();
    const { status } = await ask(rig, 'Hello').replied;
    assert.equal(status, 429);
  });
});

interface Stalled {
  readonly rig: Rig;
  /** Resolves once another count has begun. */
  began(): Promise<void>;
  stopped(): number;
}

/** One request at a time, and counts that never end. */
function stalled(): Stalled {
  let stops = 0;
  let begin = Promise.withResolvers<void>();
  const add = () => {
    begin.resolve();
    return () => void stops++;
  };
  return {
    rig: rigOf(() => ({ counts: { add } }), [requests]),
    async began() {
      await begin.promise;
      begin = Promise.withResolvers<void>();
    },
    stopped: () => stops,
  };
}
