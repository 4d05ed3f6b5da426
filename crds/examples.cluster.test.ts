/**
 * A real API server accepts every valid example and refuses every invalid one, with our CEL
 * messages.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { customResourceDefinition, type JsonSchema, jsonSchema } from './custom-resource.ts';
import { kinds } from './kinds.ts';

const namespace = 'crds-examples';

function kubectl(arguments_: readonly string[], objects: readonly object[]) {
  const input = objects.map((each) => stringify(each, { aliasDuplicateObjects: false })).join('---\n');
  return spawnSync('kubectl', [...arguments_, '-f', '-'], { input, encoding: 'utf8', timeout: 60_000 });
}

function examples(folder: 'valid' | 'invalid'): readonly { readonly name: string; readonly text: string }[] {
  const directory = new URL(`examples/${folder}/`, import.meta.url);
  return readdirSync(directory).map((name) => ({ name, text: readFileSync(new URL(name, directory), 'utf8') }));
}

function dryRun(text: string) {
  const object = parse(text);
  const moved = { ...object, metadata: { ...object.metadata, namespace } };
  return kubectl(['apply', '--server-side', '--field-manager=example', '--dry-run=server'], [moved]);
}

/** The messages of the CEL rules. For patterns and bounds, the API server has other messages. */
const rules = new Set(kinds.flatMap(({ spec }) => [...messages(jsonSchema(spec))]));

function* messages(schema: JsonSchema): Generator<string> {
  for (const { message } of schema['x-kubernetes-validations'] ?? []) {
    yield message;
  }
  for (const member of Object.values(schema.properties ?? {})) {
    yield* messages(member);
  }
  if (schema.items !== undefined) {
    yield* messages(schema.items);
  }
}

const home = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };

before(() => {
  // An earlier run may have left the namespace.
  kubectl(['delete', '--ignore-not-found', '--timeout=50s'], [home]);
  const definitions = kubectl(
    ['apply', '--server-side', '--force-conflicts'],
    [home, ...kinds.map((each) => customResourceDefinition(each))],
  );
  assert.equal(definitions.status, 0, definitions.stderr);
  const names = kinds.map(({ plural }) => `crd/${plural}.tallygate.dev`);
  const ready = spawnSync('kubectl', ['wait', '--for=condition=Established', '--timeout=60s', ...names]);
  assert.equal(ready.status, 0, String(ready.stderr));
});

after(() => {
  kubectl(['delete', '--wait=false', '--ignore-not-found'], [home]);
});

for (const { name, text } of examples('valid')) {
  test(`valid/${name} is accepted`, () => {
    const { status, stderr } = dryRun(text);
    assert.equal(status, 0, stderr);
    assert.equal(stderr, '', 'no warning');
  });
}

for (const { name, text } of examples('invalid')) {
  test(`invalid/${name} is refused`, () => {
    const { status, stderr } = dryRun(text);
    assert.notEqual(status, 0, 'the API server must refuse it');
    assert.match(stderr, /is invalid|failed to create typed patch object/);
    const expected = /^# expected message: (.+)$/m.exec(text)?.[1] ?? '';
    const rule = [...rules].find((message) => message.includes(expected));
    if (rule !== undefined) {
      assert.ok(stderr.includes(rule), stderr);
    } else {
      assert.match(stderr, /spec\.\S+/, 'names the field');
    }
  });
}
