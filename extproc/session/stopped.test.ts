/** What an operator sees of a request in flight, and how it ends when an operator stops it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadEncodings } from '../tokens/encodings.ts';
import { liveRequest } from './drive.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig } from './testing.ts';

await loadEncodings();

const STREAM = Buffer.from('{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}');
const UNARY = Buffer.from('{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}');
const DELTA = Buffer.from(
  'data: {"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":" the cat sat on"}}]}\n\n',
);
const OK = (type: string) =>
  [
    [':status', '200'],
    ['content-type', type],
  ] as const;

function forwarded(body: Buffer, limit = 1_000_000) {
  const did: string[] = [];
  let sent = '';
  let ended = false;
  const [team] = basePolicy.quotas;
  const rig = newRig({ policy: { quotas: [{ ...team!, limit: { type: 'TotalTokens', amount: limit } }] } });
  const exchange = {
    ...newExchange((name) => did.push(name)),
    responseBody: (bytes: Uint8Array, endOfStream: boolean) => {
      sent += Buffer.from(bytes);
      ended ||= endOfStream;
    },
  };
  const handler = rig.open(exchange);
  handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
  handler.requestBody(body, true);
  return { rig, handler, did, live: liveRequest(handler)!, sent: () => sent, ended: () => ended };
}

test('a stopped stream ends as its API defines and is charged for what was received', () => {
  const { rig, handler, live, sent, ended } = forwarded(STREAM);
  handler.responseHeaders(OK('text/event-stream'), false, new Map());
  handler.responseBody(DELTA, false);
  handler.responseBody(DELTA, false);
  const before = live.soFar();
  assert.equal(before?.usage?.output, 8);
  assert.equal(live.stop('ada'), true);
  assert.match(sent(), /"finish_reason":"length".*data: \[DONE\]\n\n$/s);
  assert.ok(ended());
  const [record] = rig.records;
  assert.deepEqual([record?.stoppedBy, record?.decision.type, record?.failure], ['ada', 'admitted', undefined]);
  assert.deepEqual(record?.usage, before.usage);
  const [state] = rig.store.top(1, 1);
  assert.deepEqual([state?.spent, state?.held], [before.usage.input + 8, 0]);
  assert.equal(live.soFar(), undefined);
});

test('a stopped stream that waits for an extension ends', () => {
  const { rig, handler, live, sent } = forwarded(STREAM);
  let asked = false;
  let cancelled = 0;
  rig.store.extend = () => {
    asked = true;
    return () => cancelled++;
  };
  handler.responseHeaders(OK('text/event-stream'), false, new Map());
  for (let nth = 0; nth < 5_000 && !asked; nth++) {
    handler.responseBody(DELTA, false);
  }
  assert.equal(rig.records.length, 0);
  assert.equal(live.stop('ada'), true);
  assert.match(sent(), /data: \[DONE\]\n\n$/);
  assert.deepEqual([rig.records[0]?.stoppedBy, cancelled], ['ada', 1]);
});

test('a request without a response is refused when it is stopped', () => {
  const { rig, did, live } = forwarded(STREAM);
  assert.equal(live.stop('ada'), true);
  assert.ok(did.includes('tallygate_stopped_by_operator'), String(did));
  assert.deepEqual([rig.records[0]?.stoppedBy, rig.records[0]?.failure?.status], ['ada', 403]);
});

test('a document that has begun completes', () => {
  const { rig, handler, live } = forwarded(UNARY);
  handler.responseHeaders(OK('application/json'), false, new Map());
  handler.responseBody(Buffer.from('{"choices":[],'), false);
  assert.equal(live.stop('ada'), false);
  handler.responseBody(Buffer.from('"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}'), true);
  assert.deepEqual([rig.records[0]?.stoppedBy, rig.records[0]?.usage?.output], [undefined, 1]);
});
