import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure } from '../../errors.ts';
import { chat } from '../../providers/openai/chat.ts';
import { NO_TEXT, newAdapter } from '../../providers/testing/recordings.ts';
import { textUsage } from '../../usage.ts';
import { ClientStream } from './client-stream.ts';

const DELTA = Buffer.from('data: {"id":"c","choices":[{"index":0,"delta":{"content":"abc"}}]}\n\n');
const FAILURE = failure('backend_unavailable', 'It broke off.');

function newStream(hideUsage = false) {
  const { reader, writer } = newAdapter(chat, { hideUsage });
  const stream = new ClientStream(writer);
  return {
    stream,
    /** Reads an event and sends it. */
    send: (bytes: Uint8Array, start = 0, end = bytes.length) =>
      stream.event(bytes, start, end, 'none', reader.read(bytes, start, end, NO_TEXT)),
    sendPart: (bytes: Uint8Array, part: 'begun' | 'last') =>
      stream.event(bytes, 0, bytes.length, part, reader.readPart(bytes, 0, bytes.length, part === 'last', NO_TEXT)),
    taken: () => Buffer.concat(stream.take()).toString(),
  };
}

describe('the stream of a client', () => {
  it('sends adjacent events as one view of their bytes', () => {
    const { stream, send } = newStream();
    const bytes = Buffer.concat([DELTA, DELTA, DELTA]);
    for (let at = 0; at < bytes.length; at += DELTA.length) {
      send(bytes, at, at + DELTA.length);
    }
    stream.flush();
    const pieces = stream.take();
    assert.deepEqual(pieces, [bytes]);
    assert.equal(pieces[0]?.buffer, bytes.buffer);
    assert.deepEqual(stream.take(), []);
  });

  it('leaves out an event that the client must not see', () => {
    const { stream, send, taken } = newStream(true);
    const usage = Buffer.from('data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n');
    const bytes = Buffer.concat([DELTA, usage, DELTA]);
    send(bytes, 0, DELTA.length);
    send(bytes, DELTA.length, DELTA.length + usage.length);
    send(bytes, DELTA.length + usage.length);
    stream.flush();
    assert.equal(taken(), `${DELTA}${DELTA}`);
  });

  for (const ending of ['truncate', 'fail'] as const) {
    const end = (stream: ClientStream) => (ending === 'fail' ? stream.fail(FAILURE) : stream.truncate(textUsage(1, 2)));

    it(`ends a long event whose last part was not sent, before it ends itself (${ending})`, () => {
      const { stream, sendPart, taken } = newStream();
      const begun = DELTA.subarray(0, 60);
      sendPart(begun, 'begun');
      end(stream);
      const sent = taken();
      assert.ok(sent.startsWith(`${begun}\n\ndata: {`), sent);
    });

    it(`adds nothing behind a long event that was sent completely (${ending})`, () => {
      const { stream, sendPart, taken } = newStream();
      sendPart(DELTA.subarray(0, 60), 'begun');
      sendPart(DELTA.subarray(60), 'last');
      end(stream);
      assert.ok(taken().startsWith(`${DELTA}data: {`));
    });
  }
});
