/** Messages that arrive in pieces have the same meaning as whole ones. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { ProcessingRequestSchema } from '../../protos/gen/envoy/service/ext_proc/v3/external_processor_pb.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { Assembler } from './assembler.ts';
import { BLOCK_BYTES, BodyBlocks } from './body-blocks.ts';
import { decodeRequest, emptyRequest } from './decode.ts';
import { PASSED_PIECE_BYTES } from './limits.ts';
import { MalformedMessage } from './protobuf.ts';
import { grpcBytes } from './testing/peer.ts';

interface Result {
  readonly kind: string;
  readonly body: Buffer;
  readonly endOfStream: boolean;
  readonly pieces: number;
}

const MAX = 1_000_000;

function assemble(bytes: Buffer, cuts: readonly number[]): Result {
  const assembler = new Assembler(MAX, new BodyBlocks());
  const pieces: Buffer[] = [];
  const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length].toSorted((a, b) => a - b);
  let at = 0;
  for (const end of ends) {
    while (at < end && !assembler.done) {
      at = assembler.take(bytes, at, end);
      if (assembler.piece !== undefined) {
        pieces.push(assembler.piece);
      }
    }
  }
  assert.equal(at, bytes.length);
  assert.equal(assembler.done, true);
  const { message } = assembler;
  if (message === undefined) {
    if (assembler.ofRequest) {
      assert.ok(pieces.every(({ length, buffer }) => [length, BLOCK_BYTES].includes(buffer.byteLength)));
    } else {
      assert.ok(pieces.length <= ends.length + 1 + bytes.length / PASSED_PIECE_BYTES);
      assert.ok(pieces.every((piece) => piece.length <= PASSED_PIECE_BYTES));
      assert.ok(pieces.some((piece) => piece.buffer === bytes.buffer));
    }
    const kind = assembler.ofRequest ? 'request-body' : 'response-body';
    return { kind, body: Buffer.concat(pieces), endOfStream: assembler.endOfStream, pieces: pieces.length };
  }
  const request = emptyRequest();
  decodeRequest(message, 0, message.length, request);
  const body = message.subarray(request.bodyStart, request.bodyEnd);
  return { kind: request.kind, body, endOfStream: request.endOfStream, pieces: 0 };
}

const size = fc.oneof(fc.nat(40), fc.integer({ min: 65_500, max: 65_600 }), fc.integer({ min: 0, max: 300_000 }));

test('a body is the same whole and in pieces, for any cut of the message', () => {
  const cuts = fc.array(fc.oneof(fc.nat(40), fc.nat(300_100)), { maxLength: 8 });
  fc.assert(
    fc.property(size, fc.boolean(), fc.boolean(), fc.boolean(), cuts, (length, endOfStream, first, more, at) => {
      const body = Buffer.from(Array.from({ length }, (_, index) => (index * 13 + (index >> 8)) & 0xff));
      const message = create(ProcessingRequestSchema, {
        request: { case: first ? 'requestBody' : 'responseBody', value: { body, endOfStream } },
        attributes: more ? { filter: { name: 'x'.repeat(40) } } : {},
      });
      const bytes = grpcBytes(toBinary(ProcessingRequestSchema, message));
      const result = assemble(bytes, at);
      assert.equal(result.kind, first ? 'request-body' : 'response-body');
      assert.ok(result.body.equals(body));
      assert.equal(result.endOfStream, endOfStream);
      if (length > 65_536 && first) {
        assert.equal(result.pieces, Math.ceil(length / BLOCK_BYTES));
      }
    }),
    fuzzRuns(300),
  );
});

test('large messages without a body, or with fields before the body, are collected whole', () => {
  const headers = Array.from({ length: 2000 }, (_, index) => ({ key: `name-${index}`, value: 'v'.repeat(50) }));
  const message = create(ProcessingRequestSchema, {
    request: { case: 'requestHeaders', value: { headers: { headers } } },
  });
  const bytes = grpcBytes(toBinary(ProcessingRequestSchema, message));
  assert.equal(assemble(bytes, [3, 9, 70_000]).kind, 'request-headers');
  const body = Buffer.alloc(80_000, 'b');
  const field = Buffer.concat([Buffer.from([0x10, 1, 0x0a, 0x80, 0xf1, 0x04]), body]);
  const ended = Buffer.concat([Buffer.from([0x22, 0x86, 0xf1, 0x04]), field]);
  const result = assemble(grpcBytes(ended), [20, 30]);
  assert.ok(result.body.equals(body));
  assert.equal(result.endOfStream, true);
});

test('contradictory messages are refused', () => {
  const body = Buffer.alloc(70_000);
  const head = (inner: number, length: number): Buffer => {
    const varint = (value: number): number[] => [(value & 0x7f) | 0x80, ((value >> 7) & 0x7f) | 0x80, value >> 14];
    return Buffer.from([0x2a, ...varint(inner), 0x0a, ...varint(length)]);
  };
  const good = Buffer.concat([head(70_004, 70_000), body]);
  assert.equal(assemble(grpcBytes(good), []).body.length, 70_000);
  const bad = [
    Buffer.concat([head(70_004, 70_001), body]),
    Buffer.concat([head(70_005, 70_000), body]),
    Buffer.concat([head(70_004, 70_000), body, Buffer.from([0x2a, 0])]),
    Buffer.concat([head(70_006, 70_000), body, Buffer.from([0x0a, 0])]),
    Buffer.concat([head(70_004, 70_000), body, Buffer.from([0x0b])]),
    Buffer.alloc(MAX + 1),
  ];
  for (const [index, bytes] of bad.entries()) {
    assert.throws(() => assemble(grpcBytes(bytes), [40]), MalformedMessage, `${index}`);
  }
});
