import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patchVerdict } from './patch-verdicts.ts';

const ENVOY_GATEWAY = 'gateway.envoyproxy.io/gatewayclass-controller';

function judged(conditions: readonly object[], controllerName = ENVOY_GATEWAY) {
  const ancestors = [{ controllerName, conditions }];
  return {
    apiVersion: '',
    kind: 'EnvoyPatchPolicy',
    metadata: { name: 'one', namespace: 'app' },
    status: { ancestors },
  };
}

const accepted = { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' };

test('a patch is programmed only if Envoy Gateway reports so', () => {
  const programmed = { type: 'Programmed', status: 'True', reason: 'Programmed', message: 'applied' };
  assert.equal(patchVerdict(judged([accepted, programmed]))?.reason, 'Programmed');
  assert.equal(patchVerdict(judged([accepted])), undefined);
  assert.equal(patchVerdict(judged([accepted, programmed], 'example.com/other')), undefined);
});

test('a patch that is not allowed differs from one that does not apply', () => {
  const disabled = { type: 'Accepted', status: 'False', reason: 'Disabled', message: 'is disabled' };
  assert.deepEqual(patchVerdict(judged([disabled])), { reason: 'PatchesDisabled', message: 'Disabled: is disabled' });
  const invalid = { type: 'Accepted', status: 'False', reason: 'Invalid', message: 'not found' };
  assert.equal(patchVerdict(judged([invalid]))?.reason, 'PatchRefused');
});

test('the message of a failed patch ends before the configuration that it repeats', () => {
  const message = 'Unable to unmarshal xds resource {"name":"app/ai/http"}, err';
  const failed = { type: 'Programmed', status: 'False', reason: 'Invalid', message };
  assert.deepEqual(patchVerdict(judged([accepted, failed])), {
    reason: 'PatchRefused',
    message: 'Invalid: Unable to unmarshal xds resource',
  });
});
