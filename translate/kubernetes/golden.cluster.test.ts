/**
 * Applies every object of the expected files to an API server with the CRDs of Gateway API and
 * Envoy Gateway.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { stringify } from 'yaml';
import { asObject, clusterOf, exampleOptions } from './testing.ts';
import { translateCluster } from './translate-cluster.ts';

const directory = new URL('testdata/', import.meta.url);
const prefix = 'translate-golden-';

const cases = readdirSync(directory)
  .filter((name) => name.endsWith('.in.yaml'))
  .map((name) => {
    const plan = translateCluster(clusterOf(readFileSync(new URL(name, directory), 'utf8')), exampleOptions);
    return { name, objects: [...plan.objects, ...plan.secrets.map(asObject)] };
  });

const namespaces = [
  ...new Set(cases.flatMap(({ objects }) => objects.map(({ metadata }) => prefix + metadata.namespace))),
];

function kubectl(arguments_: readonly string[], input: string) {
  return spawnSync('kubectl', arguments_, { input, encoding: 'utf8', timeout: 60_000 });
}

function namespaceList(): string {
  return namespaces.map((name) => stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })).join('---\n');
}

before(() => {
  // Objects of an earlier run may still be terminating.
  kubectl(['delete', '--ignore-not-found', '--timeout=50s', '-f', '-'], namespaceList());
  const { status, stderr } = kubectl(['apply', '-f', '-'], namespaceList());
  assert.equal(status, 0, stderr);
});

after(() => {
  kubectl(['delete', '--wait=false', '--ignore-not-found', '-f', '-'], namespaceList());
});

for (const { name, objects } of cases) {
  test(`testdata/${name}`, () => {
    const moved = objects.map((each) => ({
      ...each,
      metadata: { ...each.metadata, namespace: prefix + each.metadata.namespace },
    }));
    const apply = ['apply', '--server-side', '--field-manager=tallygate', '--dry-run=server', '-o', 'name', '-f', '-'];
    const { status, stdout, stderr } = kubectl(
      apply,
      moved.map((each) => stringify(each, { aliasDuplicateObjects: false })).join('---\n'),
    );
    assert.equal(status, 0, stderr);
    assert.equal(stderr, '');
    assert.equal(stdout.trim().split('\n').length, moved.length);
  });
}
