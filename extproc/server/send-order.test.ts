import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Sender, SendOrder } from './send-order.ts';

const sender = (): Sender => ({ waitingAt: -1, ready: false });

test('streams send in the order in which they became ready', () => {
  const order = new SendOrder<Sender>();
  const [a, b, c] = [sender(), sender(), sender()];
  for (const each of [a, b, c]) {
    order.add(each);
  }
  assert.equal(order.next(), a);
  order.wake(a);
  assert.equal(order.next(), b);
  assert.equal(order.next(), c);
  assert.equal(order.next(), a);
  assert.equal(order.next(), undefined);
  assert.equal(order.waiting.length, 3);
});

test('streams that do not wait are not woken, and removed streams do not send', () => {
  const order = new SendOrder<Sender>();
  const [a, b, c] = [sender(), sender(), sender()];
  order.wake(a);
  assert.equal(order.readyCount, 0);
  for (const each of [a, b, c]) {
    order.add(each);
  }
  order.delete(a);
  order.delete(a);
  assert.deepEqual([order.readyCount, order.waiting.length], [2, 2]);
  assert.equal(order.next(), b);
  order.delete(b);
  order.add(a);
  assert.equal(order.next(), c);
  assert.equal(order.next(), a);
  assert.deepEqual(new Set(order.waiting), new Set([a, c]));
});

test('streams that come and go while nothing can be sent are not kept', () => {
  const order = new SendOrder<Sender>();
  const first = sender();
  order.add(first);
  for (let round = 0; round < 10_000; round++) {
    const passing = sender();
    order.add(passing);
    order.delete(passing);
  }
  assert.ok(order.queuedCount < 100, String(order.queuedCount));
  assert.equal(order.next(), first);
});
