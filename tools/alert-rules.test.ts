/** Checks the alert rules of the chart against the metrics that the programs export. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { failure, failureCodes } from '../extproc/errors.ts';

const root = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const file = 'charts/tallygate/files/rules.yaml';
const cases = 'charts/testdata/rules.promtool.yaml';
const words = /\b(?:tallygate|gen_ai|nodejs|process)_[a-z_]+/g;

interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly runbook_url: string };
}

interface Case {
  readonly alertname: string;
  readonly exp_alerts?: readonly object[];
}

interface RecordingRule {
  readonly record: string;
  readonly expr: string;
}

const { groups } = parse(read(file)) as {
  readonly groups: readonly { readonly rules: readonly (AlertRule | RecordingRule)[] }[];
};
const all = groups.flatMap((group) => group.rules);
const rules = all.filter((rule) => 'alert' in rule);

/** Metrics and labels of extproc: the page is generated from what the recorder exports. */
const ofExtproc = new Set(
  read('docs/reference/metrics.md')
    .match(words)
    ?.flatMap((name) => [name, `${name}_bucket`, `${name}_count`]),
);

/** Metrics of the controller, under their names in Prometheus. */
const ofController = new Set(
  [...read('cli/controller.ts').matchAll(/\b(counter|gauge|gaugeBy)\(\s*'([a-z._]+)'(?:,\s*'([a-z.]+)')?/g)].flatMap(
    ([, type, name = '', label]) =>
      [`${name}${type === 'counter' ? '_total' : ''}`, label ?? name].map((each) => each.replaceAll('.', '_')),
  ),
);

test('every rule uses metrics and labels that the programs export', () => {
  assert.ok(rules.length > 5 && ofController.size > 5 && ofExtproc.size > 20);
  for (const rule of all) {
    const summary = 'alert' in rule ? rule.annotations.summary : '';
    const used = [...rule.expr.matchAll(words), ...summary.matchAll(words)].map(([word]) => word);
    assert.ok(used.length > 0 || rule.expr.startsWith('up{'), rule.expr);
    assert.deepEqual(
      used.filter((word) => !ofExtproc.has(word) && !ofController.has(word)),
      [],
      rule.expr,
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

test('the ratio of errors counts every code of the gateway from 500 on', () => {
  const rule = rules.find(({ alert }) => alert === 'TallygateErrorRatio');
  const [, pattern = ''] = /error_type=~"([^"]+)"/.exec(rule?.expr ?? '') ?? [];
  const counted = new RegExp(`^(${pattern})$`);
  for (const code of failureCodes) {
    assert.equal(counted.test(code), failure(code, '').status >= 500, code);
  }
});

const { error } = spawnSync('promtool', ['--version']);
const skip = error !== undefined && 'promtool is not installed (apt-get install prometheus)';

function promtool(...args: readonly string[]): void {
  const { status, stderr, stdout } = spawnSync('promtool', args, { cwd: root, encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
}

test('promtool accepts the rules', { skip }, () => {
  promtool('check', 'rules', file);
});

test('each alert fires on the series of its case, and not before', { skip }, () => {
  promtool('test', 'rules', cases);
});

test('each alert has a case in which it fires and one in which it does not', () => {
  const { tests } = parse(read(cases)) as { readonly tests: readonly { readonly alert_rule_test?: readonly Case[] }[] };
  const checks = tests.flatMap(({ alert_rule_test = [] }) => alert_rule_test);
  for (const { alert } of rules) {
    const own = checks.filter(({ alertname }) => alertname === alert);
    assert.ok(
      own.some(({ exp_alerts }) => exp_alerts !== undefined),
      `${alert} never fires in ${cases}`,
    );
    assert.ok(
      own.some(({ exp_alerts }) => exp_alerts === undefined),
      `${alert} always fires in ${cases}`,
    );
  }
});
