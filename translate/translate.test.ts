import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { POLICY_FORMAT_VERSION } from '../contract/policy.ts';
import { fuzzRuns } from '../tools/fuzz/cases.ts';
import { envoyFiles } from './envoy/files.ts';
import { readWorld } from './read/read.ts';
import { exampleOptions, exampleVariables, mistake, spoilt } from './testing.ts';
import { translate } from './translate.ts';

const directory = new URL('testdata/', import.meta.url);
const texts = readdirSync(directory)
  .filter((name) => name.endsWith('.in.yaml'))
  .map((name) => readFileSync(new URL(name, directory), 'utf8'));

/** Leaves out the file with invalid YAML, which cannot be split into documents. */
const readableTexts = texts.filter((text) => !text.includes('a: [1'));

function planOf(text: string) {
  const { world, problems } = readWorld([{ name: 'test.yaml', text }], exampleVariables);
  return { ...translate(world, exampleOptions), read: problems };
}

test('the order of documents does not change the plan', () => {
  const documents = fc.constantFrom(...readableTexts);
  const shuffled = documents.chain((text) => {
    const parts = text.split(/^---$/m);
    return fc.tuple(fc.constant(text), fc.shuffledSubarray(parts, { minLength: parts.length }));
  });
  fc.assert(
    fc.property(shuffled, ([text, parts]) => {
      const [one, other] = [planOf(text), planOf(parts.join('\n---\n'))];
      assert.deepEqual(other.policy, one.policy);
      assert.deepEqual(other.envoy, one.envoy);
      assert.equal(other.problems.length, one.problems.length);
    }),
    fuzzRuns(30),
  );
});

test('translation accepts any value in any place', () => {
  fc.assert(
    fc.property(fc.constantFrom(...readableTexts), fc.nat(), mistake, (text, seed, wrong) => {
      const { policy, envoy } = planOf(spoilt(text, seed, wrong));
      assert.equal(policy.formatVersion, POLICY_FORMAT_VERSION);
      assert.ok(envoy.listeners);
    }),
    fuzzRuns(200),
  );
});

test('secret values occur only in their own file', () => {
  const text = texts.find((each) => each.includes('sk-hidden'));
  assert.ok(text);
  const plan = planOf(text);
  const secrets = ['sk-hidden', 'sk-ant-hidden', 'value-of-OPENAI_API_KEY', 'BEGIN PRIVATE KEY'];
  const printed = JSON.stringify(plan);
  const files = envoyFiles(plan);
  for (const secret of secrets) {
    assert.ok(!printed.includes(secret), secret);
    const holders = files.filter((file) => file.text.includes(secret));
    assert.equal(holders.length, 1, secret);
    assert.ok(holders.every((file) => file.name.startsWith('secret-') && file.mode === 0o600));
  }
});

test('the version depends on the content', () => {
  const text = texts.find((each) => each.includes('kind: AIQuotaPolicy')) ?? '';
  const version = (edited: string): string => planOf(edited).policy.version;
  assert.equal(version(text), version(text));
  assert.notEqual(
    version(text),
    version(text.replace('amount: 100000', 'amount: 100001').replace('amount: 1000', 'amount: 1001')),
  );
});

test('files are listed in the order in which Envoy can load them', () => {
  const names = envoyFiles(planOf(texts.find((each) => each.includes('sk-hidden')) ?? '')).map(({ name }) => name);
  const rank = (name: string): number =>
    ['secret-', 'clusters', 'extension-', 'route-', 'listeners'].findIndex((each) => name.startsWith(each));
  assert.deepEqual(
    names,
    names.toSorted((left, right) => rank(left) - rank(right)),
  );
  assert.equal(new Set(names).size, names.length);
});

test('one policy does not take the keys of the issuer of another one', () => {
  const text = texts.find((each) => each.includes('type: JWT')) ?? '';
  const policy = (name: string, jwt: string) => `
---
apiVersion: tallygate.dev/v1alpha1
kind: AIAccessPolicy
metadata: {name: ${name}, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: ai}]
  authenticate: [{name: sso, type: JWT, jwt: {audiences: [a], ${jwt}}}]
`;
  const url = 'https://id.example.org/.well-known/openid-configuration';
  const { jwksSources } = planOf(
    text +
      policy('one', 'issuer: https://id.example.org') +
      policy('two', 'issuer: https://id.example.org/') +
      policy('three', `issuer: https://id.example.org, jwks: {type: URI, uri: "${url}"}`),
  );
  assert.deepEqual(
    jwksSources.filter((source) => source.url === url),
    [
      { type: 'URI', url },
      { type: 'Discovery', url, issuer: 'https://id.example.org' },
      { type: 'Discovery', url, issuer: 'https://id.example.org/' },
    ],
  );
});
