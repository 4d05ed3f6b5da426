import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { brotliCompressSync, constants, createGzip, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { INFLATED_CHUNK_BYTES, type InflaterOptions, isInflatable, newInflater } from './inflate.ts';

const inSlices = (step: () => number) =>
  void setImmediate(() => {
    while (step() > 0) {}
  });

const compress = { gzip: gzipSync, br: brotliCompressSync, zstd: zstdCompressSync, deflate: deflateSync };

async function inflated(
  encoding: string,
  parts: readonly Uint8Array[],
  options: Partial<InflaterOptions> = {},
): Promise<{ readonly bytes: Buffer; readonly error?: string }> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const bytes: Uint8Array[] = [];
  const inflater = newInflater(encoding, {
    inSlices,
    onData: (data) => bytes.push(data),
    onEnd: () => resolve(undefined),
    onError: resolve,
    ...options,
  });
  for (const part of parts) {
    const given = Buffer.from(part);
    inflater.push(given);
    given.fill(0xdb);
  }
  inflater.finish();
  const error = await promise;
  return { bytes: Buffer.concat(bytes), ...(error !== undefined && { error }) };
}

const text = Buffer.from(JSON.stringify(Array.from({ length: 300 }, (_, index) => ({ index, square: index * index }))));

describe('inflating', () => {
  for (const [encoding, deflate] of Object.entries(compress)) {
    it(`${encoding}, whole and byte by byte`, async () => {
      const packed = deflate(text);
      assert.ok(isInflatable(encoding));
      assert.deepEqual((await inflated(encoding, [packed])).bytes, text);
      const single = await inflated(
        encoding.toUpperCase(),
        Array.from(packed, (_, at) => packed.subarray(at, at + 1)),
      );
      assert.deepEqual(single, { bytes: text });
    });

    it(`${encoding}: stops a decompression bomb early`, async () => {
      const bomb = deflate(Buffer.alloc(12 * 1024 * 1024));
      const { bytes, error } = await inflated(encoding, [bomb]);
      assert.match(error!, /inflates/);
      assert.ok(bytes.length < 8 * 1024 * 1024);
      const bounded = await inflated(encoding, [deflate(text)], { maxOutputBytes: 1000 });
      assert.match(bounded.error!, /too much/);
    });

    it(`${encoding}: reports an error for other data`, async () => {
      assert.match((await inflated(encoding, [Buffer.from('hello, world')])).error!, /not what/);
    });
  }

  for (const [encoding, deflate] of Object.entries(compress)) {
    it(`${encoding}: returns a chunk of at most 8 KB per step, and nothing between steps`, async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const large = randomBytes(100_000);
      const given: Uint8Array[] = [];
      let expected = false;
      const inflater = newInflater(encoding, {
        inSlices: (step) => {
          const turn = () => {
            const before = given.length;
            expected = true;
            const bytes = step();
            expected = false;
            assert.equal(given.length - before, bytes > 0 ? 1 : 0);
            if (bytes > 0) {
              setImmediate(turn);
            }
          };
          setImmediate(turn);
        },
        onData: (bytes) => {
          assert.ok(expected);
          assert.ok(bytes.length <= INFLATED_CHUNK_BYTES);
          given.push(bytes);
        },
        onEnd: resolve,
        onError: assert.fail,
      });
      inflater.push(deflate(large));
      inflater.finish();
      await promise;
      assert.deepEqual(Buffer.concat(given), large);
    });
  }

  it('returns the output before the first invalid byte', async () => {
    const large = randomBytes(100_000);
    const { bytes, error } = await inflated('gzip', [Buffer.concat([gzipSync(large), gzipSync(text).fill(0xff, 10)])]);
    assert.match(error!, /not what/);
    // All but the chunk that the decoder was producing.
    assert.ok(bytes.length > 90_000, `${bytes.length}`);
    assert.deepEqual(bytes, large.subarray(0, bytes.length));
  });

  it('reports an unknown encoding asynchronously', async () => {
    assert.equal(isInflatable('compress'), false);
    assert.equal(isInflatable('constructor'), false);
    assert.match((await inflated('compress', [text])).error!, /not known/);
  });

  it('returns what arrived of a truncated answer', async () => {
    const packed = gzipSync(text);
    const { bytes, error } = await inflated('gzip', [packed.subarray(0, packed.length >> 1)]);
    assert.equal(error, undefined);
    assert.ok(bytes.length > 100);
    assert.deepEqual(bytes, text.subarray(0, bytes.length));
  });

  it('returns each flushed part as it arrives', async () => {
    const gzip = createGzip();
    const got: string[] = [];
    let arrived = Promise.withResolvers<void>();
    const inflater = newInflater('gzip', {
      inSlices,
      onData: (data) => {
        got.push(Buffer.from(data).toString());
        arrived.resolve();
      },
      onEnd: () => {},
      onError: assert.fail,
    });
    gzip.on('data', (data: Uint8Array) => inflater.push(data));
    for (const part of ['data: a\n\n', 'data: b\n\n']) {
      arrived = Promise.withResolvers();
      gzip.write(part);
      gzip.flush(constants.Z_SYNC_FLUSH);
      await arrived.promise;
    }
    assert.equal(got.join(''), 'data: a\n\ndata: b\n\n');
    inflater.close();
    gzip.destroy();
  });

  it('holds output back on request, and reports when too much waits', async () => {
    const packed = gzipSync(randomBytes(2_000_000));
    const { promise, resolve } = Promise.withResolvers<void>();
    const drained = Promise.withResolvers<void>();
    let size = 0;
    let paused = true;
    const inflater = newInflater('gzip', {
      inSlices,
      onData: (data) => {
        assert.equal(paused, false);
        size += data.length;
      },
      onEnd: resolve,
      onError: assert.fail,
      onDrain: drained.resolve,
    });
    inflater.pause();
    let full = false;
    for (let at = 0; at < packed.length; at += 65_536) {
      if (!inflater.push(packed.subarray(at, at + 65_536))) {
        full = true;
      }
    }
    assert.ok(full);
    await new Promise(setImmediate);
    paused = false;
    inflater.resume();
    await drained.promise;
    inflater.finish();
    await promise;
    assert.equal(size, 2_000_000);
  });

  it('is silent once it is closed', async () => {
    const inflater = newInflater('gzip', {
      inSlices,
      onData: () => assert.fail(),
      onEnd: () => assert.fail(),
      onError: () => assert.fail(),
    });
    inflater.push(gzipSync(text));
    inflater.close();
    inflater.push(Buffer.from('x'));
    inflater.finish();
    await new Promise(setImmediate);
  });
});
