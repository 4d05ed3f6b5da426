import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { CallerLimits, callerOf, type LimitedCaller } from './caller-limits.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function newRig() {
  const time = { ms: 1_000 };
  const limits = new CallerLimits(() => time.ms);
  /** Returns the status that a request would have: 429 where it is not admitted. */
  const send = (address: string, credential: string | undefined, status: number, peer = address): number => {
    const admission = limits.admit({ address, peer, credential });
    if (admission.type === 'limited') {
      return 429;
    }
    admission.done(status);
    return status;
  };
  const count = (times: number, one: (nth: number) => number) =>
    Array.from({ length: times }, (_, nth) => one(nth)).filter((status) => status !== 429).length;
  return { time, limits, send, count };
}

test('an address has few tries, and they come back with time', () => {
  const { time, limits, send, count } = newRig();
  assert.equal(
    count(100, (nth) => send('a', `guess ${nth}`, 401)),
    30,
  );
  const refused = limits.admit({ address: 'a', peer: 'a', credential: 'guess' });
  assert.deepEqual(refused, { type: 'limited', retryAfterSeconds: 2 });
  time.ms += 2_000;
  assert.equal(
    count(5, () => send('a', 'guess', 401)),
    1,
  );
  time.ms += 60_000;
  assert.equal(
    count(100, () => send('a', 'guess', 401)),
    30,
  );
});

test('another address, and whoever has signed in, come through while one address guesses', () => {
  const { send, count } = newRig();
  assert.equal(send('a', 'valid', 200), 200);
  assert.equal(
    count(200, (nth) => send('a', `guess ${nth}`, 401)),
    30,
  );
  assert.equal(send('b', 'new', 200), 200);
  assert.equal(send('a', 'valid', 200), 200);
  assert.equal(send('c', 'valid', 200), 200);
});

test('whoever has signed in comes through while many addresses guess', () => {
  const { send, count } = newRig();
  assert.equal(send('a', 'valid', 200), 200);
  assert.equal(
    count(10_000, (nth) => send(`of ${nth}`, 'guess', 401)),
    300,
  );
  assert.equal(send('a', 'valid', 200), 200);
});

test('a peer that names other addresses in x-forwarded-for leaves the others their tries', () => {
  const { send, count } = newRig();
  assert.equal(
    count(10_000, (nth) => send(`peer ${nth}`, 'guess', 401, 'peer')),
    120,
  );
  assert.equal(send('b', 'new', 200), 200);
});

test('requests at the same time count before their answers', () => {
  const { limits } = newRig();
  const admitted = Array.from({ length: 100 }, () => limits.admit({ address: 'a', peer: 'a', credential: 'x' }));
  assert.equal(admitted.filter(({ type }) => type === 'admitted').length, 30);
});

test('good requests, with or without a credential, take no tries', () => {
  const { send, count } = newRig();
  assert.equal(
    count(500, () => send('a', undefined, 200)),
    500,
  );
  assert.equal(
    count(500, (nth) => send('a', `valid ${nth}`, 200)),
    500,
  );
  assert.equal(
    count(500, (nth) => send('a', `valid too ${nth}`, 400)),
    500,
  );
});

test('requests without a credential leave those with one their tries', () => {
  const { send, count } = newRig();
  assert.equal(
    count(1_000, () => send('a', undefined, 401)),
    60,
  );
  assert.equal(
    count(100, () => send('a', 'guess', 401)),
    30,
  );
});

test('a credential that is revoked, or was not used for long, counts as unknown again', () => {
  const { time, send, count } = newRig();
  send('a', 'revoked', 200);
  send('a', 'old', 200);
  assert.equal(
    count(100, () => send('a', 'revoked', 401)),
    31,
  );
  time.ms += 11 * 60_000;
  assert.equal(
    count(100, (nth) => send('a', `guess ${nth}`, 401)),
    30,
  );
  assert.equal(send('a', 'old', 200), 429);
});

test('a credential that may not do something stays signed in', () => {
  const { send, count } = newRig();
  send('a', 'valid', 200);
  assert.equal(
    count(500, () => send('a', 'valid', 403)),
    500,
  );
});

test('one caller has a limited number of requests at once', () => {
  const { limits, send } = newRig();
  const caller: LimitedCaller = { address: 'a', peer: 'a', credential: 'valid' };
  send('a', 'valid', 200);
  const open = Array.from({ length: 30 }, () => limits.admit(caller));
  const admitted = open.filter((each) => each.type === 'admitted');
  assert.equal(admitted.length, 24);
  admitted[0]!.done(200);
  assert.equal(limits.admit(caller).type, 'admitted');
});

test('a flood of addresses and credentials takes bounded memory', () => {
  const { time, limits, send } = newRig();
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let nth = 0; nth < 100_000; nth++) {
    time.ms += 1_000;
    send(`address ${nth}`, `credential ${nth}`, nth % 2 === 0 ? 200 : 401);
  }
  collectGarbage();
  // Uses the limits again, so that their memory still counts.
  assert.equal(limits.admit({ address: 'last', peer: 'last', credential: undefined }).type, 'admitted');
  const took = process.memoryUsage().heapUsed - before;
  assert.ok(took < 4 * 1024 * 1024, `${took} bytes`);
});

test('a caller is its network at the nearest proxy, and a digest of its credential', () => {
  const of = (remoteAddress: string, forwarded: string | undefined, authorization?: string) => {
    const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
    const request = { headers, socket: { remoteAddress } } as unknown as IncomingMessage;
    return callerOf(request, authorization === undefined ? {} : { authorization });
  };
  assert.deepEqual(of('::ffff:10.0.0.1', undefined), { address: '10.0.0.1', peer: '10.0.0.1', credential: undefined });
  assert.equal(of('10.0.0.1', '1.1.1.1, 2.2.2.2').address, '10.0.0.1 2.2.2.2');
  assert.equal(of('10.0.0.1', '1.1.1.1, <script>').address, '10.0.0.1');
  assert.equal(of('2001:db8:0:1::7', undefined).address, '2001:db8:0:1::/64');
  assert.equal(of('2001:db8::7', undefined).address, '2001:db8:0:0::/64');
  assert.equal(of('fe80::1%eth0', undefined).address, 'fe80:0:0:0::/64');
  assert.equal(of('::1', undefined).address, '0:0:0:0::/64');
  const { credential } = of('10.0.0.1', undefined, 'Bearer secret');
  assert.notEqual(credential, of('10.0.0.1', undefined, 'Bearer other').credential);
  assert.doesNotMatch(String(credential), /secret/);
});
