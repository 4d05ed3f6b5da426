/** The official codec writes the streams, so it decides what a message is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { awsEventStream, awsMessage, awsMessageWith } from '../../fixtures/aws-event-stream.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { newAwsEventSplitter } from './aws-event-stream.ts';
import type { EventSplitter } from './events.ts';

const events = [{ messageStart: { role: 'assistant' } }, { contentBlockDelta: { text: 'x'.repeat(2_000) } }, { a: {} }];
const messages = events.map((event) => Buffer.from(awsMessage(event)).toString('hex'));
const stream = Buffer.from(awsEventStream(events));

function read(splitter: EventSplitter): string[] {
  const found: string[] = [];
  while (splitter.next()) {
    found.push(Buffer.from(splitter.bytes.subarray(splitter.start, splitter.end)).toString('hex'));
  }
  return found;
}

function split(pieces: readonly Uint8Array[], splitter = newAwsEventSplitter()): readonly string[] {
  return pieces.flatMap((piece) => {
    // Pieces are not retained.
    const own = Buffer.from(piece);
    splitter.push(own);
    const found = read(splitter);
    own.fill(0xff);
    return found;
  });
}

describe('the splitter of AWS event streams', () => {
  it('returns whole messages however their bytes arrive', () => {
    assert.deepEqual(split([stream]), messages);
    assert.deepEqual(split([...stream].map((byte) => Buffer.from([byte]))), messages);
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 8 }), (places) => {
        const cuts = [0, ...places.sort((a, b) => a - b), stream.length];
        const pieces = cuts.slice(1).map((end, index) => stream.subarray(cuts[index], end));
        assert.deepEqual(split(pieces), messages);
      }),
      fuzzRuns(200),
    );
  });

  it('returns a message without headers and without a payload', () => {
    const empty = awsMessageWith({}, new Uint8Array(0));
    assert.equal(empty.length, 16);
    assert.deepEqual(
      split([empty, empty]),
      [empty, empty].map((each) => Buffer.from(each).toString('hex')),
    );
  });

  it('keeps unread input when its piece is about to change', () => {
    const splitter = newAwsEventSplitter();
    const piece = Buffer.from(stream);
    splitter.push(piece);
    assert.ok(splitter.next());
    splitter.detach();
    piece.fill(0);
    assert.deepEqual(read(splitter), messages.slice(1));
  });

  it('returns what is left of an incomplete message, once', () => {
    for (const end of [3, 11, 12, 40]) {
      const splitter = newAwsEventSplitter();
      assert.deepEqual(split([stream.subarray(0, 2), stream.subarray(2, end)], splitter), []);
      splitter.close();
      assert.ok(!splitter.next());
      assert.deepEqual(Buffer.from(splitter.rest()), stream.subarray(0, end));
      assert.equal(splitter.rest().length, 0);
    }
  });

  it('overflows at a prelude whose checksum is wrong, also between pieces', () => {
    for (const place of [0, 3, 5, 9]) {
      for (const cut of [stream.length, 6]) {
        const broken = Buffer.from(stream);
        broken[place]! ^= 1;
        const splitter = newAwsEventSplitter();
        assert.deepEqual(split([broken.subarray(0, cut), broken.subarray(cut)], splitter), []);
        assert.ok(splitter.overflowed);
      }
    }
  });

  it('overflows at a message that is too long before it holds the message', () => {
    const long = awsMessage({ text: 'x'.repeat(1_000) });
    const splitter = newAwsEventSplitter(1_000);
    assert.deepEqual(split([long.subarray(0, 12)], splitter), []);
    assert.ok(splitter.overflowed);
    assert.deepEqual(split([long], newAwsEventSplitter(long.length)).length, 1);
  });

  it('overflows at a length that has no room for the headers', () => {
    const message = Buffer.from(awsMessageWith({}, new Uint8Array(0)));
    message.writeUInt32BE(1, 4);
    const splitter = newAwsEventSplitter();
    split([message], splitter);
    assert.ok(splitter.overflowed);
  });

  it('survives any bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (pieces) => {
        const splitter = newAwsEventSplitter();
        split(pieces, splitter);
        splitter.close();
        splitter.rest();
      }),
      fuzzRuns(300),
    );
  });
});
