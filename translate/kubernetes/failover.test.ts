import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ClusterPlan, ClusterWorld, PatchVerdict } from './plan.ts';
import { clusterOf, exampleOptions, patched, withVerdicts } from './testing.ts';
import { translateCluster } from './translate-cluster.ts';

const text = readFileSync(new URL('testdata/failover.in.yaml', import.meta.url), 'utf8');
const world = clusterOf(text);

const planOf = (each: ClusterWorld) => translateCluster(each, exampleOptions);

function conditionOf({ statuses }: ClusterPlan) {
  const route = statuses.find(({ object }) => object.kind === 'AIGatewayRoute');
  return route?.parents?.[0]?.conditions.find(({ type }) => type === 'tallygate.dev/FailoverWithinRequest');
}

/** Returns the names of the rules that fail over within the request. */
function rulesOf(plan: ClusterPlan): readonly string[] {
  const { virtualHosts } = plan.policyFor(plan.gateways);
  return virtualHosts.flatMap(({ rules }) =>
    rules.filter(({ failover }) => failover?.withinRequest !== undefined).map(({ name }) => name),
  );
}

test('rules fail over within the request once all their patches are programmed', () => {
  const plan = planOf(world);
  assert.deepEqual([rulesOf(plan), conditionOf(plan)?.reason], [[], 'Pending']);
  const all = withVerdicts(world, plan, patched);
  assert.deepEqual([rulesOf(planOf(all)), conditionOf(planOf(all))?.reason], [['timed', 'plain'], 'Patched']);
  const { verdicts } = all.patchPolicies;
  const own = [...verdicts.keys()].find((key) => key.includes('attempts-own'))!;
  const some = { ...all, patchPolicies: { verdicts: new Map([...verdicts].filter(([key]) => key !== own)) } };
  assert.deepEqual([rulesOf(planOf(some)), conditionOf(planOf(some))?.reason], [['plain'], 'Pending']);
});

for (const reason of ['PatchesDisabled', 'PatchRefused'] as const) {
  test(`the status says ${reason}, and the client's own retry remains`, () => {
    const verdict: PatchVerdict = { reason, message: 'because' };
    const plan = planOf(withVerdicts(world, planOf(world), verdict));
    assert.deepEqual([rulesOf(plan), conditionOf(plan)?.status, conditionOf(plan)?.reason], [[], 'False', reason]);
    const [rule] = plan.policyFor(plan.gateways).virtualHosts[0]!.rules;
    assert.deepEqual(rule?.failover?.attempts, 2);
  });
}

for (const unavailable of ['NotInstalled', 'NotPermitted'] as const) {
  test(`a cluster without EnvoyPatchPolicies (${unavailable}) gets none, and the status says so`, () => {
    const plan = planOf({ ...world, patchPolicies: { unavailable, verdicts: new Map() } });
    assert.deepEqual(
      plan.objects.filter(({ kind }) => kind === 'EnvoyPatchPolicy'),
      [],
    );
    assert.deepEqual([rulesOf(plan), conditionOf(plan)?.reason], [[], 'PatchesUnavailable']);
  });
}

test('a change of the backends of a rule makes other objects, and leaves those of other rules', () => {
  const names = (plan: ClusterPlan) =>
    plan.objects
      .filter(({ kind }) => kind === 'EnvoyPatchPolicy' || kind === 'HTTPRoute')
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  const before = names(planOf(world));
  const changed = text.replace('{ name: own, priority: 1 }', '{ name: own, priority: 1 }, { name: pods }');
  const after = names(planOf(clusterOf(changed)));
  const gone = before.filter((each) => !after.includes(each));
  assert.deepEqual(gone.map((each) => each.replace(/-[0-9a-f]{10}$/, '')).toSorted(), [
    'EnvoyPatchPolicy tallygate-chat-timed',
    'HTTPRoute tallygate-chat-timed',
  ]);
});

test('only a cluster for attempts at a backend names its key', () => {
  const patches = planOf(world).objects.filter(({ kind }) => kind === 'EnvoyPatchPolicy');
  const keys = patches.flatMap(({ metadata, ...rest }) => {
    const found = JSON.stringify(rest).match(/httproutefilter\/app\/tallygate-[a-z]+-key/g) ?? [];
    return found.map(
      (key) => `${metadata.name.replace(/-[0-9a-f]{10}$/, '')} ${key.slice('httproutefilter/app/'.length)}`,
    );
  });
  assert.deepEqual(keys.toSorted(), [
    'tallygate-attempts-openai tallygate-openai-key',
    'tallygate-attempts-own tallygate-own-key',
    'tallygate-attempts-pods tallygate-pods-key',
  ]);
});
