/** Checks the examples of autoscalers against the schemas of their APIs, and against each other. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import { parse } from 'yaml';

const root = join(import.meta.dirname, '..');
const text = (file: string) => readFileSync(join(root, file), 'utf8');
const example = (name: string) => parse(text(`examples/autoscaling/${name}.yaml`));

test('the schemas of KEDA and Kubernetes accept the examples, and refuse others', () => {
  const [keda, hpa] = [example('keda'), example('hpa')];
  new ScaledObject(keda).validate();
  new HorizontalPodAutoscaler(hpa).validate();
  assert.throws(() => new ScaledObject({ ...keda, spec: { ...keda.spec, triggers: undefined } }).validate());
  assert.throws(() => new HorizontalPodAutoscaler({ ...hpa, spec: { ...hpa.spec, maxReplicas: 'many' } }).validate());
});

test('the adapter serves the external metrics of the HorizontalPodAutoscaler from recorded series', () => {
  const [rule] = example('prometheus-adapter').rules.external;
  const [, pattern = ''] = /"(.+)"/.exec(rule.seriesQuery) ?? [];
  const recorded = [...text('charts/tallygate/files/rules.yaml').matchAll(/- record: (\S+)/g)].map(([, name]) => name!);
  const served = recorded
    .filter((name) => new RegExp(pattern).test(name))
    // Go writes groups as ${1}, JavaScript as $1.
    .map((name) => name.replace(new RegExp(rule.name.matches), rule.name.as.replace(/\$\{1\}/, '$1')));
  const asked = example('hpa').spec.metrics.map(({ external }: { external: { metric: object } }) => external.metric);
  for (const { name, selector } of asked) {
    assert.ok(served.includes(name), name);
    // Label selectors of Kubernetes accept no slash.
    for (const value of Object.values(selector.matchLabels)) {
      assert.match(String(value), /^[\w.-]{1,63}$/);
    }
  }
  assert.equal(asked.length, 2);
});
