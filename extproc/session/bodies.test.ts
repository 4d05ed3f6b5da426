import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SimulatedTime } from '../quota/testing.ts';
import { loadEncodings } from '../tokens/encodings.ts';
import {
  BASE_BYTES,
  BODY_BYTES_OF_PROCESS,
  Bodies,
  type Body,
  type BodyEnd,
  GRACE_LOOKS,
  IDLE_LOOKS,
  LEAST_BYTES_PER_LOOK,
  RESERVED_FOR_SMALL_BYTES,
  SMALL_BODY_BYTES,
} from './bodies.ts';
import { basePolicy, CHAT_HEADERS, ENTRY, newExchange, newRig } from './testing.ts';

const MB = 1024 * 1024;

/** Owners that release a body when it is ended, as sessions do. */
function setUp() {
  const time = new SimulatedTime();
  const bodies = new Bodies({ now: () => time.nowMs, schedule: time.schedule });
  const ended: string[] = [];
  const begin = (name: string, bytes = 0): Body => {
    const body: Body = bodies.begin(
      {
        endBody: (why: BodyEnd) => {
          ended.push(`${name} ${why}`);
          bodies.release(body);
        },
      },
      0,
    );
    if (bytes > 0) {
      bodies.add(body, bytes);
    }
    return body;
  };
  return { time, bodies, ended, begin };
}

test('past the process limit, the body that has taken the most memory for the longest time ends', () => {
  const { time, bodies, ended, begin } = setUp();
  begin('old', 40 * MB);
  time.pass(1_000);
  begin('larger, and young', 60 * MB);
  time.pass(10);
  begin('the next', 20 * MB);
  time.pass(0);
  assert.deepEqual(ended, ['old overloaded']);
  assert.ok(bodies.bytes < BODY_BYTES_OF_PROCESS);
});

test('large bodies cannot use the reserve of small ones', () => {
  const { time, bodies, ended, begin } = setUp();
  const large = Array.from({ length: 4 }, (_, index) => begin(`large ${index}`, 27 * MB + 900_000));
  assert.ok(bodies.bytes > BODY_BYTES_OF_PROCESS - RESERVED_FOR_SMALL_BYTES - MB);
  // Complete bodies cannot be ended to make room.
  for (const body of large) {
    assert.equal(bodies.whole(body), undefined);
  }
  const small = Array.from({ length: 150 }, (_, index) => begin(`small ${index}`, SMALL_BODY_BYTES));
  time.pass(0);
  assert.deepEqual(ended, []);
  begin('a large one more', MB);
  time.pass(0);
  assert.deepEqual(ended, ['a large one more overloaded']);
  for (const body of small) {
    assert.equal(bodies.whole(body), undefined);
  }
  for (const body of [...large, ...small]) {
    bodies.release(body);
  }
  assert.equal(bodies.bytes, 0);
});

test('a body that was chosen to end is not admitted by its last piece', () => {
  const { bodies, ended, begin } = setUp();
  const body = begin('too large', BODY_BYTES_OF_PROCESS);
  assert.equal(bodies.whole(body), 'overloaded');
  assert.equal(bodies.bytes, 0);
  assert.deepEqual(ended, []);
});

test('thousands of small bodies that never end stay below the process limit: the oldest end first', () => {
  const { time, bodies, ended, begin } = setUp();
  let most = 0;
  for (let count = 0; count < 20_000; count++) {
    begin(String(count), 1_000);
    most = Math.max(most, bodies.bytes);
    time.pass(0.1);
  }
  assert.ok(most <= BODY_BYTES_OF_PROCESS + MB, String(most));
  assert.ok(ended.length > 10_000);
  assert.equal(ended[0], '0 overloaded');
  assert.ok(!ended.includes('19999 overloaded'));
});

test('only an upload that stalls is ended', () => {
  const { time, ended, begin, bodies } = setUp();
  const going = begin('going');
  begin('without a byte');
  const stopped = begin('stopped');
  for (let look = 0; look <= IDLE_LOOKS + 5; look++) {
    bodies.add(going, 2 * LEAST_BYTES_PER_LOOK);
    if (look < 3) {
      bodies.add(stopped, 1_000_000);
    }
    time.pass(1_000);
    if (look < IDLE_LOOKS - 1) {
      assert.deepEqual(ended, []);
    }
  }
  assert.deepEqual(ended, ['without a byte upload-late', 'stopped upload-late']);
});

test('an upload that trickles is ended after the grace time', () => {
  const { time, ended, begin, bodies } = setUp();
  const body = begin('trickle');
  for (let look = 0; look < GRACE_LOOKS; look++) {
    bodies.add(body, LEAST_BYTES_PER_LOOK - 1);
    time.pass(1_000);
  }
  assert.deepEqual(ended, []);
  bodies.add(body, LEAST_BYTES_PER_LOOK - 1);
  time.pass(1_001);
  assert.deepEqual(ended, ['trickle upload-late']);
  time.pass(5_000);
  assert.equal(time.pending, 0);
});

test('the sum of all bodies is right after any sequence of calls', () => {
  const step = fc.record({
    who: fc.nat(7),
    what: fc.constantFrom('add', 'whole', 'release', 'begin', 'wait'),
    mb: fc.nat(40),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const { time, bodies, begin } = setUp();
      const live = new Map<number, Body>();
      for (const { who, what, mb } of steps) {
        const body = live.get(who);
        if (what === 'wait') {
          time.pass(mb * 100);
        } else if (body === undefined) {
          live.set(who, begin(String(who)));
        } else if (what === 'add') {
          bodies.add(body, mb * MB);
        } else if (what === 'whole') {
          bodies.whole(body);
        } else {
          bodies.release(body);
          live.delete(who);
        }
        const there = [...live.values()].filter(({ ended }) => ended === undefined);
        assert.equal(
          bodies.bytes,
          there.reduce((sum, { bytes }) => sum + bytes, 0),
        );
      }
      for (const body of live.values()) {
        bodies.release(body);
      }
      assert.equal(bodies.bytes, 0);
    }),
  );
});

test('a session whose body is ended replies in the error shape of its API and keeps nothing', async () => {
  await loadEncodings();
  for (const [why, code] of [
    ['overloaded', 'tallygate_overloaded'],
    ['upload-late', 'tallygate_upload_too_slow'],
  ] as const) {
    const rig = newRig({ policy: basePolicy });
    const said: string[] = [];
    const handler = rig.open(newExchange((name) => said.push(name)));
    handler.requestHeaders(CHAT_HEADERS, false, ENTRY);
    handler.requestBody(Buffer.from('{"model":"gpt-4o-mini",'), false);
    assert.ok(rig.shared.bodies.bytes > BASE_BYTES);
    (handler as unknown as { endBody(why: BodyEnd): void }).endBody(why);
    assert.deepEqual(said, [code]);
    handler.requestBody(Buffer.from('"messages":[]}'), true);
    handler.closed(false);
    assert.deepEqual(said, [code]);
    assert.equal(rig.shared.bodies.bytes, 0);
    assert.equal(rig.records[0]?.status, why === 'overloaded' ? 503 : 408);
    assert.equal(rig.records.length, 1);
  }
});
