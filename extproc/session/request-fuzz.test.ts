/**
 * Requests that no client would send, in any order of events: at the end nothing is kept, held or
 * awaited, and each request has one record.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import type { HeaderList } from '../exchange.ts';
import { counts } from '../quota/testing.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import { BODY_BYTES_OF_PROCESS, Bodies } from './bodies.ts';
import type { SessionServices } from './services.ts';
import { basePolicy, ENTRY, newExchange, newRig } from './testing.ts';

await loadEncodings();

const [team] = basePolicy.quotas;
const [entry] = basePolicy.virtualHosts;
const [rule] = entry!.rules;
const policy = {
  virtualHosts: [
    { ...entry!, rules: [{ ...rule!, maxRequestBodyBytes: 256 * 1024, requestLimits: { inputTokens: 20_000 } }] },
  ],
  quotas: [{ ...team!, limit: { ...team!.limit, amount: 4_000 }, queueTimeoutMs: 5 }],
};

const PATHS = ['/v1/chat/completions', '/v1/messages', '/v1/responses', '/v1/batches', '/v1/nothing'];
const fragment = fc.constantFrom(
  '{"model":"gpt-4o-mini","messages":[',
  '{"role":"user","content":"',
  'so many words '.repeat(200),
  '"},',
  '"messages":[{"content":[',
  '{"type":1},'.repeat(300),
  '"modalities":[',
  '1,'.repeat(3_000),
  '"tools":["a",'.repeat(20),
  '"model":"gpt-4o-mini",',
  '\\u0041\\n',
  '\u{1f600}',
  '[[[[',
  '{"a":',
  '}]}',
  ']',
  '}',
  'null',
  ' ',
);
const wellFormed = fc
  .record({ stream: fc.boolean(), max_tokens: fc.nat(6_000), text: fc.nat(6_000), parts: fc.nat(400) })
  .map(({ stream, max_tokens, text, parts }) => {
    const content = parts > 0 ? Array(parts).fill({ type: 'text', text: 'hi' }) : 'word '.repeat(text);
    return JSON.stringify({ model: 'gpt-4o-mini', stream, max_tokens, messages: [{ role: 'user', content }] });
  });
const body = fc.oneof(
  wellFormed,
  fc.array(fragment, { maxLength: 30 }).map((parts) => parts.join('')),
);

const event = fc.oneof(
  { weight: 6, arbitrary: fc.constant('body' as const) },
  ...(
    ['end', 'trailers', 'envoy', 'answer', 'answer-body', 'closed', 'pressure', 'slow', 'turn', 'fault'] as const
  ).map((one) => fc.constant(one)),
);

const request = fc.record({
  path: fc.constantFrom(...PATHS),
  body,
  pieceBytes: fc.constantFrom(1_000, 5_000, 65_536),
  events: fc.array(event, { maxLength: 25 }),
});

test('any sequence of events leaves nothing kept, held or awaited', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 4 }), async (requests) => {
      let faulty = false;
      const later: (() => void)[] = [];
      const bodies = new Bodies({ now: Date.now, schedule: (_, callback) => later.push(callback) });
      const rig = newRig({
        policy,
        store: { nowMs: Date.now },
        shared: (): Partial<SessionServices> => ({
          bodies,
          now: () => {
            if (faulty) {
              faulty = false;
              throw new Error('injected');
            }
            return Date.now();
          },
        }),
      });
      const open = requests.map(({ path, body: text, pieceBytes, events }) => {
        const bytes = Buffer.from(text);
        const headers: HeaderList = [
          [':method', 'POST'],
          [':path', path],
          ['x-team', 'red'],
        ];
        return {
          handler: rig.open(newExchange()),
          headers,
          bytes,
          pieceBytes,
          events: [...events],
          at: 0,
          ended: false,
          answered: false,
        };
      });
      for (const one of open) {
        one.handler.requestHeaders(one.headers, false, ENTRY);
      }
      const closed = new Set<object>();
      while (open.some(({ events }) => events.length > 0)) {
        for (const one of open) {
          const { handler } = one;
          const next = one.events.shift();
          if (next === undefined || closed.has(one)) {
            continue;
          }
          if (next === 'body' && !one.ended) {
            handler.requestBody(one.bytes.subarray(one.at, one.at + one.pieceBytes), false);
            one.at += one.pieceBytes;
          } else if (next === 'end' && !one.ended) {
            one.ended = true;
            handler.requestBody(one.bytes.subarray(one.at), true);
          } else if (next === 'trailers' && !one.ended) {
            one.ended = true;
            handler.requestTrailers();
          } else if ((next === 'envoy' || next === 'answer') && !one.answered) {
            one.answered = true;
            const [status, details] = next === 'envoy' ? ['504', 'timeout'] : ['200', 'via_upstream'];
            const type = next === 'envoy' ? 'text/plain' : 'application/json';
            handler.responseHeaders(
              [
                [':status', status],
                ['content-type', type],
              ],
              false,
              new Map([['response.code_details', details]]),
            );
          } else if (next === 'answer-body' && one.answered) {
            handler.responseBody(Buffer.from('{"usage":'), false);
          } else if (next === 'pressure') {
            const heavy = bodies.begin({ endBody: () => {} }, 0);
            bodies.whole(heavy);
            bodies.add(heavy, BODY_BYTES_OF_PROCESS);
            bodies.release(heavy);
          } else if (next === 'slow') {
            for (const callback of later.splice(0)) {
              callback();
            }
          } else if (next === 'turn') {
            await nextTurn();
          } else if (next === 'fault') {
            faulty = true;
          } else if (next === 'closed') {
            closed.add(one);
            handler.closed(false);
          }
        }
      }
      faulty = false;
      for (const one of open) {
        if (!closed.has(one)) {
          one.handler.closed(true);
        }
      }
      await nextTurn();
      assert.equal(bodies.bytes, 0);
      assert.deepEqual(
        [counts(rig.store).openHolds, counts(rig.store).waiting, rig.records.length],
        [0, 0, requests.length],
      );
      assert.ok(
        rig.faults.every((fault) => (fault as Error).message === 'injected'),
        String(rig.faults[0]),
      );
      rig.store.close();
    }),
    fuzzRuns(300),
  );
});

test('no call takes 10 ms, whatever the body contains', () => {
  const rig = newRig({
    policy: { ...policy, virtualHosts: [{ ...entry!, rules: [{ ...rule!, maxRequestBodyBytes: 32e6 }] }] },
  });
  const bodies = {
    parts: `{"model":"gpt-4o-mini","messages":[{"content":[${Array(14_000).fill('{"type":"text","text":"hi"}').join()}]}]}`,
    images: `{"model":"gpt-4o-mini","messages":[{"content":[${Array(6_000).fill('{"type":"image_url","image_url":{"url":"data:,"}}').join()}]}]}`,
    tools: `{"model":"gpt-4o-mini","messages":[],"tools":[${Array(30_000).fill('{"type":"function"}').join()}]}`,
  };
  for (const [name, text] of Object.entries(bodies)) {
    const bytes = Buffer.from(text);
    let least = Number.POSITIVE_INFINITY;
    for (let time = 0; time < 5; time++) {
      const handler = rig.open(newExchange());
      let most = 0;
      const timed = (work: () => void) => {
        const before = process.cpuUsage();
        work();
        const { user, system } = process.cpuUsage(before);
        most = Math.max(most, (user + system) / 1000);
      };
      timed(() =>
        handler.requestHeaders(
          [
            [':method', 'POST'],
            [':path', '/v1/chat/completions'],
            ['x-team', name],
          ],
          false,
          ENTRY,
        ),
      );
      for (let at = 0; at < bytes.length; at += 65_536) {
        timed(() => handler.requestBody(bytes.subarray(at, at + 65_536), at + 65_536 >= bytes.length));
      }
      handler.closed(false);
      least = Math.min(least, most);
    }
    const { failure } = rig.records.at(-1)!;
    assert.notEqual(failure?.code, 'invalid_body', name);
    assert.ok(least < 10, `${name}: ${least} ms`);
  }
  assert.equal(rig.shared.bodies.bytes, 0);
});
