import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import type { EntraSource, TokenSource, WantedToken } from '../contract/cloud-tokens.ts';
import { knownToken, wantedTokenId } from '../contract/cloud-tokens.ts';
import type { Log } from '../runtime/log.ts';
import type { IssuedToken } from './token-endpoint.ts';
import { type KeptToken, TokenRenewer } from './token-renewer.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

const wanted = (backend: string, secret = 'secret'): WantedToken => ({
  backend,
  source: {
    type: 'AzureEntra',
    cloud: 'Public',
    tenantId: 'tenant',
    clientId: 'client',
    scope: 'https://example.com/.default',
    clientSecret: { reveal: () => secret },
  },
});

describe('TokenRenewer', () => {
  let renewer: TokenRenewer;
  /** Times of the attempts since the start. */
  let attempts: number[];
  let failure: string | undefined;
  let changes: number;
  let kept: readonly KeptToken[];
  let logged: string[];
  /** Milliseconds of a token's life. */
  let lifeMs: number;
  let startMs: number;
  let pending: Promise<IssuedToken> | undefined;

  const exchange = async (_: TokenSource): Promise<IssuedToken> => {
    attempts.push(Date.now() - startMs);
    if (failure !== undefined) {
      throw new Error(failure);
    }
    return pending ?? { token: `token-${attempts.length}`, expiresAtMs: Date.now() + lifeMs };
  };
  const write = (_: object, message: string) => logged.push(message);
  const log = { info: write, warn: write, error: write } as unknown as Log;
  const newRenewer = () =>
    new TokenRenewer({
      exchange,
      changed: () => {
        changes++;
      },
      keep: (all) => {
        kept = all;
      },
      log,
      random: () => 1,
    });
  /** Lets the promises of attempts settle after each second. */
  const pass = async (milliseconds: number) => {
    for (let passed = 0; passed < milliseconds; passed += 1000) {
      mock.timers.tick(1000);
      await settle();
    }
  };
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) {
      await Promise.resolve();
    }
  };
  const result = (each: WantedToken) => {
    const { token, failure: reason } = renewer.results().get(wantedTokenId(each)) ?? {};
    return { token: token?.reveal(), failure: reason };
  };

  beforeEach(() => {
    mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.parse('2026-11-27T12:00:00Z') });
    startMs = Date.now();
    [attempts, failure, changes, kept, logged, lifeMs, pending] = [[], undefined, 0, [], [], HOUR_MS, undefined];
    renewer = newRenewer();
  });
  afterEach(() => {
    renewer.close();
    mock.timers.reset();
  });

  it('fetches a wanted token at once, and renews it between a half and three fifths of its life', async () => {
    renewer.want([wanted('a')]);
    await settle();
    assert.deepEqual(result(wanted('a')), { token: 'token-1', failure: undefined });
    assert.deepEqual(renewer.counts(), { wanted: 1, failing: 0, missing: 0 });
    await pass(0.6 * HOUR_MS - 1000);
    assert.deepEqual(attempts, [0]);
    await pass(1000);
    assert.deepEqual(attempts, [0, 0.6 * HOUR_MS]);
    assert.equal(result(wanted('a')).token, 'token-2');
    assert.equal(changes, 2);
  });

  it('retries with a growing delay, keeps the last token until its end, and reports both', async () => {
    renewer.want([wanted('a')]);
    await settle();
    failure = 'away';
    await pass(0.6 * HOUR_MS);
    assert.deepEqual(result(wanted('a')), { token: 'token-1', failure: 'away' });
    assert.deepEqual(renewer.counts(), { wanted: 1, failing: 1, missing: 0 });
    await pass(2 * MINUTE_MS);
    const delays = attempts.slice(2).map((time, index) => (time - attempts[index + 1]!) / 1000);
    assert.deepEqual(delays, [1, 2, 4, 8, 16, 32]);
    await pass(HOUR_MS);
    assert.deepEqual(result(wanted('a')), { token: undefined, failure: 'away' });
    assert.deepEqual(renewer.counts(), { wanted: 1, failing: 1, missing: 1 });
    assert.deepEqual(logged, ['token fetched', 'token not fetched; retrying', 'token expired']);
    assert.equal(changes, 3, 'a failure is reported once');
    failure = undefined;
    await pass(MINUTE_MS);
    assert.match(result(wanted('a')).token ?? '', /^token-/);
    assert.deepEqual(renewer.counts(), { wanted: 1, failing: 0, missing: 0 });
  });

  it('a token is not given out in its last seconds', async () => {
    lifeMs = 60_000;
    renewer.want([wanted('a')]);
    await settle();
    failure = 'away';
    await pass(49_000);
    assert.equal(result(wanted('a')).token, 'token-1');
    await pass(1_000);
    assert.equal(result(wanted('a')).token, undefined);
  });

  it('a token that has expired when it comes counts as a failure', async () => {
    lifeMs = -1;
    renewer.want([wanted('a')]);
    await settle();
    assert.equal(result(wanted('a')).failure, 'the token that was issued has expired already');
  });

  it('a changed secret needs another token, and the old one serves until it comes', async () => {
    renewer.want([wanted('a', 'old')]);
    await settle();
    const known = () => knownToken(renewer.results(), wanted('a', 'new'))?.token?.reveal();
    assert.equal(known(), 'token-1', 'before the new one is wanted');
    failure = 'wrong secret';
    renewer.want([wanted('a', 'new')]);
    assert.equal(known(), 'token-1');
    await settle();
    assert.deepEqual(result(wanted('a', 'new')), { token: 'token-1', failure });
    [failure, attempts.length] = [undefined, 1];
    await pass(2000);
    assert.equal(known(), 'token-2');
    assert.equal(result(wanted('a', 'old')).token, undefined);
    assert.equal(kept.length, 1);
  });

  it('another identity of a backend does not inherit the token, nor does the identity of the gateway', async () => {
    renewer.want([wanted('a')]);
    await settle();
    const { source, backend } = wanted('a');
    const other: WantedToken = { backend, source: { ...source, clientId: 'other' } as EntraSource };
    const { clientSecret: _, ...own } = source as EntraSource;
    for (const each of [other, { backend, source: own }]) {
      assert.equal(knownToken(renewer.results(), each), undefined);
      pending = new Promise(() => {});
      renewer.want([each]);
      assert.equal(result(each).token, undefined);
    }
  });

  it('backends with equal credentials do not share a token', async () => {
    renewer.want([wanted('a'), wanted('b')]);
    await settle();
    assert.notEqual(result(wanted('a')).token, result(wanted('b')).token);
  });

  it('continues with the tokens of an earlier run, and renews them at the same time', async () => {
    renewer.want([wanted('a')]);
    await settle();
    renewer.close();
    await pass(10 * MINUTE_MS);
    renewer = newRenewer();
    renewer.restore(kept);
    assert.equal(result(wanted('a')).token, 'token-1', 'also before it is wanted');
    renewer.want([wanted('a')]);
    await pass(0.6 * HOUR_MS - 10 * MINUTE_MS);
    assert.deepEqual(attempts, [0, 0.6 * HOUR_MS]);
  });

  it('an answer for a token that is no longer wanted is dropped', async () => {
    let answer: (issued: IssuedToken) => void = () => {};
    pending = new Promise((resolve) => {
      answer = resolve;
    });
    renewer.want([wanted('a')]);
    renewer.want([]);
    answer({ token: 'late', expiresAtMs: Date.now() + HOUR_MS });
    await settle();
    assert.equal(renewer.results().size, 0);
    assert.equal(changes, 0);
  });

  it('at most sixteen attempts run at a time', async () => {
    failure = 'away';
    const bad = Array.from({ length: 20 }, (_, index) => wanted(`bad-${index}`));
    renewer.want(bad);
    await pass(10 * MINUTE_MS);
    pending = new Promise(() => {});
    failure = undefined;
    const before = attempts.length;
    await pass(2 * MINUTE_MS);
    assert.equal(attempts.length - before, 16);
    assert.equal(renewer.counts().failing, 20);
  });
});
