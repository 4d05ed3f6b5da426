import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import type { DestinationGuard } from '../runtime/guarded-request.ts';
import { createLog } from '../runtime/log.ts';
import { budgetEvent } from './budget-event.ts';
import { monthReport, SECRET, startTestReceiver } from './testing.ts';
import { WebhookSender, type WebhookSenderOptions } from './webhook-sender.ts';

const open: DestinationGuard = {
  allowsPlainHttp: () => true,
  refusal: () => undefined,
  linkRefusal: () => undefined,
};
const event = budgetEvent(monthReport);
const policy = 'default/budgets';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

async function start(options: Partial<WebhookSenderOptions> = {}) {
  const receiver = await startTestReceiver();
  const logged: string[] = [];
  const sender = new WebhookSender({
    guard: open,
    changed: () => {},
    log: createLog({ level: 'info', destination: { write: (line) => logged.push(line) } }),
    ...options,
    intervals: { minRetryMs: 5, maxRetryMs: 20, ...options.intervals },
  });
  closing.push(
    () => sender.close(),
    () => receiver.stop(),
  );
  sender.want([{ policy, url: receiver.url, secret: { reveal: () => SECRET } }]);
  return { receiver, sender, logged };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const endMs = performance.now() + 5_000;
  while (!holds()) {
    assert.ok(performance.now() < endMs, `not ${what}`);
    await sleep(5);
  }
}

test('an event is signed as Standard Webhooks describes, with the time of the attempt', async () => {
  const { receiver, sender } = await start();
  sender.send(policy, event);
  await until('sent', () => sender.counts().sent === 1);
  const [{ headers, body, path } = assert.fail()] = receiver.requests;
  assert.deepEqual(new Webhook(SECRET).verify(body, headers as Record<string, string>), event);
  const content = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const key = Buffer.from(SECRET.slice('whsec_'.length), 'base64');
  assert.equal(headers['webhook-signature'], `v1,${createHmac('sha256', key).update(content).digest('base64')}`);
  assert.equal(headers['webhook-id'], event.id);
  assert.equal(headers['content-type'], 'application/cloudevents+json; charset=utf-8');
  assert.equal(path, '/budget');
});

test('what a receiver does not accept is repeated with the same id until it is accepted', async () => {
  const { receiver, sender, logged } = await start();
  receiver.statuses.push(500, 404, 302);
  sender.send(policy, event);
  await until('sent', () => sender.counts().sent === 1);
  assert.deepEqual(
    receiver.requests.map(({ headers, path }) => [headers['webhook-id'], path]),
    Array.from({ length: 4 }, () => [event.id, '/budget']),
  );
  assert.deepEqual(sender.counts(), { sent: 1, dropped: 0, pending: 0, failing: 0 });
  const text = logged.join('');
  assert.equal(text.match(/alert not sent; retrying/g)?.length, 1, text);
  assert.match(text, /the receiver answers with status 500/);
  assert.match(text, /webhook accepts alerts again/);
  assert.doesNotMatch(text, /budget"/, 'the path of the URL may be a secret');
});

test('an event that is too old is given up', async () => {
  const { receiver, sender, logged } = await start({ intervals: { maxAgeMs: 40 } });
  receiver.statuses.push(...Array.from({ length: 100 }, () => 503));
  sender.send(policy, event);
  await until('given up', () => sender.counts().dropped === 1);
  assert.deepEqual(sender.counts(), { sent: 0, dropped: 1, pending: 0, failing: 1 });
  assert.match(logged.join(''), /alert given up/);
});

test('a receiver that never answers is left after the timeout, and delays no other', async () => {
  const { receiver, sender } = await start({ intervals: { timeoutMs: 50, minRetryMs: 60_000, maxRetryMs: 60_000 } });
  const other = await startTestReceiver();
  closing.push(() => other.stop());
  receiver.statuses.push(0);
  const secret = { reveal: () => SECRET };
  sender.want([receiver, other].map(({ url }) => ({ policy, url, secret })));
  sender.send(policy, event);
  await until('sent to the other', () => other.requests.length === 1);
  await until('left', () => sender.counts().failing === 1);
});

test('no request is sent to a destination that the guard refuses', async () => {
  const refused = { ...open, refusal: () => 'a loopback address' };
  const { receiver, sender, logged } = await start({ guard: refused });
  sender.send(policy, event);
  await until('refused', () => sender.counts().failing === 1);
  assert.equal(receiver.requests.length, 0);
  assert.match(logged.join(''), /127\.0\.0\.1 is not allowed: a loopback address/);
});

test('a removed receiver gets nothing more, and the policy of another sends elsewhere', async () => {
  const { receiver, sender } = await start({ intervals: { minRetryMs: 60_000, maxRetryMs: 60_000 } });
  receiver.statuses.push(503);
  sender.send('default/other', event);
  sender.send(policy, event);
  await until('failing', () => sender.counts().failing === 1);
  sender.want([]);
  assert.deepEqual(sender.counts(), { sent: 0, dropped: 0, pending: 0, failing: 0 });
});

test('another process sends what is pending', async () => {
  const first = await start({ intervals: { minRetryMs: 60_000, maxRetryMs: 60_000 } });
  first.receiver.statuses.push(503);
  first.sender.send(policy, event);
  await until('failing', () => first.sender.counts().failing === 1);
  const second = await start();
  second.sender.want([{ policy, url: first.receiver.url, secret: { reveal: () => SECRET } }]);
  second.sender.restore(first.sender.pending());
  second.sender.restore(first.sender.pending());
  await until('sent', () => second.sender.counts().sent === 1);
  assert.equal(first.receiver.requests.length, 2);
});

test('at most 500 events wait, and the oldest is given up first', async () => {
  const { receiver, sender } = await start({ intervals: { minRetryMs: 60_000, maxRetryMs: 60_000 } });
  receiver.statuses.push(0);
  for (let nth = 0; nth <= 500; nth++) {
    sender.send(policy, { ...event, id: String(nth) });
  }
  const { pending, dropped } = sender.counts();
  assert.deepEqual([pending, dropped], [500, 1]);
  assert.equal(sender.pending()[0]?.event.id, '1');
});
