import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EnvoyConfig, NamedResource } from '../translate/plan.ts';
import { transition } from './transition.ts';

const EXT_PROC = 'type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor';

interface Host {
  readonly domains?: readonly string[];
  readonly routes: readonly string[];
}

function config(
  hosts: Readonly<Record<string, Host>>,
  headers: readonly string[],
  clusters: readonly string[],
): EnvoyConfig {
  const virtualHosts = Object.entries(hosts).map(([name, { domains, routes }]) => ({
    name,
    domains: domains ?? [name],
    routes: [`entry/${name}`, ...routes, `last/${name}`].map((route) => ({ name: route })),
  }));
  const patterns = headers.map((exact) => ({ exact }));
  return {
    listeners: [],
    routes: [{ name: 'http/80', virtual_hosts: virtualHosts }],
    clusters: clusters.map((name) => ({ name })),
    extensions: [
      {
        name: 'filter',
        typed_config: { '@type': EXT_PROC, mode: 'x', forward_rules: { allowed_headers: { patterns } } },
      },
    ],
  };
}

function routesOf({ routes }: EnvoyConfig): Readonly<Record<string, readonly string[]>> {
  const hosts = routes[0]!['virtual_hosts'] as unknown as readonly { name: string; routes: readonly NamedResource[] }[];
  return Object.fromEntries(hosts.map((host) => [host.name, host.routes.map(({ name }) => name)]));
}

test('the transition has every target, cluster and header of both policies', () => {
  const before = config({ a: { routes: ['t1', 't2'] }, b: { routes: ['t4'] } }, ['x-old', 'x-both'], ['c1', 'c2']);
  const after = config({ a: { routes: ['t2', 't3'] }, c: { routes: ['t5'] } }, ['x-both', 'x-new'], ['c2', 'c3']);
  const between = transition(before, after);
  assert.deepEqual(routesOf(between), {
    a: ['entry/a', 't1', 't2', 't3', 'last/a'],
    c: ['entry/c', 't5', 'last/c'],
    b: ['entry/b', 't4', 'last/b'],
  });
  assert.deepEqual(
    between.clusters.map(({ name }) => name),
    ['c2', 'c3', 'c1'],
  );
  assert.deepEqual(between.extensions[0]!['typed_config'], {
    '@type': EXT_PROC,
    mode: 'x',
    forward_rules: { allowed_headers: { patterns: [{ exact: 'x-old' }, { exact: 'x-both' }, { exact: 'x-new' }] } },
  });
});

test('a domain never occurs in two virtual hosts, which Envoy would refuse', () => {
  const before = config({ stray: { domains: ['*'], routes: [] } }, [], []);
  const after = config({ all: { domains: ['*'], routes: ['t1'] } }, [], []);
  assert.deepEqual(Object.keys(routesOf(transition(before, after))), ['all']);
});

test('a filter of another kind is added, replaced and removed', () => {
  const filter = (rules: string) => ({ name: 'rbac', typed_config: { '@type': 'type.googleapis.com/rbac', rules } });
  const base = config({}, ['x-team'], []);
  const withFilter = (rules: string) => ({ ...base, extensions: [...base.extensions, filter(rules)] });
  const rbac = ({ extensions }: EnvoyConfig) => extensions.find(({ name }) => name === 'rbac');
  assert.deepEqual(rbac(transition(base, withFilter('new'))), filter('new'));
  assert.deepEqual(rbac(transition(withFilter('old'), withFilter('new'))), filter('new'));
  assert.deepEqual(rbac(transition(withFilter('old'), base)), filter('old'));
});
