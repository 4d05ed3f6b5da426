/** Checks the dashboards of the chart against the metrics, labels and alerts that exist. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { dashboards } from './all.ts';
import { buildDashboard, panelsOf } from './build.ts';

const root = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');

/** The labels that Prometheus adds. */
const ADDED = ['instance', 'pod'];

/** The labels of each metric. The page is generated from what extproc exports. */
const exported = new Map<string, readonly string[]>();
for (const [, name = '', type, labels = ''] of read('docs/reference/metrics.md').matchAll(
  /^\| `(\w+)` \| (counter|gauge|histogram) \|[^|]*\|([^|]*)\|/gm,
)) {
  const all = [...labels.matchAll(/\w+/g)].map(([label]) => label);
  for (const sample of type === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name]) {
    exported.set(sample, [...all, ...(type === 'histogram' ? ['le'] : []), ...ADDED]);
  }
}
for (const [, type, name = '', label] of read('cli/controller.ts').matchAll(
  /\b(counter|gauge|gaugeBy)\(\s*'([a-z._]+)'(?:,\s*'([a-z.]+)')?/g,
)) {
  const labels = label === undefined ? ADDED : [label.replaceAll('.', '_'), ...ADDED];
  exported.set(`${name.replaceAll('.', '_')}${type === 'counter' ? '_total' : ''}`, labels);
}

/** What no dashboard needs to show. */
const hidden = [
  // `tallygate_cloud_tokens_missing` and `tallygate_issuers_failing` say what is wrong.
  'tallygate_cloud_tokens',
  'tallygate_cloud_tokens_failing',
  'tallygate_issuers',
];

const queries = dashboards.flatMap(({ name, rows }) =>
  rows.flatMap(({ panels }) =>
    panels.flatMap((panel) => panel.queries.map(({ expr }) => ({ where: `${name}: ${panel.title}`, expr }))),
  ),
);
const METRIC = /\b(?:tallygate|gen_ai|nodejs|process)_\w+/g;
const withoutStrings = (expr: string) => expr.replace(/"[^"]*"/g, '""');

test('every query uses metrics and labels that the programs export', () => {
  assert.ok(queries.length > 80 && exported.size > 70);
  for (const { where, expr } of queries) {
    const bare = withoutStrings(expr);
    const labels = [...bare.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(', '));
    const outside = bare.replace(/\b(?:by|on) \([^)]*\)/g, '').replace(/\{[^}]*\}/g, '');
    const metrics = [...outside.matchAll(METRIC)].map(([name]) => name);
    assert.ok(metrics.length > 0, where);
    for (const metric of metrics) {
      assert.ok(exported.has(metric), `${where}: ${metric}`);
    }
    for (const label of labels.filter((name) => name !== '')) {
      assert.ok(
        metrics.some((metric) => exported.get(metric)?.includes(label)),
        `${where}: ${label}`,
      );
    }
    for (const [, metric = '', selector = ''] of bare.matchAll(/(\w+)\{([^}]*)\}/g)) {
      for (const [, label = ''] of selector.matchAll(/(\w+)[!=]/g)) {
        assert.ok(exported.get(metric)?.includes(label), `${where}: ${metric}{${label}}`);
      }
    }
  }
});

test('every metric is in a panel', () => {
  const shown = new Set(queries.flatMap(({ expr }) => expr.match(METRIC) ?? []));
  const families = new Set([...exported.keys()].map((name) => name.replace(/_(bucket|count|sum)$/, '')));
  const missing = [...families].filter(
    (name) => ![name, `${name}_bucket`, `${name}_count`].some((one) => shown.has(one)),
  );
  assert.deepEqual(missing.toSorted(), hidden);
});

test('filters take the values of labels that exist', () => {
  for (const { metric, of } of dashboards.flatMap(({ filters }) => filters)) {
    assert.ok(exported.get(metric)?.includes(of), `${metric} ${of}`);
  }
  for (const { name, filters } of dashboards) {
    const own = queries.filter(({ where }) => where.startsWith(`${name}: `));
    const used = new Set(
      own.flatMap(({ expr }) => [...expr.matchAll(/\$([a-z]\w*)/g)].map(([, variable]) => variable)),
    );
    assert.deepEqual([...used].toSorted(), filters.map((filter) => filter.name).toSorted(), name);
  }
});

test('every panel says what it shows, in full rows', () => {
  for (const { name, rows } of dashboards) {
    const titles = rows.flatMap(({ panels }) => panels.map(({ title }) => title));
    assert.equal(new Set(titles).size, titles.length, name);
    for (const { title, panels } of rows) {
      assert.equal(panels.reduce((sum, { width }) => sum + width, 0) % 24, 0, `${name}: ${title}`);
    }
    for (const panel of rows.flatMap(({ panels }) => panels)) {
      assert.match(panel.description, /^[A-Z`].+\.$/, panel.title);
      const labelled = panel.queries.every(({ legend }) => legend !== undefined);
      assert.equal(labelled || panel.type === 'table' || panel.type === 'stat', true, panel.title);
    }
  }
});

test('panels name the alerts that exist, and every alert has a panel', () => {
  const alerts = [...read('charts/tallygate/files/rules.yaml').matchAll(/- alert: (\w+)/g)].map(([, name]) => name!);
  const named = dashboards.flatMap(({ rows }) =>
    rows.flatMap(({ panels }) => panels.flatMap(({ description }) => description.match(/Tallygate[A-Z]\w+/g) ?? [])),
  );
  assert.deepEqual([...new Set(named)].toSorted(), alerts.toSorted());
});

test('the chart has a file for each dashboard, whose panels do not overlap', () => {
  assert.deepEqual(
    readdirSync(join(root, 'charts/tallygate/files/dashboards')),
    dashboards.map(({ name }) => `${name}.json`).toSorted(),
  );
  for (const description of dashboards) {
    const cells = new Set<string>();
    for (const { title, gridPos } of panelsOf(buildDashboard(description))) {
      assert.ok(gridPos !== undefined);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(x < 24 && !cells.has(`${x} ${y}`), `${description.name}: ${title}`);
          cells.add(`${x} ${y}`);
        }
      }
    }
  }
});
