import assert from 'node:assert/strict';
import { it } from 'node:test';
import { samplesOf } from './prometheus.ts';

it('parses samples with and without labels and ignores other lines', () => {
  const text = '# HELP a b\n# TYPE a gauge\na{x="1",y="two, {three}"} 0.5\nplain 7\nstamped{z="q"} 1e3 123456\n';
  assert.deepEqual(samplesOf(text), [
    { name: 'a', labels: { x: '1', y: 'two, {three}' }, value: 0.5 },
    { name: 'plain', labels: {}, value: 7 },
    { name: 'stamped', labels: { z: 'q' }, value: 1000 },
  ]);
});
