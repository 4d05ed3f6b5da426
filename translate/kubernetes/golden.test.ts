import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { problemText } from '../problem.ts';
import { exampleTokens } from '../testing.ts';
import { clusterOf, exampleOptions, patched, withVerdicts } from './testing.ts';
import { translateCluster } from './translate-cluster.ts';

const directory = new URL('testdata/', import.meta.url);

for (const input of readdirSync(directory).filter((name) => name.endsWith('.in.yaml'))) {
  test(`testdata/${input}`, () => {
    const expected = new URL(input.replace('.in.', '.out.'), directory);
    const actual = outcome(readFileSync(new URL(input, directory), 'utf8'));
    if (process.env['UPDATE_GOLDEN']) {
      writeFileSync(expected, actual);
    }
    assert.equal(actual, readFileSync(expected, 'utf8'));
  });
}

function outcome(text: string): string {
  const world = clusterOf(text);
  const tokens = exampleTokens(translateCluster(world, exampleOptions).wantedTokens);
  const before = translateCluster({ ...world, tokens }, exampleOptions);
  const plan = translateCluster(withVerdicts({ ...world, tokens }, before, patched), exampleOptions);
  const { problems, statuses, gateways, generatedRoutes, objects, secrets, webhooks, wantedTokens } = plan;
  const detectorSecrets = plan.detectorSecretsFor(gateways).map(({ id }) => id);
  return stringify(
    {
      problems: problems.map((each) => `${each.severity} ${each.reason}: ${problemText(each)}`),
      gateways,
      policy: plan.policyFor(gateways),
      statuses,
      generatedRoutes,
      objects,
      ...(webhooks.length > 0 && { webhooks: webhooks.map(({ policy, url }) => ({ policy, url })) }),
      ...(wantedTokens.length > 0 && {
        wantedTokens: wantedTokens.map(({ backend, source }) => `${source.type} ${backend}`),
      }),
      ...(detectorSecrets.length > 0 && { detectorSecrets }),
      secrets: secrets.map(({ metadata, type }) => ({ type, metadata })),
    },
    { aliasDuplicateObjects: false, lineWidth: 0 },
  );
}
