import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { envoyFailure } from '../errors.ts';
import type { HeaderList } from '../exchange.ts';
import { interruptionOf } from '../interruption.ts';
import {
  attemptOf,
  awaitsToken,
  brokenAttempt,
  type FailoverContext,
  failedAttempt,
  lateAttempt,
  withRetry,
} from './failover.ts';

const NOW = Date.UTC(2026, 10, 27, 12);
const context: FailoverContext = {
  failover: { on: ['ConnectFailure', '5xx', 'RateLimited'], attempts: 3, cooldownMs: 30_000 },
  attempt: 1,
  hasOther: () => true,
  limitsFirstToken: true,
};

function failed(status: number, headers: HeaderList = [], reply?: string, more: Partial<FailoverContext> = {}) {
  const outcome = {
    status,
    failure: reply === undefined ? undefined : envoyFailure(status),
    interruption: reply === undefined ? undefined : interruptionOf(reply),
  };
  return failedAttempt({ ...context, ...more }, outcome, headers, NOW);
}

const restOf = (headers: HeaderList, status = 429) => failed(status, headers)?.restMs;

describe('the cause of a failed attempt', () => {
  it('is read from the status and from the details of Envoy', () => {
    assert.equal(failed(500)?.cause, '5xx');
    assert.equal(failed(529)?.cause, '5xx');
    assert.equal(failed(429)?.cause, 'RateLimited');
    const refused = 'UF upstream_reset_before_response_started{remote_connection_failure} -';
    assert.equal(failed(503, [], refused)?.cause, 'ConnectFailure');
    assert.equal(failed(503, [], 'UC upstream_reset_before_response_started{connection_termination} -')?.cause, '5xx');
  });

  it('is absent for other statuses, causes that the rule does not name, and limits of Envoy', () => {
    assert.equal(failed(200), undefined);
    assert.equal(failed(404), undefined);
    assert.equal(failed(429, [], 'RL request_rate_limited -'), undefined);
    assert.equal(lateAttempt(context), undefined);
    const on = ['FirstTokenTimeout'] as const;
    assert.equal(failed(500, [], undefined, { failover: { ...context.failover, on } }), undefined);
    assert.equal(lateAttempt({ ...context, failover: { ...context.failover, on } })?.cause, 'FirstTokenTimeout');
  });
});

describe('a stream without its first token', () => {
  const late: FailoverContext = { ...context, failover: { ...context.failover, on: ['5xx', 'FirstTokenTimeout'] } };

  it('waits only if its token has a timeout and its request can fail over', () => {
    assert.equal(awaitsToken(late), true);
    assert.equal(awaitsToken(context), false);
    assert.equal(awaitsToken(undefined), false);
    assert.equal(awaitsToken({ ...late, limitsFirstToken: false }), false);
    assert.equal(awaitsToken({ ...late, attempt: 3 }), false);
    assert.equal(awaitsToken({ ...late, hasOther: () => false }), false);
  });

  it('is a failed attempt if the provider broke it off, not if the client left', () => {
    const reset = interruptionOf('UC upstream_reset_after_response_started{connection_termination} -');
    assert.equal(brokenAttempt(late, reset)?.cause, '5xx');
    assert.equal(brokenAttempt(late, undefined), undefined);
    assert.equal(brokenAttempt({ ...late, failover: { ...late.failover, on: ['RateLimited'] } }, reset), undefined);
  });
});

describe('a failed backend rests', () => {
  it('as long as the provider says', () => {
    assert.equal(restOf([['retry-after', '7']]), 7000);
    assert.equal(restOf([['retry-after', 'Fri, 27 Nov 2026 12:00:09 GMT']]), 9000);
    const both = [
      ['retry-after', '7'],
      ['retry-after-ms', '6500'],
    ] as const;
    assert.equal(restOf(both), 6500);
  });

  it('for the cooldown where the provider says nothing that can be read', () => {
    for (const value of ['', '-1', 'soon', '1e9', 'Fri, 27 Nov 2020 12:00:00 GMT', '9'.repeat(400)]) {
      assert.equal(restOf([['retry-after', value]]), 30_000, value);
    }
    assert.equal(restOf([], 500), 30_000);
  });

  it('for every rule where it cannot be connected to, for a time that no rule chooses', () => {
    const refused = 'UF upstream_reset_before_response_started{remote_connection_failure} -';
    const slow = { ...context.failover, cooldownMs: 3_600_000 };
    const { restMs, everyRule } = failed(503, [], refused, { failover: slow })!;
    assert.deepEqual([restMs, everyRule], [3_600_000, { of: 'backend', restMs: 10_000 }]);
  });

  it('for every rule with its model where the provider says until when it is rate limited', () => {
    assert.deepEqual(failed(429, [['retry-after', '60']])?.everyRule, { of: 'model', restMs: 60_000 });
  });

  it('for one rule after what its policy or one request can cause', () => {
    const late: FailoverContext = { ...context, failover: { ...context.failover, on: ['FirstTokenTimeout'] } };
    for (const attempt of [failed(429), failed(500, [['retry-after', '60']]), lateAttempt(late)]) {
      assert.ok(attempt!.restMs > 0);
      assert.equal(attempt!.everyRule, undefined);
    }
    for (const status of [400, 401, 403, 413, 422]) {
      assert.equal(failed(status, [['retry-after', '60']]), undefined);
    }
  });

  it('at most one hour', () => {
    assert.equal(restOf([['retry-after', '86400']]), 3_600_000);
  });

  it('until the last spent rate limit is reset', () => {
    const openai: HeaderList = [
      ['x-ratelimit-remaining-requests', '0'],
      ['x-ratelimit-reset-requests', '1m0.5s'],
      ['x-ratelimit-remaining-tokens', '12'],
      ['x-ratelimit-reset-tokens', '6m0s'],
    ];
    const anthropic: HeaderList = [
      ['anthropic-ratelimit-input-tokens-remaining', '0'],
      ['anthropic-ratelimit-input-tokens-reset', '2026-11-27T12:00:20Z'],
    ];
    assert.equal(restOf(openai), 60_500);
    assert.equal(restOf(anthropic), 20_000);
    assert.deepEqual(failed(200, openai), {
      cause: undefined,
      restMs: 60_500,
      everyRule: { of: 'model', restMs: 60_500 },
      retry: undefined,
    });
    assert.equal(failed(200, [['x-ratelimit-remaining-requests', '0']]), undefined);
  });
});

describe('the client', () => {
  it('is asked to retry at once while another backend is healthy', () => {
    const { set, remove } = withRetry({ set: [['a', 'b']] }, failed(429, [['retry-after', '30']]));
    assert.deepEqual(set, [
      ['a', 'b'],
      ['x-should-retry', 'true'],
      ['retry-after-ms', '1'],
    ]);
    assert.deepEqual(remove, ['retry-after']);
  });

  it('gets the headers of the provider if no other backend is healthy', () => {
    const mutation = { set: [], remove: [] };
    assert.equal(withRetry(mutation, failed(429, [], undefined, { hasOther: () => false })), mutation);
    assert.equal(withRetry(mutation, failed(200)), mutation);
  });

  it('is asked to stop after its attempts, by its own count', () => {
    const attempt = attemptOf(() => ['2']);
    assert.equal(attempt, 3);
    const { set } = withRetry({}, failed(500, [], undefined, { attempt }));
    assert.deepEqual(set, [['x-should-retry', 'false']]);
    for (const count of [undefined, '-1', '1e3', 'many', '1'.repeat(30)]) {
      assert.equal(
        attemptOf(() => (count === undefined ? [] : [count])),
        1,
      );
    }
  });
});
