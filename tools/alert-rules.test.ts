/** Checks the alert rules of the chart against the metrics that the programs export. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';

const root = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const file = 'charts/tallygate/files/rules.yaml';
const words = /\btallygate_[a-z_]+/g;

interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly runbook_url: string };
}

const { groups } = parse(read(file)) as { readonly groups: readonly { readonly rules: readonly AlertRule[] }[] };
const rules = groups.flatMap((group) => group.rules);

/** Metrics and labels of extproc: the page is generated from what the recorder exports. */
const ofExtproc = new Set(read('docs/reference/metrics.md').match(words));

/** Metrics of the controller, under their names in Prometheus. */
const ofController = new Set(
  [...read('cli/controller.ts').matchAll(/\b(counter|gauge)\(\s*'([a-z._]+)'/g)].map(
    ([, type, name]) => `${name!.replaceAll('.', '_')}${type === 'counter' ? '_total' : ''}`,
  ),
);

test('every rule uses metrics and labels that the programs export', () => {
  assert.ok(rules.length > 5 && ofController.size > 5 && ofExtproc.size > 20);
  for (const { alert, expr, annotations } of rules) {
    const used = [...expr.matchAll(words), ...annotations.summary.matchAll(words)].map(([word]) => word);
    assert.ok(used.length > 0 || expr.startsWith('up{'), alert);
    assert.deepEqual(
      used.filter((word) => !ofExtproc.has(word) && !ofController.has(word)),
      [],
      alert,
    );
  }
});

test('every rule has a section of the runbook', () => {
  const headings = new Set([...read('docs/guides/alert-rules.md').matchAll(/^## (\w+)$/gm)].map(([, name]) => name));
  assert.deepEqual(
    rules.map(({ annotations }) => annotations.runbook_url),
    rules.map(({ alert }) => `docs/guides/alert-rules.md#${alert.toLowerCase()}`),
  );
  assert.deepEqual(
    [...headings],
    rules.map(({ alert }) => alert).filter((name) => headings.has(name)),
  );
  assert.equal(headings.size, rules.length);
});

const { error } = spawnSync('promtool', ['--version']);
test('promtool accepts the rules', { skip: error !== undefined && 'promtool is not installed' }, () => {
  const { status, stderr, stdout } = spawnSync('promtool', ['check', 'rules', join(root, file)], { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
});
