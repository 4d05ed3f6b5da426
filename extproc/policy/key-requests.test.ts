import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundedKeyRequests } from './key-requests.ts';

test('one request per URL and second is sent', () => {
  let nowMs = 5;
  const sent: string[] = [];
  const request = boundedKeyRequests(
    (url) => sent.push(`${nowMs} ${url}`),
    () => nowMs,
  );
  for (; nowMs < 2500; nowMs += 10) {
    request('a');
    if (nowMs > 500) {
      request('b');
    }
  }
  assert.deepEqual(sent, ['5 a', '505 b', '1005 a', '1505 b', '2005 a']);
});

test('a flood of URLs sends a bounded number, and a later request passes again', () => {
  let nowMs = 0;
  let sent = 0;
  const request = boundedKeyRequests(
    () => sent++,
    () => nowMs,
  );
  for (let i = 0; i < 5000; i++) {
    request(`https://issuer-${i}.example`);
  }
  assert.equal(sent, 1000);
  nowMs = 1001;
  request('https://later.example');
  assert.equal(sent, 1001);
});
