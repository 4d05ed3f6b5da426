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

/** Returns the messages of the schema violations of an object. */
function violations(text: string): readonly string[] {
  const object = parse(text);
  const definition = kinds.find((each) => each.kind === object.kind);
  assert.ok(definition, `unknown kind ${object.kind}`);
  assert.equal(object.apiVersion, 'tallygate.dev/v1alpha1');
  const results = [metadata.safeParse(object.metadata), definition.spec.safeParse(object.spec)];
  return results.flatMap((result) => result.error?.issues.map((issue) => issue.message) ?? []);
}

for (const { name, text } of examples('valid')) {
  test(`valid/${name} is accepted`, () => assert.deepEqual(violations(text), []));
}

for (const { name, text } of examples('invalid')) {
  test(`invalid/${name} has exactly the expected violation`, () => {
    const expected = /^# expected message: (.+)$/m.exec(text)?.[1];
    assert.ok(expected, 'the first comment has the expected message');
    const found = violations(text);
    assert.equal(found.length, 1, found.join('; '));
    assert.ok(found[0]?.includes(expected), found.join('; '));
  });
}

test('every CEL rule of the CRDs has an invalid example that zod refuses with the same message', () => {
  const messages = new Set(examples('invalid').flatMap(({ text }) => violations(text)));
  const rules = kinds.flatMap(({ spec }) => [...nodes(jsonSchema(spec))].flatMap(validations));
  assert.ok(rules.length > 10);
  for (const { message } of rules) {
    assert.ok(messages.has(message), `no invalid example for: ${message}`);
  }
});

test('schemas use only keywords of the API server, and bound every string and list', () => {
  for (const { kind, spec } of kinds) {
    for (const node of nodes(jsonSchema(spec))) {
      const where = `${kind}: ${JSON.stringify(node).slice(0, 200)}`;
      for (const refused of ['const', 'oneOf', 'anyOf', 'allOf', '$ref', 'nullable']) {
        assert.ok(!(refused in node), `${refused} in ${where}`);
      }
      if (node.type === 'string') {
        assert.ok(node.enum !== undefined || node.maxLength !== undefined, where);
      }
      if (node.additionalProperties !== undefined) {
        assert.ok(node.properties === undefined && node.maxProperties !== undefined, where);
      }
      if (node.type === 'array') {
        assert.ok(node.maxItems !== undefined && node['x-kubernetes-list-type'], where);
      }
      // Go's regular expressions have no look-around and no backreferences.
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
  for (const item of [schema.items, schema.additionalProperties]) {
    if (item !== undefined) {
      yield* nodes(item);
    }
  }
}

function validations(schema: JsonSchema): readonly { readonly message: string }[] {
  return schema['x-kubernetes-validations'] ?? [];
}
