import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backendFailure, interruptedBy, interruptionOf } from '../interruption.ts';
import { Interruptions } from './interruptions.ts';

test('Envoy’s details name why a backend failed and who interrupted the exchange', () => {
  for (const [reply, failure, by] of [
    ['UH no_healthy_upstream -', 'address', 'backend'],
    [
      'UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_111} -',
      'connect',
      'backend',
    ],
    [
      'UF upstream_reset_before_response_started{remote_connection_failure|TLS_error:_1} TLS error: 1',
      'tls',
      'backend',
    ],
    ['UC upstream_reset_after_response_started{connection_termination} -', 'reset', 'backend'],
    ['UPE upstream_reset_after_response_started{protocol_error} -', 'reset', 'backend'],
    ['UPE upstream_reset_before_response_started{protocol_error} -', 'protocol', 'backend'],
    ['UT response_timeout -', 'timeout', 'timeout'],
    ['SI stream_idle_timeout -', 'timeout', 'timeout'],
    ['- something_new -', 'other', 'backend'],
  ] as const) {
    const broken = interruptionOf(reply);
    assert.deepEqual([backendFailure(broken), interruptedBy(broken)], [failure, by], reply);
  }
  assert.equal(interruptedBy(undefined), 'client');
  assert.equal(interruptionOf('UF x TLS error: 1').transportFailure, 'TLS error: 1');
});

test('an entry serves one exchange for one second', () => {
  let nowMs = 0;
  const kept = new Interruptions(() => nowMs);
  const broken = interruptionOf('UC reset -');
  kept.add('a', broken);
  assert.equal(kept.take('b'), undefined);
  assert.equal(kept.take('a'), broken);
  assert.equal(kept.take('a'), undefined);
  kept.add('a', broken);
  nowMs = 1_001;
  assert.equal(kept.take('a'), undefined);
  for (let index = 0; index < 5_000; index++) {
    kept.add(`id-${index}`, broken);
  }
  assert.equal(kept.take('id-0'), undefined, 'the oldest entries are dropped first');
  assert.equal(kept.take('id-4999'), broken);
});
