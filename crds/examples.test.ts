import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { type JsonSchema, jsonSchema } from './custom-resource.ts';
import { kinds, metadata } from './kinds.ts';

function examples(folder: 'valid' | 'invalid'): readonly { readonly name: string; readonly text: string }[] {
  const directory = new URL(`examples/${folder}/`, import.meta.url);
  return readdirSync(directory).map((name) => ({ name, text: readFileSync(new URL(name, directory), 'utf8') }));
}

/** What the schemas say against an object; empty: nothing. */
function objections(text: string): readonly string[] {
  const object = parse(text);
  const definition = kinds.find((each) => each.kind === object.kind);
  assert.ok(definition, `there is no kind ${object.kind}`);
  assert.equal(object.apiVersion, 'tallygate.dev/v1alpha1');
  const results = [metadata.safeParse(object.metadata), definition.spec.safeParse(object.spec)];
  return results.flatMap((result) => result.error?.issues.map((issue) => issue.message) ?? []);
}

for (const { name, text } of examples('valid')) {
  test(`valid/${name} is taken`, () => assert.deepEqual(objections(text), []));
}

for (const { name, text } of examples('invalid')) {
  test(`invalid/${name} is refused for its one fault`, () => {
    const expected = /^# must say: (.+)$/m.exec(text)?.[1];
    assert.ok(expected, 'the first comment says which message must come');
    const found = objections(text);
    assert.equal(found.length, 1, found.join('; '));
    assert.ok(found[0]?.includes(expected), found.join('; '));
  });
}

test('every CEL rule of the CRDs is refused by zod in an invalid example, in the same words', () => {
  const said = new Set(examples('invalid').flatMap(({ text }) => objections(text)));
  const rules = kinds.flatMap(({ spec }) => [...nodes(jsonSchema(spec))].flatMap(validations));
  assert.ok(rules.length > 10);
  for (const { message } of rules) {
    assert.ok(said.has(message), `no invalid example for: ${message}`);
  }
});

test('schemas have only what the API server takes, and a bound on all that grows', () => {
  for (const { kind, spec } of kinds) {
    for (const node of nodes(jsonSchema(spec))) {
      const where = `${kind}: ${JSON.stringify(node).slice(0, 200)}`;
      for (const refused of ['const', 'oneOf', 'anyOf', 'allOf', '$ref', 'additionalProperties', 'nullable']) {
        assert.ok(!(refused in node), `${refused} in ${where}`);
      }
      if (node.type === 'string') {
        assert.ok(node.enum !== undefined || node.maxLength !== undefined, where);
      }
      if (node.type === 'array') {
        assert.ok(node.maxItems !== undefined && node['x-kubernetes-list-type'], where);
      }
      // Go's regular expressions have neither; the API server refuses a CRD with such a pattern.
      if (node.pattern !== undefined) {
        assert.doesNotMatch(node.pattern, /\(\?[=!<]|\\[1-9]/, where);
      }
    }
  }
});

function* nodes(schema: JsonSchema): Generator<JsonSchema> {
  yield schema;
  for (const member of Object.values(schema.properties ?? {})) {
    yield* nodes(member);
  }
  if (schema.items !== undefined) {
    yield* nodes(schema.items);
  }
}

function validations(schema: JsonSchema): readonly { readonly message: string }[] {
  return schema['x-kubernetes-validations'] ?? [];
}
