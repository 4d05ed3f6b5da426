/**
 * Whatever a stage holds back, the client gets the events in order and unchanged, and an early end
 * fits what it was sent: the same bytes as those of a stream whose provider stopped there.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fuzz } from '../../../tools/fuzz/cases.ts';
import { failure } from '../../errors.ts';
import { chat } from '../../providers/openai/chat.ts';
import {
  eventsOf,
  NO_TEXT,
  newAdapter,
  type RecordedStream,
  recordedStreams,
} from '../../providers/testing/recordings.ts';
import { textUsage } from '../../usage.ts';
import { ClientStream, type EventSink } from './client-stream.ts';
import { HoldBack } from './hold-back.ts';
import { NO_VERDICT, WORD_REFUSED, WordStage, type WordStageOptions } from './testing.ts';

const USAGE = textUsage(10, 20);
const BROKEN = failure('backend_unavailable', 'It broke off.');
const STREAMS = recordedStreams().filter(({ stream }) => stream.length < 50_000);
const delta = (content: string) =>
  Buffer.from(`data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content } }] })}\n\n`);

function newStream(options: WordStageOptions, endpoint = chat, hideUsage = false) {
  const { reader, writer } = newAdapter(endpoint, { hideUsage });
  const client = new ClientStream(writer);
  const stage = new WordStage(options);
  const holdBack = new HoldBack(stage, client);
  let sent = '';
  const take = () => {
    for (const piece of client.take()) {
      sent += Buffer.from(piece).toString('latin1');
    }
    return sent;
  };
  const pass = (sink: EventSink, event: Uint8Array) => {
    // Overwrites the event after use, as the read buffer is in production.
    const given = Buffer.from(event);
    const facts = reader.read(given, 0, given.length, stage);
    sink.event(given, 0, given.length, 'none', facts);
    sink.flush();
    take();
    given.fill(0xdb);
  };
  return { client, stage, holdBack, take, pass: (event: Uint8Array) => pass(holdBack, event) };
}

/** Returns what the client of a stream without a stage gets, which ends behind these events. */
function direct({ endpoint, stream }: RecordedStream, events: number, hideUsage: boolean): ClientStream {
  const { reader, writer } = newAdapter(endpoint, { hideUsage });
  const client = new ClientStream(writer);
  for (const [start, end] of eventsOf(stream).slice(0, events)) {
    client.event(stream, start, end, 'none', reader.read(stream, start, end, NO_TEXT));
  }
  return client;
}

function taken(client: ClientStream): string {
  client.flush();
  return Buffer.concat(client.take()).toString('latin1');
}

describe('events that a stage holds back', () => {
  it('wait until this many follow', () => {
    const { pass, take, holdBack } = newStream({ waiting: 2 });
    const events = ['a', 'b', 'c', 'd'].map(delta);
    pass(events[0]!);
    pass(events[1]!);
    assert.equal(take(), '');
    pass(events[2]!);
    assert.equal(take(), events[0]!.toString());
    pass(events[3]!);
    assert.equal(take(), `${events[0]}${events[1]}`);
    assert.equal(holdBack.end(), undefined);
    assert.equal(take(), events.join(''));
  });

  it('go together with the event that is released', () => {
    const { pass, take, stage } = newStream({ waiting: 9 });
    pass(delta('a'));
    stage.waiting = 0;
    pass(delta('b'));
    assert.equal(take(), `${delta('a')}${delta('b')}`);
  });

  for (const limits of [{ heldEvents: 2 }, { heldBytes: 2 * delta('a').length }]) {
    it(`go beyond the limit where the stage says so: ${JSON.stringify(limits)}`, () => {
      const { pass, take, holdBack } = newStream({ waiting: 9, limits, withoutVerdict: 'release' });
      pass(delta('a'));
      pass(delta('b'));
      assert.equal(take(), '');
      pass(delta('c'));
      assert.equal(take(), delta('a').toString());
      assert.equal(holdBack.failure, undefined);
    });

    it(`fail the stream beyond the limit otherwise: ${JSON.stringify(limits)}`, () => {
      const { pass, take, holdBack } = newStream({ waiting: 9, limits });
      pass(delta('a'));
      pass(delta('b'));
      assert.equal(holdBack.failure, undefined);
      pass(delta('c'));
      assert.equal(holdBack.failure, NO_VERDICT);
      pass(delta('d'));
      assert.equal(holdBack.end(), NO_VERDICT);
      assert.equal(take(), '');
    });
  }

  it('never reach the client once the stage refuses them', () => {
    const { pass, take, holdBack, client } = newStream({ waiting: 2, word: 'secret' });
    for (const text of ['a', 'b', 'se', 'cret', 'd']) {
      pass(delta(text));
    }
    assert.equal(holdBack.failure, WORD_REFUSED);
    client.fail(WORD_REFUSED);
    assert.ok(take().startsWith(`${delta('a')}data: {"error"`), take());
    assert.doesNotMatch(take(), /"(b|se|cret|d)"/);
  });

  it('reach the client unchanged, and an early end fits what was sent', () =>
    fuzz(200, (random) => {
      const recorded = random.pick(STREAMS);
      const hideUsage = random.next() < 0.5;
      const limits = { heldEvents: random.between(1, 6), heldBytes: random.pick([300, 3_000, 100_000]) };
      const { pass, take, stage, holdBack, client } = newStream(
        { limits, withoutVerdict: 'release' },
        recorded.endpoint,
        hideUsage,
      );
      const events = eventsOf(recorded.stream);
      const read = random.between(0, Math.min(40, events.length));
      let released = 0;
      for (let index = 0; index < read; index++) {
        const [start, end] = events[index]!;
        stage.waiting = random.between(0, 8);
        pass(recorded.stream.subarray(start, end));
        while (released <= index && taken(direct(recorded, released, hideUsage)) !== take()) {
          released++;
        }
        assert.equal(taken(direct(recorded, released, hideUsage)), take());
        const dropped = hideUsage && taken(direct(recorded, released + 1, hideUsage)) === take() ? 1 : 0;
        const heldBytes = end - (events[released + dropped]?.[0] ?? end);
        assert.ok(index + 1 - released - dropped <= limits.heldEvents && heldBytes <= limits.heldBytes);
      }
      const ending = random.pick(['truncate', 'fail', 'end']);
      if (ending !== 'fail') {
        assert.equal(holdBack.end(), undefined);
      }
      const expected = direct(recorded, ending === 'fail' ? released : read, hideUsage);
      for (const one of [client, expected]) {
        if (ending === 'truncate') {
          one.truncate(USAGE);
        } else if (ending === 'fail') {
          one.fail(BROKEN);
        }
      }
      assert.equal(take(), taken(expected));
    }));
});
