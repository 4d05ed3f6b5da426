import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewayPolicy } from '../contract/policy.ts';
import type { Log } from '../runtime/log.ts';
import { warningSink } from './content-settings.ts';

test('a content policy whose destination is not configured is logged when it comes into force, once', async () => {
  const warnings: object[] = [];
  const log = { warn: (keys: object) => warnings.push(keys) } as unknown as Log;
  const applied: string[] = [];
  const sink = {
    async apply({ version }: GatewayPolicy) {
      applied.push(version);
    },
    policyVersion: undefined,
    useSharedStore() {},
  };
  const warning = warningSink(sink, ['S3'], log);
  const apply = (version: string, ...destinations: readonly string[]) => {
    const contentPolicies = destinations.length === 0 ? undefined : [{ name: 'app/kept', destinations }];
    return warning.apply({ version, contentPolicies } as unknown as GatewayPolicy, { counter: 1, epoch: 1 });
  };
  const wanted = { policy: 'app/kept', destination: 'OTLPLogs', variable: 'TALLYGATE_CONTENT_EXPORT' };
  await apply('v1', 'S3', 'OTLPLogs');
  await apply('v2', 'OTLPLogs');
  assert.deepEqual(warnings, [wanted]);
  await apply('v3', 'S3');
  await apply('v4');
  await apply('v5', 'OTLPLogs');
  assert.deepEqual(warnings, [wanted, wanted]);
  assert.deepEqual(applied, ['v1', 'v2', 'v3', 'v4', 'v5']);
});
