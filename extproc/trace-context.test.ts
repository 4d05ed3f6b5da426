import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { test } from 'node:test';
import { newIdSource, RequestTrace, readTraceParent } from './trace-context.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';
const read = (text: string) => readTraceParent([['traceparent', text]]);
const drawId = newIdSource(randomFillSync);
const always = { drawId, sampler: () => true };

test('the trace context of a client is read', () => {
  assert.deepEqual(read(`00-${traceId}-${spanId}-01`), { traceId, spanId, sampled: true });
  assert.deepEqual(read(`00-${traceId}-${spanId}-00`), { traceId, spanId, sampled: false });
  assert.deepEqual(read(`00-${traceId}-${spanId}-03`), { traceId, spanId, sampled: true });
  assert.deepEqual(read(`cc-${traceId}-${spanId}-01-what-the-future-brings`), { traceId, spanId, sampled: true });
});

test('a malformed or ambiguous trace context is ignored', () => {
  const valid = `00-${traceId}-${spanId}-01`;
  const malformed = [
    '',
    'x',
    `ff-${traceId}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId}-${spanId}-01-more`,
    `cc-${traceId}-${spanId}-01.more`,
    ` ${valid}`,
    `${valid},${valid}`,
  ];
  for (const text of malformed) {
    assert.equal(read(text), undefined, text);
  }
  assert.equal(
    readTraceParent([
      ['traceparent', valid],
      ['traceparent', valid],
    ]),
    undefined,
  );
});

test('each attempt has a span of its own in the trace of the client', () => {
  const headers = [
    ['traceparent', `00-${traceId}-${spanId}-01`],
    ['tracestate', 'a=1'],
    ['tracestate', 'b=2'],
  ] as const;
  const trace = new RequestTrace(headers, always);
  assert.equal(trace.traceId, traceId);
  assert.equal(trace.parent?.spanId, spanId);
  assert.equal(trace.traceState, 'a=1,b=2');
  const [first, second] = [trace.beginAttempt(1, undefined), trace.beginAttempt(2, undefined)];
  assert.deepEqual(
    [first[1], second[1]],
    trace.attempts.map((attempt) => `00-${traceId}-${attempt.spanId}-01`),
  );
  const own = trace.attempts.map((attempt) => attempt.spanId);
  assert.equal(new Set([spanId, trace.spanId, ...own]).size, 4);
});

test('without a valid parent, a new trace begins and the trace state is not believed', () => {
  const trace = new RequestTrace([['tracestate', 'a=1']], { drawId, sampler: () => false });
  assert.match(trace.traceId, /^[0-9a-f]{32}$/);
  assert.equal(trace.traceState, undefined);
  assert.match(trace.beginAttempt(1, undefined)[1], /-00$/);
});

test('a span that Envoy records is the parent, in the trace of the client or in one that Envoy began', () => {
  const client = [
    ['traceparent', `00-${traceId}-${spanId}-00`],
    ['tracestate', 'a=1'],
  ] as const;
  const ofEnvoy = '00f067aa0ba902b7';
  const joined = new RequestTrace(client, always, `00-${traceId}-${ofEnvoy}-01`);
  assert.deepEqual(joined.parent, { traceId, spanId: ofEnvoy, sampled: true });
  assert.equal(joined.traceState, 'a=1');
  const other = '4bf92f3577b34da6a3ce929d0e0e4736';
  const begun = new RequestTrace(client, always, `00-${other}-${ofEnvoy}-01`);
  assert.deepEqual([begun.traceId, begun.parent?.spanId, begun.traceState], [other, ofEnvoy, undefined]);
});

test('a context of Envoy that is malformed, or whose span is not recorded, leaves that of the client', () => {
  const client = [['traceparent', `00-${traceId}-${spanId}-01`]] as const;
  for (const ofEnvoy of ['', 'x', `00-${traceId}-00f067aa0ba902b7-00`, `ff-${traceId}-00f067aa0ba902b7-01`]) {
    assert.equal(new RequestTrace(client, always, ofEnvoy).parent?.spanId, spanId, ofEnvoy);
  }
});

test('the trace state is bounded by whole members', () => {
  const members = Array.from({ length: 60 }, (_, index) => `vendor${index}=${'x'.repeat(10)}`).join(',');
  const headers = [
    ['traceparent', `00-${traceId}-${spanId}-01`],
    ['tracestate', members],
  ] as const;
  const { traceState = '' } = new RequestTrace(headers, always);
  assert.ok(traceState.length <= 512 && traceState.length > 480);
  assert.match(traceState, /=x{10}$/);
  assert.ok(members.startsWith(`${traceState},`));
});

test('ids do not repeat', () => {
  const ids = Array.from({ length: 5000 }, () => drawId(8));
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.every((id) => /^[0-9a-f]{16}$/.test(id)));
});

test('an id of zeros, which is invalid, is drawn again', () => {
  let calls = 0;
  const draw = newIdSource((buffer) => buffer.fill(calls++ === 0 ? 0 : 7));
  assert.equal(draw(8), '07'.repeat(8));
});
