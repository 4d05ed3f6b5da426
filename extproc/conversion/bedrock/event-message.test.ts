import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import { EventStreamCodec } from '@smithy/core/event-streams';
import fc from 'fast-check';
import { awsMessage, awsMessageWith } from '../../../fixtures/aws-event-stream.ts';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import { dataOfMessage } from './event-message.ts';

const body = Buffer.from('{"text":"Grüße"}');
const codec = new EventStreamCodec(
  (bytes) => (typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString()),
  (text) => Buffer.from(text),
);

describe('the data of a message', () => {
  it('has the type of the event or the exception', () => {
    assert.equal(dataOfMessage(awsMessage({ metadata: { a: 1 } })), '{"metadata":{"a":1}}');
    assert.equal(dataOfMessage(awsMessage({ throttlingException: {} })), '{"throttlingException":{}}');
    const error = { ':message-type': 'error', ':error-code': 'InternalError', ':error-message': 'Broken' };
    assert.equal(dataOfMessage(awsMessageWith(error, body)), '{"InternalError":{"message":"Broken"}}');
  });

  it('is found behind headers of every type', () => {
    const message = codec.encode({
      headers: {
        yes: { type: 'boolean', value: true },
        no: { type: 'boolean', value: false },
        byte: { type: 'byte', value: 1 },
        short: { type: 'short', value: 2 },
        integer: { type: 'integer', value: 3 },
        binary: { type: 'binary', value: Buffer.from([1, 2, 3]) },
        time: { type: 'timestamp', value: new Date(0) },
        uuid: { type: 'uuid', value: '01234567-89ab-cdef-0123-456789abcdef' },
        ':event-type': { type: 'string', value: 'last' },
      },
      body,
    });
    assert.equal(dataOfMessage(message), '{"last":{"text":"Grüße"}}');
  });

  it('is unreadable where one bit is wrong', () => {
    const message = awsMessage({ contentBlockDelta: { text: 'a' } });
    for (let place = 4; place < message.length; place++) {
      const broken = Buffer.from(message);
      broken[place]! ^= 1;
      assert.equal(dataOfMessage(broken), '', `byte ${place}`);
    }
  });

  it('is unreadable without a type, and absent in an incomplete message', () => {
    assert.equal(dataOfMessage(awsMessageWith({ other: 'x' }, body)), '');
    const message = awsMessage({ metadata: {} });
    for (let end = 0; end < message.length; end++) {
      assert.equal(dataOfMessage(message.subarray(0, end)), undefined);
    }
  });

  it('is unreadable where the headers break their format', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (headers) => {
        const payload = Buffer.from(headers);
        const message = Buffer.from(awsMessageWith({}, payload));
        // The checksums are those of a message whose headers are these bytes.
        const data = dataOfMessage(withHeaders(message, payload.length));
        assert.ok(data !== undefined);
      }),
      fuzzRuns(300),
    );
  });
});

/** Declares the payload of a message to be its headers. */
function withHeaders(message: Buffer, length: number): Buffer {
  const changed = Buffer.from(message);
  changed.writeUInt32BE(length, 4);
  changed.writeUInt32BE(crc32(changed.subarray(0, 8)), 8);
  changed.writeUInt32BE(crc32(changed.subarray(0, -4)), changed.length - 4);
  return changed;
}
