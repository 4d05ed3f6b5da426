import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lineOf, problemText } from './problem.ts';
import { readWorld } from './read/read.ts';
import { exampleVariables } from './testing.ts';

const source = {
  file: 'a.yaml',
  lines: new Map([
    ['', 1],
    ['spec', 3],
    ['spec.rules', 5],
    ['spec.rules[1]', 8],
  ]),
};

test('a problem of a missing field has the line of the nearest parent', () => {
  assert.equal(lineOf(source, 'spec.rules[1].backendRefs[0].name'), 8);
  assert.equal(lineOf(source, 'spec.rules[2]'), 5);
  assert.equal(lineOf(source, 'metadata.name'), 1);
  assert.equal(lineOf(source, 'a]b.c[d'), 1);
});

test('a problem behind an alias has the line of the alias, whatever its key', () => {
  const text =
    'x: &x {"a]": 1, "b[": 2}\napiVersion: tallygate.dev/v1alpha1\nkind: AIBackend\nmetadata: {name: a}\nspec: *x\n';
  const { problems } = readWorld([{ name: 'a.yaml', text }], exampleVariables);
  const unknown = problems.filter(({ path }) => path.startsWith('spec.'));
  assert.ok(unknown.length >= 2);
  for (const problem of unknown) {
    assert.match(problemText(problem), /^a\.yaml:5: AIBackend default\/a spec\..+; fix: .+/);
  }
});
