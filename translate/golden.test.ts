import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { problemText } from './problem.ts';
import { readWorld } from './read/read.ts';
import { exampleJwks, exampleOptions, exampleTokens, exampleVariables } from './testing.ts';
import { translate } from './translate.ts';

const directory = new URL('testdata/', import.meta.url);
const cases = readdirSync(directory).filter((name) => name.endsWith('.in.yaml'));

for (const input of cases) {
  test(`testdata/${input}`, () => {
    const expected = new URL(input.replace('.in.', '.out.'), directory);
    const actual = outcome(input);
    if (process.env['UPDATE_GOLDEN']) {
      writeFileSync(expected, actual);
    }
    assert.equal(actual, readFileSync(expected, 'utf8'));
  });
}

function outcome(input: string): string {
  const text = readFileSync(new URL(input, directory), 'utf8');
  const { world, problems } = readWorld([{ name: input, text }], exampleVariables);
  const withKeys = { ...world, jwks: exampleJwks };
  const tokens = exampleTokens(translate(withKeys, exampleOptions).wantedTokens);
  const plan = translate({ ...withKeys, tokens }, exampleOptions);
  const { listeners, ...envoy } = plan.envoy;
  return stringify(
    {
      problems: [...problems, ...plan.problems].map((each) => `${each.severity} ${each.reason}: ${problemText(each)}`),
      policy: plan.policy,
      statuses: plan.statuses,
      // The connection manager is the same everywhere, and is shown once (acceptance).
      envoy: input.startsWith('acceptance') ? plan.envoy : { listeners: listeners.map(({ name }) => name), ...envoy },
      ...(plan.webhooks.length > 0 && { webhooks: plan.webhooks.map(({ policy, url }) => ({ policy, url })) }),
      ...(plan.wantedTokens.length > 0 && {
        wantedTokens: plan.wantedTokens.map(({ backend, source }) => `${source.type} ${backend}`),
      }),
      ...(plan.detectorSecrets.length > 0 && { detectorSecrets: plan.detectorSecrets.map(({ id }) => id) }),
      secrets: plan.secrets.map(({ name, type }) => `${type} ${name}`),
    },
    { aliasDuplicateObjects: false, lineWidth: 0 },
  );
}
