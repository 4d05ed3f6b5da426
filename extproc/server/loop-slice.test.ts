import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LoopSlice } from './loop-slice.ts';
import { halfClose, open, Peer, requestHeaders, responseBody } from './testing/peer.ts';
import { record } from './testing/record.ts';

/** Works for this long. */
function spin(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end) {}
}

const unexpected = (error: unknown) => assert.fail(String(error));

test('a member that fails is discarded, and the others continue', async () => {
  const faults: string[] = [];
  const slice = new LoopSlice(
    2,
    () => true,
    (error) => faults.push((error as Error).message),
  );
  const told: string[] = [];
  const member = (name: string, fails: boolean) => {
    const work = (what: string) => () => {
      if (fails) {
        throw new Error(`${name} ${what}`);
      }
      told.push(`${name} ${what}`);
    };
    return { flush: work('flush'), proceed: work('proceed'), discard: () => told.push(`${name} discard`) };
  };
  for (const one of [member('one', true), member('two', false)]) {
    slice.flushLater(one);
    slice.later(one);
  }
  await nextTurn();
  assert.deepEqual(faults, ['one flush', 'one proceed']);
  assert.deepEqual(told, ['one discard', 'two flush', 'one discard', 'two proceed']);
});

test('a burst of requests starts in order, a share of it in each slice', async () => {
  const slice = new LoopSlice(2, () => true, unexpected);
  const done: number[] = [];
  for (let nth = 0; nth < 40; nth++) {
    slice.startRequest(() => {
      spin(0.2);
      done.push(nth);
    });
  }
  const atOnce = done.length;
  assert.ok(atOnce > 0 && atOnce < 40);
  let turns = 0;
  for (let before = atOnce; done.length < 40; before = done.length, turns++) {
    await nextTurn();
    // 1 ms at 0.2 ms each, and one that started before the end.
    assert.ok(done.length - before <= 6, `${done.length - before} in one turn`);
  }
  assert.ok(turns >= 5);
  assert.deepEqual(
    done,
    Array.from({ length: 40 }, (_, nth) => nth),
  );
  slice.startRequest(() => done.push(40));
  assert.equal(done.at(-1), 40, 'with nobody waiting the next one goes in at once');
});

test('work in slices stops when the slice is used up, and continues in the next one', async () => {
  const slice = new LoopSlice(2, () => true, unexpected);
  const left = { one: 20, other: 20 };
  const worker = (name: keyof typeof left) => () => {
    if (left[name] === 0) {
      return 0;
    }
    spin(0.5);
    left[name] -= 1;
    return 8 * 1024;
  };
  slice.inSlices(worker('one'));
  slice.inSlices(worker('other'));
  let turns = 0;
  for (let before = 40; before > 0; turns++) {
    await nextTurn();
    const now = left.one + left.other;
    assert.ok(before - now <= 4, `${before - now} steps of half a millisecond in one turn`);
    before = now;
  }
  assert.ok(turns >= 10);
});

test('reading stops while too many requests are queued', async () => {
  const slice = new LoopSlice(2, () => true, unexpected);
  for (let nth = 0; nth < 300; nth++) {
    slice.startRequest(() => spin(0.05));
  }
  assert.equal(slice.over, true);
  for (let turns = 0; slice.over; turns++) {
    assert.ok(turns < 300);
    await nextTurn();
  }
});

test('response chunks overtake queued requests, and requests that end meanwhile never start', async (t) => {
  const order: string[] = [];
  const { server, exchanges } = await record(
    (exchange, index) => ({
      requestHeaders: () =>
        exchange.startRequest(() => {
          spin(0.5);
          order.push(`request ${index}`);
        }),
      responseBody: () => order.push('chunk'),
    }),
    { limits: { sliceMs: 20 } },
  );
  t.after(() => server.close(0));
  const peer = new Peer(server.address);
  t.after(() => peer.destroy());
  const ids = Array.from({ length: 120 }, (_, nth) => 1 + 2 * nth);
  peer.send(
    ...ids.flatMap((id) => [open(id), requestHeaders(id)]),
    halfClose(ids.at(-1)!),
    open(301),
    responseBody(301, Buffer.from('chunk')),
  );
  await peer.until(() => peer.ended(ids.at(-1)!), 'the end of the last request');
  while (order.length < 120) {
    await nextTurn();
  }
  const place = order.indexOf('chunk');
  assert.ok(place > 0 && place < 100, `after ${place} of 119 requests`);
  assert.deepEqual(exchanges[119]!.calls, ['request-headers', 'closed true']);
  assert.equal(order.includes('request 119'), false);
});
