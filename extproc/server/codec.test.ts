/** Compares our codec with protobuf-es in both directions. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import {
  CommonResponse_ResponseStatus,
  ProcessingRequestSchema,
  ProcessingResponseSchema,
} from '../../protos/gen/envoy/service/ext_proc/v3/external_processor_pb.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import type { HeaderMutation, ImmediateResponse, MetadataStruct, MetadataValue } from '../exchange.ts';
import { decodeRequest, emptyRequest } from './decode.ts';
import * as encode from './encode.ts';
import { MalformedMessage } from './protobuf.ts';

const latin1 = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
const headers = fc.array(fc.tuple(fc.string({ maxLength: 90 }), latin1), { maxLength: 20 });
const ascii = fc.string({ maxLength: 200 });

function raw(value: string): Uint8Array {
  return Buffer.from(value, 'latin1');
}

/** Returns the message inside a larger buffer, as in socket input. */
function decode(message: Uint8Array): ReturnType<typeof emptyRequest> & { bytes: Buffer } {
  const bytes = Buffer.concat([Buffer.from([0xff, 0xff]), message, Buffer.from([0xff])]);
  const request = emptyRequest();
  decodeRequest(bytes, 2, 2 + message.length, request);
  return { ...request, bytes };
}

test('headers and attributes of requests and responses are decoded as protobuf-es encodes them', () => {
  fc.assert(
    fc.property(
      headers,
      fc.boolean(),
      fc.boolean(),
      fc.dictionary(ascii, ascii),
      (list, endOfStream, first, strings) => {
        const message = create(ProcessingRequestSchema, {
          request: {
            case: first ? 'requestHeaders' : 'responseHeaders',
            value: { headers: { headers: list.map(([key, value]) => ({ key, rawValue: raw(value) })) }, endOfStream },
          },
          attributes: { 'envoy.filters.http.ext_proc': { ...strings, ignored: 4, nested: { a: [true, null] } } },
        });
        const read = decode(toBinary(ProcessingRequestSchema, message));
        assert.equal(read.kind, first ? 'request-headers' : 'response-headers');
        assert.equal(read.endOfStream, endOfStream);
        const utf8 = (name: string): string => Buffer.from(name).toString('latin1');
        assert.deepEqual(
          read.headers,
          list.map(([key, value]) => [utf8(key), value]),
        );
        const expected = new Map(Object.entries(strings));
        expected.delete('ignored');
        expected.delete('nested');
        assert.deepEqual(new Map([...read.attributes].toSorted()), new Map([...expected].toSorted()));
      },
    ),
  );
});

test('bodies and trailers of requests are decoded as protobuf-es encodes them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40_000 }), fc.boolean(), fc.boolean(), (body, endOfStream, first) => {
      const message = create(ProcessingRequestSchema, {
        request: { case: first ? 'requestBody' : 'responseBody', value: { body, endOfStream } },
      });
      const read = decode(toBinary(ProcessingRequestSchema, message));
      assert.equal(read.kind, first ? 'request-body' : 'response-body');
      assert.equal(read.endOfStream, endOfStream);
      assert.deepEqual(new Uint8Array(read.bytes.subarray(read.bodyStart, read.bodyEnd)), body);
    }),
  );
  for (const kind of ['requestTrailers', 'responseTrailers'] as const) {
    const message = create(ProcessingRequestSchema, {
      request: { case: kind, value: { trailers: { headers: [{ key: 'a', value: 'b' }] } } },
    });
    assert.equal(decode(toBinary(ProcessingRequestSchema, message)).kind.replace('-t', 'T'), kind);
  }
});

test('the older text form of a header value is read, and raw_value wins', () => {
  const both = { key: 'a', value: 'old', rawValue: raw('new') };
  const message = create(ProcessingRequestSchema, {
    request: { case: 'requestHeaders', value: { headers: { headers: [{ key: 'b', value: 'text' }, both] } } },
  });
  assert.deepEqual(decode(toBinary(ProcessingRequestSchema, message)).headers, [
    ['b', 'text'],
    ['a', 'new'],
  ]);
});

test('unknown fields of every wire type are skipped, at every level', () => {
  const unknown = Buffer.from('a006ffffffffffffffffff01a1060001020304050607a20603aabbcca50601020304', 'hex');
  const inner = Buffer.concat([unknown, Buffer.from([0x0a, 2, 0x68, 0x69]), unknown, Buffer.from([0x10, 1]), unknown]);
  const read = decode(Buffer.concat([unknown, Buffer.from([0x2a, inner.length]), inner, unknown]));
  assert.equal(read.kind, 'response-body');
  assert.equal(read.bytes.toString('latin1', read.bodyStart, read.bodyEnd), 'hi');
  assert.equal(read.endOfStream, true);
});

test('malformed bytes are refused or decoded, without another exception', () => {
  const message = create(ProcessingRequestSchema, {
    request: {
      case: 'requestHeaders',
      value: { headers: { headers: [{ key: ':path', rawValue: raw('/') }] }, endOfStream: true },
    },
    attributes: { filter: { 'xds.route_name': 'one' } },
  });
  const good = toBinary(ProcessingRequestSchema, message);
  const attempt = (bytes: Uint8Array): void => {
    try {
      decode(bytes);
    } catch (error) {
      assert.ok(error instanceof MalformedMessage);
    }
  };
  for (let cut = 0; cut < good.length; cut++) {
    attempt(good.subarray(0, cut));
    for (const value of [0, 0x7f, 0x80, 0xff]) {
      attempt(good.with(cut, value));
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), attempt), fuzzRuns(2000));
  assert.throws(() => decode(good.subarray(0, good.length - 1)), MalformedMessage);
});

function written(size: number, body: Uint8Array, write: (target: Buffer, start: number) => number): Uint8Array {
  const target = Buffer.alloc(size + 3, 0xee);
  assert.equal(write(target, 3), size + 3, 'the size that was announced');
  return new Uint8Array(Buffer.concat([target.subarray(3), body]));
}

function sameResponse(bytes: Uint8Array, expected: MessageInitShape<typeof ProcessingResponseSchema>): void {
  const read = fromBinary(ProcessingResponseSchema, bytes);
  // Compared as encoded by protobuf-es, which drops the empty messages that we leave out.
  assert.deepEqual(read, create(ProcessingResponseSchema, expected));
}

function option(key: string, value: Uint8Array): { header: { key: string; rawValue: Uint8Array }; appendAction: 2 } {
  return { header: { key, rawValue: new Uint8Array(value) }, appendAction: 2 };
}

test('answers to headers are decoded by protobuf-es', () => {
  fc.assert(
    fc.property(headers, fc.array(ascii), fc.boolean(), fc.boolean(), (set, remove, clearRouteCache, first) => {
      const mutation: HeaderMutation = { set, remove, clearRouteCache };
      const answer = first ? encode.REQUEST_HEADERS_ANSWER : encode.RESPONSE_HEADERS_ANSWER;
      const bytes = written(encode.headersAnswerSize(mutation), new Uint8Array(), (target, start) =>
        encode.writeHeadersAnswer(target, start, answer, mutation),
      );
      const setHeaders = set.map(([key, value]) => option(key, raw(value)));
      const empty = set.length === 0 && remove.length === 0;
      sameResponse(bytes, {
        response: {
          case: first ? 'requestHeaders' : 'responseHeaders',
          value: {
            response: {
              clearRouteCache,
              ...(empty ? {} : { headerMutation: { setHeaders, removeHeaders: remove } }),
            },
          },
        },
      });
    }),
  );
});

test('a body that replaces that of the response is decoded by protobuf-es', () => {
  fc.assert(
    fc.property(headers, fc.uint8Array({ maxLength: 40_000 }), (set, body) => {
      const mutation: HeaderMutation = { set, body };
      const bytes = written(encode.headersAnswerSize(mutation), body, (target, start) =>
        encode.writeHeadersAnswer(target, start, encode.RESPONSE_HEADERS_ANSWER, mutation),
      );
      const setHeaders = set.map(([key, value]) => option(key, raw(value)));
      const response = {
        status: CommonResponse_ResponseStatus.CONTINUE_AND_REPLACE,
        bodyMutation: { mutation: { case: 'body' as const, value: body } },
        ...(set.length === 0 ? {} : { headerMutation: { setHeaders } }),
      };
      sameResponse(bytes, { response: { case: 'responseHeaders', value: { response } } });
    }),
  );
});

test('dynamic metadata is decoded by protobuf-es', () => {
  const { value } = fc.letrec<{ value: MetadataValue; struct: MetadataStruct }>((tie) => ({
    struct: fc.dictionary(ascii, tie('value'), { maxKeys: 3, noNullPrototype: true }),
    value: fc.oneof({ maxDepth: 3 }, fc.string(), fc.array(tie('value'), { maxLength: 3 }), tie('struct')),
  }));
  fc.assert(
    fc.property(headers, fc.dictionary(ascii, value, { maxKeys: 3, noNullPrototype: true }), (set, metadata) => {
      const mutation: HeaderMutation = { set, metadata };
      const bytes = written(encode.headersAnswerSize(mutation), new Uint8Array(), (target, start) =>
        encode.writeHeadersAnswer(target, start, encode.REQUEST_HEADERS_ANSWER, mutation),
      );
      const { dynamicMetadata, response } = fromBinary(ProcessingResponseSchema, bytes);
      assert.equal(response.case, 'requestHeaders');
      assert.deepEqual(dynamicMetadata ?? {}, metadata);
    }),
  );
});

test('a header value beyond latin1 is sent as UTF-8, not truncated to bytes', () => {
  const mutation: HeaderMutation = { set: [['x-model', 'a\u010ab\u00e9']] };
  const bytes = written(encode.headersAnswerSize(mutation), new Uint8Array(), (target, start) =>
    encode.writeHeadersAnswer(target, start, encode.REQUEST_HEADERS_ANSWER, mutation),
  );
  const { response } = fromBinary(ProcessingResponseSchema, bytes);
  assert.equal(response.case, 'requestHeaders');
  const header = response.value?.response?.headerMutation?.setHeaders[0]?.header;
  assert.equal(Buffer.from(header?.rawValue ?? []).toString('utf8'), 'a\u010ab\u00e9');
});

test('answers to bodies and trailers are decoded by protobuf-es', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40_000 }), fc.boolean(), fc.boolean(), (body, endOfStream, first) => {
      const answer = first ? encode.REQUEST_BODY_ANSWER : encode.RESPONSE_BODY_ANSWER;
      const bytes = written(encode.bodyAnswerSize(body.length, endOfStream), body, (target, start) =>
        encode.writeBodyAnswer(target, start, answer, body.length, endOfStream),
      );
      const mutation = { case: 'streamedResponse' as const, value: { body, endOfStream } };
      sameResponse(bytes, {
        response: {
          case: first ? 'requestBody' : 'responseBody',
          value: { response: { bodyMutation: { mutation } } },
        },
      });
    }),
  );
  const bytes = written(encode.TRAILERS_ANSWER_SIZE, new Uint8Array(), (target, start) =>
    encode.writeTrailersAnswer(target, start, encode.RESPONSE_TRAILERS_ANSWER),
  );
  sameResponse(bytes, { response: { case: 'responseTrailers', value: {} } });
});

test('immediate responses are decoded by protobuf-es', () => {
  fc.assert(
    fc.property(fc.integer({ min: 200, max: 599 }), headers, fc.uint8Array(), ascii, (status, list, body, details) => {
      const answer: ImmediateResponse = { status, headers: list, body, details };
      const bytes = written(encode.immediateAnswerSize(answer), body, (target, start) =>
        encode.writeImmediateAnswer(target, start, answer),
      );
      const setHeaders = list.map(([key, value]) => option(key, raw(value)));
      sameResponse(bytes, {
        response: {
          case: 'immediateResponse',
          value: { status: { code: status }, body, details, ...(list.length > 0 ? { headers: { setHeaders } } : {}) },
        },
      });
    }),
  );
});
