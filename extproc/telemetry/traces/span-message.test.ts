import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AttributeValue, SpanKind } from '@opentelemetry/api';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import fc from 'fast-check';
import { readableSpan } from './readable-span.ts';
import { SpanMessage } from './span-message.ts';
import type { FinishedSpan, SpanEvent } from './spans.ts';

const resource = resourceFromAttributes({ 'service.name': 'tallygate', 'process.pid': 4711, 'host.name': 'höst' });
const scope = { name: 'tallygate', version: '1.2.3' };

const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 400 }), fc.string({ maxLength: 60 }));
const value: fc.Arbitrary<AttributeValue> = fc.oneof(
  text,
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.integer({ min: -200, max: 200 }),
  // A whole number beyond 53 bits is a double here, and an integer there.
  fc.double().filter((number) => !Number.isInteger(number) || Number.isSafeInteger(number)),
  fc.array(text, { maxLength: 4 }),
  fc.array(fc.integer(), { maxLength: 4 }),
);
const attributes = fc
  .dictionary(fc.constantFrom('a', 'gen_ai.request.model', 'tallygate.größe'), fc.option(value, { nil: undefined }))
  .map((entries): SpanEvent['attributes'] => (put) => {
    for (const [name, one] of Object.entries(entries)) {
      put(name, one);
    }
  });
const id = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((octets) => Buffer.from(octets).toString('hex'));
const timeMs = fc.double({ min: 0, max: Date.UTC(2116, 0), noNaN: true });

const span: fc.Arbitrary<FinishedSpan> = fc
  .record({
    trace: fc.record({
      traceId: id(16),
      spanId: id(8),
      parentSpanId: fc.constant(undefined),
      traceState: fc.constantFrom(undefined, 'vendor=1,other=x'),
      sampled: fc.boolean(),
      attempts: fc.constant([]),
    }),
    name: text,
    kind: fc.constantFrom(SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL),
    spanId: id(8),
    parentSpanId: fc.option(id(8), { nil: undefined }),
    isRemoteParent: fc.boolean(),
    startMs: timeMs,
    endMs: timeMs,
    attributes,
    failed: fc.boolean(),
    events: fc.array(fc.record({ name: text, timeMs, attributes }), { maxLength: 3 }),
  })
  .map((one) => ({ ...one, isRemoteParent: one.isRemoteParent && one.parentSpanId !== undefined }));

test('messages have the bytes that the serializer of OpenTelemetry writes', () => {
  const message = new SpanMessage(resource, scope);
  fc.assert(
    fc.property(fc.array(span, { minLength: 1, maxLength: 5 }), (spans) => {
      for (const one of spans) {
        message.add(one);
      }
      const expected = ProtobufTraceSerializer.serializeRequest(spans.map((one) => readableSpan(one, resource, scope)));
      assert.deepEqual(Buffer.from(message.take()), Buffer.from(expected!));
    }),
    { numRuns: 300 },
  );
});
