import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import type { HeaderList } from '../exchange.ts';
import { newScanner } from '../json/json-tokenizer.ts';
import { scanned } from '../json/testing.ts';
import { findEndpoint } from '../providers/registry.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import { affinityKey } from './affinity-key.ts';
import { agentIds } from './agent-ids.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig } from './testing.ts';

await loadEncodings();

interface Sent {
  readonly path?: string;
  readonly headers?: HeaderList;
  readonly tenant?: string;
  readonly model?: string;
}

function keyOf(body: object, { path = '/v1/chat/completions', headers = [], tenant, model = 'm' }: Sent = {}) {
  const { endpoint } = findEndpoint('POST', path, () => undefined)!;
  const source = { agent: agentIds(headers), dialect: endpoint.dialect };
  return affinityKey(source, tenant, model, scanned(endpoint.shape, JSON.stringify({ model, ...body })));
}

const user = (content: unknown) => ({ role: 'user', content });
const messages = [{ role: 'system', content: 'Be brief.' }, user('Hello')];
const later = [...messages, { role: 'assistant', content: 'Hi' }, user('More')];
const responses = { path: '/v1/responses' };
const anthropic = { path: '/v1/messages' };

describe('an affinity key', () => {
  it('is the session of an agent, else the cache key, the user, or the start of the prompt', () => {
    const all = { prompt_cache_key: 'cache', user: 'ada', messages };
    const headers: HeaderList = [['session-id', 's-1']];
    assert.equal(keyOf(all, { headers }), keyOf({ messages: [user('Other')] }, { headers }));
    assert.equal(keyOf(all), keyOf({ ...all, user: 'bob', messages: [user('Other')] }));
    assert.equal(keyOf({ user: 'ada', messages }), keyOf({ messages: [user('Other')], user: 'ada' }));
    const keys = [keyOf(all, { headers }), keyOf(all), keyOf({ user: 'ada', messages }), keyOf({ messages })];
    assert.equal(new Set(keys).size, 4);
    assert.notEqual(keyOf({ ...all, prompt_cache_key: 'other' }), keyOf(all));
  });

  it('takes the user of messages from their metadata', () => {
    const from = (id: string, text: string) => keyOf({ metadata: { user_id: id }, messages: [user(text)] }, anthropic);
    assert.equal(from('ada', 'Hello'), from('ada', 'Other'));
    assert.notEqual(from('ada', 'Hello'), from('bob', 'Hello'));
  });

  it('ignores cache keys and users that are empty, long or no text', () => {
    const plain = keyOf({ messages });
    for (const value of ['', null, 7, {}, 'x'.repeat(2000)]) {
      assert.equal(keyOf({ prompt_cache_key: value, user: value, messages }), plain);
    }
  });

  it('of a prompt stays the same while a session grows', () => {
    assert.equal(keyOf({ messages: later }), keyOf({ messages }));
    const many = Array.from({ length: 3000 }, (_, index) => user(`Turn ${index}`));
    assert.equal(keyOf({ messages: [...later, ...many] }), keyOf({ messages }));
    const marked = [{ type: 'text', text: 'Hello', cache_control: { type: 'ephemeral' } }];
    const more = [user([{ type: 'text', text: 'Hello' }]), { role: 'assistant', content: 'Hi' }, user(marked)];
    const system = [{ type: 'text', text: 'Be brief.' }];
    const first = keyOf({ system, messages: [user(marked)] }, anthropic);
    assert.equal(keyOf({ system, messages: more }, anthropic), first);
    assert.equal(keyOf({ messages: [user('Hello'), ...more], system: 'Be brief.' }, anthropic), first);
    const instructions = 'Be brief.';
    const input = [user([{ type: 'input_text', text: 'Hello' }])];
    const other = keyOf({ instructions, input: [...input, ...later] }, responses);
    assert.equal(other, keyOf({ instructions, input }, responses));
  });

  it('of a prompt differs by model, instructions and first message', () => {
    const image = (data: string) => user([{ type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } }]);
    const keys = [
      keyOf({ messages }),
      keyOf({ messages }, { model: 'other' }),
      keyOf({ messages: [{ role: 'developer', content: 'Be long.' }, user('Hello')] }),
      keyOf({ messages: [{ role: 'developer', content: 'Be long.' }, user('Hello!')] }),
      keyOf({ messages: [messages[0], user('Hello!')] }),
      keyOf({ messages: [messages[0], image('AAAA')] }),
      keyOf({ messages: [messages[0], image('BBBB')] }),
      keyOf({ instructions: 'Be brief.', input: 'Hello there' }, responses),
      keyOf({ instructions: 'Be long.', input: 'Hello there' }, responses),
      keyOf({ prompt: 'Hello there' }, { path: '/v1/completions' }),
    ];
    assert.ok(!keys.includes(undefined));
    assert.equal(new Set(keys).size, keys.length);
  });

  it('of a prompt reads bounded beginnings, of the first message also behind long instructions', () => {
    const long = 'x'.repeat(50_000);
    const key = (system: string, text: string) =>
      keyOf({ messages: [{ role: 'system', content: system }, user(text)] });
    assert.equal(key(long, `${long}1`), key(`${long}1`, `${long}2`));
    assert.notEqual(key(long, '1'), key(long, '2'));
    const parts = (last: string) =>
      user([...Array(30).fill('x'.repeat(1000)), last].map((text) => ({ type: 'text', text })));
    assert.equal(keyOf({ messages: [parts('1')] }), keyOf({ messages: [parts('2')] }));
  });

  it('does not depend on how the body arrives', () => {
    const { endpoint } = findEndpoint('POST', '/v1/chat/completions', () => undefined)!;
    const long = Array.from({ length: 40 }, (_, index) => user(`${index} ${'é'.repeat(7000)}`));
    const whole = Buffer.from(JSON.stringify({ messages: [messages[0], ...long], model: 'm' }));
    const keys = [whole.length, 100_003, 8191, 997].map((size) => {
      const scanner = newScanner(endpoint.shape);
      for (let at = 0; at < whole.length; at += size) {
        scanner.push(whole.subarray(at, at + size));
      }
      const body = scanner.finish();
      assert.ok('bytes' in body);
      return affinityKey({ agent: undefined, dialect: endpoint.dialect }, undefined, 'm', body);
    });
    assert.equal(new Set(keys).size, 1);
    assert.equal(keys[0], keyOf({ messages: [messages[0], long[0]] }));
  });

  it('belongs to one tenant', () => {
    const headers: HeaderList = [['session-id', 's-1']];
    const key = (tenant: string) => keyOf({ messages }, { headers, tenant });
    assert.notEqual(key('red'), key('blue'));
    assert.notEqual(key('red'), keyOf({ messages }, { headers }));
  });

  it('is absent where nothing tells sessions apart', () => {
    assert.equal(keyOf({ messages: [] }), undefined);
    assert.equal(keyOf({ messages: [messages[0]] }), undefined);
    assert.equal(keyOf({ input: ['a', 'b'] }, { path: '/v1/embeddings' }), undefined);
    const output = { type: 'function_call_output', call_id: 'c', output: 'done' };
    assert.equal(keyOf({ input: [output], previous_response_id: 'r' }, responses), undefined);
  });
});

test('a session stays with its backend, leaves it while it rests, and returns', () => {
  const [virtualHost] = basePolicy.virtualHosts;
  const [rule] = virtualHost!.rules;
  const [openai] = basePolicy.backends;
  const names = ['default/red', 'default/blue'];
  const targets = names.map((name) => ({ id: name, backend: name, weight: 1, priority: 0 }));
  const rig = newRig({
    policy: {
      virtualHosts: [
        { ...virtualHost!, passthrough: [], rules: [{ ...rule!, quotas: [], targets, affinity: 'Session' }] },
      ],
      backends: names.map((name) => ({ ...openai!, name })),
      quotas: [],
    },
  });
  const route = (text: string, turns: number): string | undefined => {
    let target: string | undefined;
    const exchange = newExchange();
    exchange.requestHeaders = ({ set }) => {
      target = set?.find(([name]) => name === 'x-tallygate-route')?.[1];
    };
    const handler = rig.open(exchange);
    const turn = [user(text), ...Array.from({ length: turns }, () => user('More'))];
    handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
    handler.requestBody(Buffer.from(JSON.stringify({ model: 'gpt-4o-mini', messages: turn })), true);
    handler.closed(true);
    return target;
  };
  const texts = Array.from({ length: 20 }, (_, index) => `Session ${index}`);
  const first = texts.map((text) => route(text, 0));
  assert.deepEqual(new Set(first), new Set(names));
  assert.deepEqual(
    texts.map((text) => route(text, 3)),
    first,
  );
  rig.shared.health.rest({ target: { id: 'default/red', backend: 'red' }, ms: 1000, cause: '5xx' }, 1);
  assert.deepEqual(new Set(texts.map((text) => route(text, 4))), new Set(['default/blue']));
  rig.shared.health.keepOnly(new Map());
  assert.deepEqual(
    texts.map((text) => route(text, 5)),
    first,
  );
  assert.deepEqual(rig.faults, []);
});
