import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAllDocuments, stringify } from 'yaml';
import { problemText } from '../../translate/problem.ts';
import { mistake, spoilt } from '../../translate/testing.ts';
import { convert } from './convert.ts';
import { draftsToYaml } from './draft.ts';
import { reportText } from './report.ts';

const directory = new URL('testdata/', import.meta.url);
const inputs = readdirSync(directory).filter((name) => name.endsWith('.in.yaml'));
const textOf = (name: string) => readFileSync(new URL(name, directory), 'utf8');
const convertText = (text: string, name = 'input.yaml') => convert([{ name, text }], undefined, () => undefined);

/** Returns the fields without members that no entry of the report covers. */
function uncovered(text: string): readonly string[] {
  const { entries } = convertText(text);
  const nameOf = ({ object = '', field }: { readonly object?: string; readonly field: string }) => `${object} ${field}`;
  const reported = new Set(entries.map(nameOf));
  const leaves = parseAllDocuments(text, { merge: true }).flatMap((document) => {
    const value: unknown = document.toJS();
    const object = objectName(value);
    return [...leafPaths(value, '')].map((path) => ({ object, path }));
  });
  assert.ok(leaves.length > 10);
  return leaves
    .filter(({ object, path }) => !prefixesOf(path).some((field) => reported.has(nameOf({ object, field }))))
    .map(({ object, path }) => `${object} ${path}`);
}

function objectName(value: unknown): string {
  const { kind, metadata } = value as { readonly kind?: string; readonly metadata?: { readonly name?: string } };
  return kind === undefined ? '' : `${kind} ${metadata?.name}`;
}

for (const input of inputs) {
  test(`the report of testdata/${input} covers each field`, () => {
    assert.deepEqual(uncovered(textOf(input)), []);
  });
}

test('the report covers a field that no converter knows', () => {
  const { entries } = convertText('model_list: []\nsome: {new: [{setting: 1}]}\n');
  const found = entries.find(({ field }) => field === 'some.new[0].setting');
  assert.equal(found?.verdict, 'NoEqual');
  assert.match(found?.text ?? '', /does not know/);
});

function* leafPaths(value: unknown, path: string): Generator<string> {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  if (entries.length === 0) {
    yield path;
  }
  for (const [key, member] of entries) {
    yield* leafPaths(member, Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`);
  }
}

function prefixesOf(path: string): readonly string[] {
  return [path, ...[...path.matchAll(/[.[]/g)].map(({ index }) => path.slice(0, index)), ''];
}

/** An alias is lost where its anchor is replaced. */
function withoutAliases(text: string): string {
  return parseAllDocuments(text, { merge: true })
    .map((document) => stringify(document.toJS(), { aliasDuplicateObjects: false }))
    .join('---\n');
}

const numRuns = Number(process.env['CASES'] ?? 40);

test('LiteLLM: with a mistake in any field, the output still passes tallygate check', () => {
  const ofLiteLlm = inputs.filter((name) => name.startsWith('litellm'));
  fc.assert(
    fc.property(fc.constantFrom(...ofLiteLlm), fc.nat(), mistake, (input, seed, wrong) => {
      const { problems } = convertText(spoilt(withoutAliases(textOf(input)), seed, wrong));
      assert.deepEqual(problems.filter(({ file }) => file === 'output').map(problemText), []);
    }),
    { numRuns },
  );
});

test('with a mistake in any field, the converter ends, and names each fault', () => {
  fc.assert(
    fc.property(fc.constantFrom(...inputs), fc.nat(), mistake, (input, seed, wrong) => {
      const { problems, entries } = convertText(spoilt(withoutAliases(textOf(input)), seed, wrong));
      assert.ok(problems.length > 0 || entries.length > 0);
      assert.ok(problems.every(({ message, fix }) => message !== '' && fix !== ''));
    }),
    { numRuns },
  );
});

test('where no way to authenticate can be converted, nobody is allowed', () => {
  const litellm = 'model_list: []\ngeneral_settings: {custom_auth: auth.check}\n';
  const envoy = `apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: callers}
spec: {targetRefs: [{kind: Gateway, name: ai}], extAuth: {http: {backendRefs: [{name: auth}]}}}
`;
  for (const text of [litellm, envoy]) {
    const policy = convertText(text).drafts.find(({ object }) => object.kind === 'AIAccessPolicy')?.object.spec;
    assert.deepEqual(policy, {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
      allow: [],
    });
  }
});

test('no secret of a file is in the output or the report', () => {
  for (const input of inputs) {
    const { drafts, entries } = convertText(textOf(input), input);
    const said = `${draftsToYaml(drafts)}${reportText(entries)}${JSON.stringify(entries)}`;
    assert.doesNotMatch(said, /in-the-file/, input);
  }
});
