import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { GatewayPolicy } from './policy.ts';
import { checkedLine } from './policy-schema.ts';
import { policyText } from './policy-text.ts';

/**
 * The data plane accepts every policy that translate produces; a field added on one side only fails
 * here.
 */
for (const folder of ['../translate/testdata/', '../translate/kubernetes/testdata/']) {
  const directory = new URL(folder, import.meta.url);
  for (const name of readdirSync(directory).filter((each) => each.endsWith('.out.yaml'))) {
    test(`the policies of ${folder}${name} are valid`, () => {
      const golden = parse(readFileSync(new URL(name, directory), 'utf8'));
      const policies: readonly GatewayPolicy[] =
        golden.policy === undefined ? Object.values(golden.policies) : [golden.policy];
      assert.ok(policies.length > 0);
      for (const policy of policies) {
        for (const line of policyText(policy).toString().split('\n')) {
          checkedLine(JSON.parse(line));
        }
      }
    });
  }
}

test('an unknown time zone is refused', () => {
  const window = (timeZone: string) => ({
    quota: {
      id: 'a/b/c',
      limit: { type: 'Requests', amount: 1 },
      window: { type: 'Calendar', unit: 'Day', timeZone },
      key: [],
      onMissingKey: 'Shared',
      mode: 'Enforce',
      queueTimeoutMs: 0,
      unbounded: 'Allow',
      onJournalLoss: 'FailClosed',
      onStoreLoss: 'FailClosed',
      unmetered: 'Refuse',
      onAbandon: 'Hold',
    },
  });
  checkedLine(window('Europe/Berlin'));
  assert.throws(() => checkedLine(window('Europe/Atlantis')), /quota\.window\.timeZone.*not a known time zone/s);
});
