import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundedKeyRequests } from './key-requests.ts';

test('one request per URL and second is sent, and the last one is not lost', ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let nowMs = 0;
  const sent: string[] = [];
  const request = boundedKeyRequests((url) => sent.push(`${nowMs} ${url}`));
  for (; nowMs < 5000; nowMs += 10, mock.timers.tick(10)) {
    if (nowMs <= 2500) {
      request('a');
    }
    if (nowMs === 500) {
      request('b');
    }
  }
  assert.deepEqual(sent, ['0 a', '500 b', '1000 a', '2000 a', '3000 a']);
});

test('a flood of URLs sends a bounded number, and a later request passes again', ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let sent = 0;
  const request = boundedKeyRequests(() => sent++);
  for (let i = 0; i < 5000; i++) {
    request(`https://issuer-${i}.example`);
  }
  assert.equal(sent, 1000);
  mock.timers.tick(1000);
  request('https://later.example');
  assert.equal(sent, 1001);
});
