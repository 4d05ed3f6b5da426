import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AccessLogEntry, AccessLogStream } from './access-log.ts';
import { MalformedMessage } from './protobuf.ts';

/** Returns a length-delimited field; lengths below 16 KB. */
function field(number: number, value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  const tag = (number << 3) | 2;
  const head = tag < 0x80 ? [tag] : [(tag & 0x7f) | 0x80, tag >> 7];
  return Buffer.concat([Buffer.from([...head, (bytes.length & 0x7f) | 0x80, bytes.length >> 7]), bytes]);
}

function flag(number: number, on = 1): Buffer {
  const tag = number << 3;
  return Buffer.from(tag < 0x80 ? [tag, on] : [(tag & 0x7f) | 0x80, tag >> 7, on]);
}

function message(...entries: readonly Buffer[]): Buffer {
  const identifier = field(1, field(2, 'tallygate'));
  const body = Buffer.concat([identifier, field(2, Buffer.concat(entries.map((entry) => field(1, entry))))]);
  return Buffer.concat([Buffer.from([0, 0, 0, body.length >> 8, body.length & 0xff]), body]);
}

const broken = Buffer.concat([
  field(
    1,
    Buffer.concat([
      field(15, 'backend/a'),
      field(16, Buffer.concat([flag(7), flag(24, 0), flag(16)])),
      field(18, 'TLS error'),
    ]),
  ),
  flag(2, 2),
  field(3, Buffer.concat([field(5, '/v1'), field(9, 'r1')])),
  field(4, field(6, 'upstream_reset_after_response_started{connection_termination}')),
]);
const bare = field(3, field(9, 'r2'));

function read(pieces: readonly Buffer[]): readonly AccessLogEntry[] {
  const entries: AccessLogEntry[] = [];
  const stream = new AccessLogStream((entry) => entries.push(entry));
  for (const piece of pieces) {
    stream.receive(piece, 0, piece.length);
  }
  return entries;
}

test('entries are read for any cuts of the messages', () => {
  const bytes = Buffer.concat([message(broken), message(bare, broken)]);
  const first = {
    requestId: 'r1',
    flags: 'UC,URX',
    details: 'upstream_reset_after_response_started{connection_termination}',
    transportFailure: 'TLS error',
  };
  const expected = [first, { requestId: 'r2', flags: '', details: '', transportFailure: '' }, first];
  assert.deepEqual(read([bytes]), expected);
  assert.deepEqual(read([...bytes].map((byte) => Buffer.from([byte]))), expected);
});

test('other input is refused', () => {
  const whole = message(broken);
  assert.throws(() => read([Buffer.from([0, 1, 0, 0, 0])]), MalformedMessage, 'a message past the bound');
  for (let at = 5; at < whole.length; at++) {
    for (const byte of [0x00, 0x7f, 0xff]) {
      const changed = Buffer.from(whole);
      changed[at] = byte;
      try {
        read([changed]);
      } catch (error) {
        assert.ok(error instanceof MalformedMessage, String(error));
      }
    }
  }
});
