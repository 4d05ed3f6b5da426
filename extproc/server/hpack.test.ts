/**
 * Compares the header decoder with the encoder of node:http2, its dynamic table and its Huffman
 * code.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { END_HEADERS, HEADERS, PREFACE } from './frames.ts';
import { HeaderDecoder, MalformedHeaders } from './hpack.ts';

/**
 * Returns the header blocks that node:http2 creates for requests with these paths, on one
 * connection without SETTINGS of a peer.
 */
async function encoded(paths: readonly string[]): Promise<Buffer[]> {
  const written: Buffer[] = [];
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      written.push(Buffer.from(chunk));
      done();
    },
  });
  const session = connect('http://peer', { createConnection: () => wire, peerMaxConcurrentStreams: 10_000 });
  session.on('error', () => {});
  for (const path of paths) {
    const request = session.request({ ':path': path, 'content-type': 'application/grpc', 'x-trace': `trace ${path}` });
    request.on('error', () => {});
  }
  await once(session, 'connect');
  const blocks: Buffer[] = [];
  while (blocks.length < paths.length) {
    await new Promise(setImmediate);
    blocks.length = 0;
    const bytes = Buffer.concat(written);
    for (let at = PREFACE.length; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
      if (bytes[at + 3] !== HEADERS) {
        continue;
      }
      assert.equal(bytes[at + 4]! & (END_HEADERS | 0x28), END_HEADERS, 'whole, without padding or priority');
      blocks.push(bytes.subarray(at + 9, at + 9 + bytes.readUIntBE(at, 3)));
    }
  }
  session.destroy();
  return blocks;
}

function readAll(decoder: HeaderDecoder, blocks: readonly Buffer[]): (string | undefined)[] {
  return blocks.map((block) => decoder.readPath(Buffer.concat([Buffer.from([1]), block]), 1, 1 + block.length));
}

test('paths are read through the dynamic table that the peer keeps until it has our settings', async () => {
  const paths = ['/a', '/a', '/', '/index.html', '/b', '/a'];
  for (let index = 0; index < 300; index++) {
    paths.push(`/${'x'.repeat(index % 90)}/${index % 7}`, '/a');
  }
  assert.deepEqual(readAll(new HeaderDecoder(), await encoded(paths)), paths);
});

test('every octet of the Huffman code is decoded', async () => {
  const octets = Array.from({ length: 94 }, (_, index) => String.fromCharCode(0x21 + index));
  const paths = octets.map((octet) => `/${octet}`);
  assert.deepEqual(readAll(new HeaderDecoder(), await encoded(paths)), paths);
});

test('the examples of RFC 7541, C.4, are decoded, with a table that persists between blocks', () => {
  const decoder = new HeaderDecoder();
  const blocks = [
    '828684418cf1e3c2e5f23a6ba0ab90f4ff',
    '828684be5886a8eb10649cbf',
    '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
  ];
  assert.deepEqual(
    readAll(
      decoder,
      blocks.map((hex) => Buffer.from(hex, 'hex')),
    ),
    ['/', '/', '/index.html'],
  );
});

test('a table of size 0 drops its entries, and equal blocks are decoded once', () => {
  const decoder = new HeaderDecoder();
  const insert = Buffer.from('44022f78', 'hex');
  const use = Buffer.from('be', 'hex');
  assert.deepEqual(readAll(decoder, [insert, use]), ['/x', '/x']);
  const shrink = Buffer.from('2044022f79', 'hex');
  assert.deepEqual(readAll(decoder, [shrink, shrink, insert, insert]), ['/y', '/y', '/x', '/x']);
  assert.throws(() => readAll(decoder, [use]), MalformedHeaders);
});

test('a trace context is read where a block has one, also after an equal block and from the table', () => {
  const decoder = new HeaderDecoder();
  const named = (value: string) => Buffer.from(`\x40\x0btraceparent${String.fromCharCode(value.length)}${value}`);
  const read = (block: Buffer) => {
    decoder.readPath(block, 0, block.length);
    return decoder.traceParent;
  };
  const [path, use] = [Buffer.from('04022f78', 'hex'), Buffer.from('be', 'hex')];
  assert.deepEqual([named('00-a'), path, use].map(read), ['00-a', undefined, '00-a']);
  const shrink = Buffer.from('20', 'hex');
  const blocks = [shrink, named('00-b'), named('00-b'), path, path, named('00-c')];
  assert.deepEqual(blocks.map(read), [undefined, '00-b', '00-b', undefined, undefined, '00-c']);
});

test('invalid header blocks are refused', () => {
  const bad = ['80', 'ff', 'be', '04', '0483', '0401', '7f', '3fe21f', '4482ffff', '0485ffffffffff', '00'];
  for (const hex of bad) {
    assert.throws(() => readAll(new HeaderDecoder(), [Buffer.from(hex, 'hex')]), MalformedHeaders, hex);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      try {
        readAll(new HeaderDecoder(), [Buffer.from(bytes)]);
      } catch (error) {
        assert.ok(error instanceof MalformedHeaders);
      }
    }),
    fuzzRuns(3000),
  );
});
