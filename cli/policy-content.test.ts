/** What the controller writes and the sidecar reads in pieces: the same policy, and of the one before what is the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewayPolicy } from '../contract/policy.ts';
import { policyContent } from '../controller/push/content.ts';
import { newPolicyReader } from '../extproc/policy/read.ts';
import { compilePolicy } from '../extproc/session/routing.ts';

const quota = {
  id: 'app/teams/tokens',
  limit: { type: 'TotalTokens', amount: 5 },
  window: { type: 'Lifetime' },
  key: [],
  onMissingKey: 'Shared',
  mode: 'Enforce',
  queueTimeoutMs: 0,
  unbounded: 'Allow',
  onJournalLoss: 'FailClosed',
  onAbandon: 'Hold',
} as const;

function policyOf(rules: number, changed = -1): GatewayPolicy {
  return {
    formatVersion: 1,
    version: `of ${rules}, ${changed}`,
    entries: [
      {
        routeNames: ['httproute/app/entry/rule/0', 'über'],
        rules: Array.from({ length: rules }, (_, index) => ({
          route: `app/route-${index}`,
          name: 'all',
          models: [index === changed ? 'changed\n' : `model-${index}`, '{"é},*'],
          headers: [],
          targets: [{ id: `all/${index}`, backend: 'app/openai', weight: 1, priority: 0 }],
          quotas: [quota.id],
          requestLimits: {},
          maxRequestBodyBytes: 1000,
        })),
        passthrough: [],
      },
      { routeNames: ['stray'], rules: [], passthrough: [] },
    ],
    backends: [{ name: 'app/openai', schema: 'OpenAI', tokenizer: { encoding: 'Auto' }, models: [] }],
    quotas: [quota],
  };
}

test('content is JSON, and read in pieces it is the same', async () => {
  const policy = policyOf(50);
  const content = policyContent(policy);
  assert.deepEqual(JSON.parse(content.toString()), policy);
  assert.deepEqual(await newPolicyReader().read(content), policy);
  const empty = { ...policy, entries: [], backends: [], quotas: [] };
  assert.deepEqual(await newPolicyReader().read(policyContent(empty)), empty);
});

test('content that another version wrote in one line is read, too', async () => {
  const policy = policyOf(3);
  assert.deepEqual(await newPolicyReader().read(Buffer.from(JSON.stringify(policy))), policy);
});

test('what does not change is neither read nor compiled again', async () => {
  const reader = newPolicyReader();
  const [before, after] = [
    await reader.read(policyContent(policyOf(9))),
    await reader.read(policyContent(policyOf(9, 4))),
  ];
  const rulesOf = (policy: GatewayPolicy) => compilePolicy(policy).entry('über')!.rules;
  const [old, now] = [rulesOf(before), rulesOf(after)];
  const same = now.map((rule, index) => rule === old[index]);
  assert.deepEqual(
    same,
    same.map((_, index) => index !== 4),
  );
  assert.ok(now[4]!.models[0]!('changed\n'));
  // Another quota of the same name is another rule.
  const more = await reader.read(policyContent({ ...policyOf(9, 4), quotas: [{ ...quota, queueTimeoutMs: 1 }] }));
  assert.equal(rulesOf(more)[0]?.quotas[0]?.queueTimeoutMs, 1);
});

test('others come to their turn while a large one is read', async () => {
  let pauses = 0;
  const reader = newPolicyReader(async () => void pauses++);
  const content = policyContent(policyOf(20_000));
  await reader.read(content);
  // It takes 50 ms and more.
  assert.ok(pauses >= 5, `${pauses} pauses`);
  await assert.rejects(reader.read(content.subarray(0, 100_000)), SyntaxError);
});
