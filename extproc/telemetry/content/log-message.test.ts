import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import fc from 'fast-check';
import type { ContentEntry } from './entry.ts';
import { LogMessage } from './log-message.ts';
import { readableLogRecord } from './readable-log-record.ts';

const resource = resourceFromAttributes({ 'service.name': 'tallygate', 'host.name': 'höst' });
const scope = { name: 'tallygate.content' };

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 400 }),
  fc.string({ maxLength: 60 }),
  fc.string({ unit: fc.constantFrom('x', '€', '\ud83d'), minLength: 8_000, maxLength: 40_000 }),
);
const part = fc.oneof(
  fc.record({ type: fc.constantFrom('text', 'reasoning'), content: text }),
  fc.record({ type: fc.constant('tool_call'), name: fc.constant(''), arguments: text }),
);
const parts = fc.array(part, { maxLength: 3 });
const message = { role: fc.constantFrom('user', 'assistant', 'tool'), parts };
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const id = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((octets) => Buffer.from(octets).toString('hex'));

const entry: fc.Arbitrary<ContentEntry> = fc.record({
  id: fc.uuid(),
  timeMs: fc.double({ min: 0, max: Date.UTC(2116, 0), noNaN: true }),
  span: optional(fc.record({ traceId: id(16), spanId: id(8), traceFlags: fc.constantFrom(0, 1) })),
  attributes: fc.dictionary(fc.constantFrom('user.id', 'tallygate.content.truncated'), fc.oneof(text, fc.boolean())),
  instructions: optional(parts),
  input: optional(fc.array(fc.record(message), { maxLength: 3 })),
  output: optional(
    fc.array(fc.record({ ...message, finish_reason: fc.constantFrom('stop', 'length') }), { maxLength: 2 }),
  ),
});

test('messages have the bytes that the serializer of OpenTelemetry writes', () => {
  const ours = new LogMessage(resource, scope);
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 4 }), (entries) => {
      for (const one of entries) {
        ours.add(one);
      }
      const records = entries.map((one) => readableLogRecord(one, resource, scope));
      assert.deepEqual(Buffer.from(ours.take()), Buffer.from(ProtobufLogsSerializer.serializeRequest(records)!));
    }),
    { numRuns: 200 },
  );
});
